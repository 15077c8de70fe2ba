"""Every selector against chance and against the longest answers, with intervals."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.studies.instruction_selection.runner import SELECTED
from experiments.study.settings import Setting
from experiments.study.table import Table
from robustjax.methods.instructions import (
    Interval,
    Kept,
    excess_kept,
    mean_interval,
)
from robustjax.tools.tables import in_file
from robustjax.training import write_csv

BASES = ("random", "longest")
_WORDS = {-1: "less", 0: "no difference", 1: "more"}


class Compared(NamedTuple):
    """A selector against a base, at one share of the records.

    Attributes:
      name: of the method, and of its teacher's noise if it asks one.
      columns: of its row.
      share: of the records.
      measure: "kept" (of wrong answers, beyond the share of all records that is kept)
        or another one, whose repeats are paired.
      base: "random" or "longest".
      interval: of the difference, 95 %.
      repeats: how many.
    """

    name: str
    columns: Mapping[str, Any]
    share: float
    measure: str
    base: str
    interval: Interval
    repeats: int


def selections(table: Table) -> list[Setting]:
    """Without the model before any training, which has selected nothing."""
    return [each for each in table.settings if "share" in each.columns]


def name_of(setting: Setting) -> str:
    """Of the method, and of its teacher's noise if it asks one."""
    method, noise = setting.columns["method"], setting.columns.get("teacher_noise")
    return str(method) if noise is None else f"{method} (noise {noise:g})"


def compare(table: Table) -> Iterator[Compared]:
    """All comparisons that the table allows, in its order.

    Against random, wrong answers are compared with exact chance; all else needs the
    base among the methods.
    """
    kept = _kept(table)
    for setting in selections(table):
        columns = setting.columns
        method, share = str(columns["method"]), float(columns["share"])
        noise = columns.get("teacher_noise")
        name = name_of(setting)
        for base in BASES:
            if method == base:
                continue
            other = table.one(method=base, share=share)
            mine, its = kept.get((method, noise, share)), kept.get((base, None, share))
            found: dict[str, Interval] = {}
            if mine is not None and base == "random":
                found["kept"] = excess_kept(mine)
            elif mine is not None and its is not None and _same_pools(mine, its):
                found["kept"] = excess_kept(mine, its)
            if other is not None and other.repeats == setting.repeats:
                for measure in ("radius", "tokens"):
                    found[measure] = mean_interval(
                        _values(setting, measure) - _values(other, measure)
                    )
            for measure, interval in found.items():
                repeats = len(setting.repeats)
                yield Compared(name, columns, share, measure, base, interval, repeats)


def write_comparison(path: pathlib.Path, compared: Iterable[Compared]) -> None:
    """A row per comparison; wrong answers in points of a percentage."""
    rows = []
    for each in compared:
        scale = 100.0 if each.measure == "kept" else 1.0
        noise = each.columns.get("teacher_noise")
        rows.append(
            {
                "method": each.columns["method"],
                "teacher_noise": "" if noise is None else f"{noise:g}",
                "share": f"{each.share:g}",
                "measure": each.measure,
                "base": each.base,
                "difference": in_file(scale * each.interval.mean),
                "low": in_file(scale * each.interval.low),
                "high": in_file(scale * each.interval.high),
                "verdict": _verdict(each.interval),
                "repeats": each.repeats,
            }
        )
    write_csv(path, rows)


def _verdict(interval: Interval) -> str:
    return "" if np.isnan(interval.low) else _WORDS[interval.sign]


def _values(setting: Setting, measure: str) -> np.ndarray:
    return setting.values[measure]


def _same_pools(one: Kept, other: Kept) -> bool:
    return np.array_equal(one.there, other.there)


def _kept(table: Table) -> dict[tuple[str, float | None, float], Kept]:
    """(method, noise, share) -> what was kept of the wrong records, by repeat."""
    parts: dict[tuple[str, float | None], list[tuple[int, Any, Any, list[float]]]] = {}
    names: set[int] = set()
    for record, arrays in table.attached(SELECTED):
        key = record["method"], record.get("teacher_noise")
        row = record["repeat"], arrays["rows"], arrays["kept"], record["shares"]
        parts.setdefault(key, []).append(row)
        names.update(arrays["rows"].tolist())
    order = np.array(sorted(names))
    found = {}
    for (method, noise), mine in parts.items():
        mine.sort(key=lambda row: row[0])
        there = np.array([np.isin(order, rows) for _, rows, _, _ in mine])
        for number, share in enumerate(mine[0][3]):
            kept = np.zeros(there.shape, bool)
            for repeat, (_, rows, masks, _) in enumerate(mine):
                kept[repeat, np.searchsorted(order, rows)] = masks[number]
            where = {} if noise is None else {"teacher_noise": noise}
            setting = table.one(method=method, share=share, **where)
            if setting is not None and len(setting.repeats) == len(mine):
                selected = setting.values["selected"]
                found[method, noise, share] = Kept(kept, there, selected)
    return found
