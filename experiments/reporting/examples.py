"""The examples behind a run: what was flagged, queried, kept, and wrongly so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.study.table import Table

Columns = Mapping[str, np.ndarray]


class _Rule(NamedTuple):
    """Which examples belong to a group.

    Attributes:
      title: of the group.
      needs: the columns without which there is no such group.
      chosen: the mask (N,).
      rank: the column by which they are ordered, the smallest first.
      largest_first: whether the other way round.
    """

    title: str
    needs: tuple[str, ...]
    chosen: Callable[[Columns], np.ndarray]
    rank: str
    largest_first: bool = False


def _asked(c: Columns) -> np.ndarray:
    # Round 0 is what was known before anybody was asked.
    return np.isfinite(c["asked"]) & (c["round"] > 0 if "round" in c else True)


def _wrong(c: Columns) -> np.ndarray:
    return c["given"] != c["true"]


def _flagged(c: Columns) -> np.ndarray:
    return c["predicted"].astype(str) != c["given"].astype(str)


_LABELS = ("given", "true")
_RULES = (
    _Rule("Queried", ("asked",), _asked, "asked"),
    _Rule(
        "Queried in vain: the label was right",
        ("asked", *_LABELS),
        lambda c: _asked(c) & ~_wrong(c),
        "asked",
    ),
    _Rule(
        "Queried in vain: of no class that is wanted",
        ("asked", "true", "outside"),
        lambda c: _asked(c) & c["outside"],
        "asked",
    ),
    _Rule(
        "Flagged: predicted as another class than labelled",
        ("predicted", "given", "given_probability"),
        _flagged,
        "given_probability",
    ),
    _Rule(
        "Wrongly flagged: the label is right",
        ("predicted", *_LABELS, "given_probability"),
        lambda c: _flagged(c) & ~_wrong(c),
        "given_probability",
    ),
    _Rule(
        "Missed: the label is wrong, and believed",
        ("predicted", *_LABELS, "given_probability"),
        lambda c: ~_flagged(c) & _wrong(c),
        "given_probability",
        largest_first=True,
    ),
    _Rule("Kept", ("order",), lambda c: np.isfinite(c["order"]), "order"),
    _Rule(
        "Wrongly kept: the label is wrong",
        ("order", *_LABELS),
        lambda c: np.isfinite(c["order"]) & _wrong(c),
        "order",
    ),
)


@dataclasses.dataclass(frozen=True)
class Group:
    """Some examples that a method has treated alike.

    Attributes:
      title: how.
      count: how many there are.
      of: among how many.
      ids: (M,) of those that are shown.
      columns: what was kept of them, (M,) each.
    """

    title: str
    count: int
    of: int
    ids: np.ndarray
    columns: Columns


@dataclasses.dataclass(frozen=True)
class Behind:
    """What one method did with the examples of one repeat.

    Attributes:
      title: the method, and which repeat of which setting.
      groups: of examples, none of them empty.
    """

    title: str
    groups: Sequence[Group]


def examples_behind(table: Table, most: int) -> list[Behind]:
    """Groups of examples of every method, in the first repeat of every setting.

    Args:
      table: of the run.
      most: examples of a group.

    Raises:
      ValueError: a file of examples that was altered.
    """
    shared: dict[str, Columns] = {}
    found = []
    for label, keys, arrays in table.examples():
        if keys.get("repeat", 0) != 0 or not most:
            continue
        if not label:
            shared.setdefault(str(keys), arrays)
            continue
        columns = {**_joined(shared.get(str(keys), {}), arrays["ids"]), **arrays}
        outside = table.record["facts"].get("ood_label")
        if outside is not None and "true" in columns:
            columns["outside"] = columns["true"] == outside
        groups = [group for rule in _RULES if (group := _group(rule, columns, most))]
        if groups:
            where = [
                f"{name.replace('_', ' ')} {value}" for name, value in keys.items()
            ]
            found.append(Behind(", ".join([label, *where]), groups))
    return found


def _joined(shared: Columns, ids: np.ndarray) -> dict[str, np.ndarray]:
    """What all methods share, by id: a method may answer for some examples only."""
    if not shared:
        return {}
    place = {name: row for row, name in enumerate(shared["ids"].tolist())}
    rows = np.array([place[name] for name in ids.tolist()], np.int64)
    return {name: array[rows] for name, array in shared.items()}


def _group(rule: _Rule, columns: Columns, most: int) -> Group | None:
    if any(name not in columns for name in rule.needs):
        return None
    rows = np.flatnonzero(rule.chosen(columns))
    rank = columns[rule.rank][rows]
    order = np.argsort(-rank if rule.largest_first else rank, kind="stable")
    shown = rows[order[:most]]
    if not rows.size:
        return None
    picked: dict[str, Any] = {name: array[shown] for name, array in columns.items()}
    total = len(columns["ids"])
    return Group(rule.title, rows.size, total, picked.pop("ids"), picked)
