"""What a run's tables show: cells for people, each with the number it is sorted by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study.numbers import Measure, in_cell, mean
from experiments.study.table import Table

_NONE = np.zeros(0)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
      text: for people.
      number: that it is sorted by; None of text, and where nothing was measured.
    """

    text: str
    number: float | None = None


@dataclasses.dataclass(frozen=True)
class Grid:
    """One table.

    Attributes:
      title: for its caption.
      header: a text per column.
      rows: as many cells each.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def is_number(self) -> list[bool]:
        """Of every column, whether it holds numbers."""
        columns = zip(*self.rows) if self.rows else ((),) * len(self.header)
        return [any(cell.number is not None for cell in column) for column in columns]


def plain(value: Any) -> Cell:
    """A cell with any JSON value."""
    if isinstance(value, bool) or value is None:
        return Cell({True: "yes", False: "no", None: "-"}[value])
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return Cell("-")
        text = f"{value:,}" if isinstance(value, int) else f"{value:g}"
        return Cell(text, float(value))
    if isinstance(value, list):
        return Cell(", ".join(plain(item).text for item in value) or "-")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Cell(str(value))
    return Cell(str(value), number if math.isfinite(number) else None)


def grid(title: str, rows: Sequence[Mapping[str, Any]]) -> Grid:
    """A table of records; their keys are the columns, as far as any has them."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    cells = [
        [x if isinstance(x := row.get(key, ""), Cell) else plain(x) for key in header]
        for row in rows
    ]
    return Grid(title, header, cells)


def results(table: Table) -> Grid:
    """Means and sample deviations over repeats, a row per setting."""
    rows, titles = [], _titles(table)
    for setting in table.settings:
        row = {**setting.columns, **setting.constants}
        for key, title in titles.items():
            values = setting.values.get(key, _NONE)
            row[title] = _measured(values, table.measure(key))
        rows.append({**row, "repeats": len(setting.repeats)})
    return grid("Mean ± sample deviation over repeats; shares in percent", rows)


def differences(table: Table, baseline: str | None) -> Grid | None:
    """Differences to a method, of the repeats that both have.

    Args:
      table: of the run.
      baseline: the method; None for the first of the table.

    Returns:
      None where there is nothing to compare.
    """
    methods = table.column("method")
    base = methods[0] if baseline is None and methods else baseline
    if len(methods) < 2 or base not in methods:
        return None
    found: dict[str, dict[str, Any]] = {}
    pairs: dict[str, int] = {}
    titles = _titles(table)
    for key, title in titles.items():
        measure = table.measure(key)
        for setting, difference in table.against({"method": base}, key):
            place = str(setting.columns)
            cell = _measured(difference, measure)
            sign = "+" if (cell.number or 0) > 0 else ""
            row = found.setdefault(place, dict(setting.columns))
            row[title] = Cell(f"{sign}{cell.text}", cell.number)
            there = int(np.isfinite(difference).sum())
            pairs[place] = max(pairs.get(place, 0), there)
    if not found:
        return None
    unknown = dict.fromkeys(titles.values(), Cell("-"))
    rows = [
        {
            **{name: x for name, x in row.items() if name not in unknown},
            **{title: row.get(title, cell) for title, cell in unknown.items()},
            "pairs": pairs[place],
        }
        for place, row in found.items()
    ]
    title = f"Mean ± sample deviation of the differences to {base}, repeat by repeat"
    return grid(title, rows)


def speeds(table: Table) -> Grid:
    """Minutes of work, and seconds of a late epoch or round."""
    names = {"minutes": "minutes of work", "seconds_late": "seconds per epoch or round"}
    rows = [
        {names.get(key, key): value for key, value in row.items()}
        for row in table.speeds()
    ]
    return grid("Time", rows)


def flags(by_method: Mapping[str, Mapping[str, Any]]) -> list[Grid]:
    """Every flag; those that differ between methods in a table of their own."""
    names = dict.fromkeys(name for own in by_method.values() for name in own)
    shared, own = [], []
    for name in names:
        texts = {method: plain(x.get(name)) for method, x in by_method.items()}
        if len(set(texts.values())) == 1:
            shared.append(
                {"flag": f"--{name}", "value": next(iter(texts.values())).text}
            )
        else:
            own.append({"flag": f"--{name}", **{m: c.text for m, c in texts.items()}})
    found = [grid("Flags", shared), grid("Flags that methods have of their own", own)]
    return [each for each in found if each.rows]


def _titles(table: Table) -> dict[str, str]:
    """A title of its own for each measure that is shown, by its key.

    Texts of a study may say in two places of a row what is meant; columns that are
    found by their title may not.
    """
    keys = _shown(table)
    given = [table.measure(key).title for key in keys]
    taken = {name for s in table.settings for name in (*s.columns, *s.constants)}
    taken |= {"repeats", "pairs"}
    return {
        key: f"{title} ({key})" if title in taken or given.count(title) > 1 else title
        for key, title in zip(keys, given)
    }


def _shown(table: Table) -> list[str]:
    """The measures of the summary of which there is a number."""
    keys = dict.fromkeys(key for s in table.settings for key in s.values)
    return [
        key
        for key in keys
        if table.measure(key).in_summary
        and any(np.isfinite(s.values.get(key, [])).any() for s in table.settings)
    ]


def _measured(values: np.ndarray, measure: Measure) -> Cell:
    center = float(mean(values))
    return Cell(in_cell(values, measure), center if math.isfinite(center) else None)
