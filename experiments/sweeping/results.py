"""What the finished points of a sweep gave, side by side, from their folders alone.

A point's repeats and its seed are what is repeated; everything else that was swept,
and every column of the study's own table, tells one result from another.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study.numbers import (
    Measure,
    deviation,
    in_cell,
    mean,
)
from experiments.sweeping.folder import RESULTS, SUMMARY, Member, SweepFolder
from robustjax.tools.tables import in_file, text_table
from robustjax.training import write_csv

SEED = "seed"
_PER_REPEAT = ("point", SEED, "repeat", "value")


@dataclasses.dataclass
class Result:
    """One measure under one combination of columns.

    Attributes:
      columns: name -> text; "" where a column does not apply.
      measure: its key.
      values: (seed, repeat) -> value, shares in percent.
      members: the points that it is from.
    """

    columns: dict[str, str]
    measure: str
    values: dict[tuple[str, str], float]
    members: list[Member]

    @property
    def array(self) -> np.ndarray:
        """(R,) the values."""
        return np.array(list(self.values.values()), np.float64)

    def has(self, wanted: Mapping[str, str]) -> bool:
        """Whether it has these values in its columns."""
        return all(same(self.columns.get(n, ""), value) for n, value in wanted.items())


class Results:
    """Everything that was measured so far.

    Attributes:
      rows: tidy: a row per point, setting, repeat and measure.
      results: the same, with repeats and seeds together.
      finished: the points that are in it.
      tables: of their runs, by the name of the point.
      points: how many the sweep has, finished or not.
    """

    def __init__(self, folder: SweepFolder):
        """Reads all run folders of a sweep.

        Raises:
          ValueError: two points whose results have the same columns.
        """
        found = [(m, m.table) for m in folder.members]
        self.tables = {m.name: table for m, table in found if table is not None}
        self.finished = [m for m, table in found if table is not None]
        self.points, self._swept = len(folder.members), folder.swept
        self._renamed = self._columns_of_swept()
        self.rows: list[dict[str, Any]] = []
        results: dict[tuple[Any, ...], Result] = {}
        for member in self.finished:
            swept = {
                column: member.values.get(name, "")
                for name, column in self._renamed.items()
                if column
            }
            for each in self.tables[member.name].each_repeat():
                row = {"point": member.name, **swept, **each}
                self.rows.append(row)
                columns = {
                    n: str(x)
                    for n, x in row.items()
                    if n not in (*_PER_REPEAT, "measure")
                }
                key = (*columns.items(), each["measure"])
                result = results.setdefault(
                    key, Result(columns, each["measure"], {}, [])
                )
                if member not in result.members:
                    result.members.append(member)
                place = (member.values.get(SEED, ""), str(each["repeat"]))
                if place in result.values:
                    raise ValueError(
                        f"name: {result.members[0].name} and {member.name} have the "
                        f"same values in all columns ({_shown(columns)}); expected "
                        "methods that differ under other labels"
                    )
                result.values[place] = float(each["value"])
        self.results = list(results.values())

    def warnings(self, base: Mapping[str, str]) -> list[str]:
        """What was not the same in all runs, or in runs that are compared.

        Args:
          base: see `difference`; empty for none.

        Returns:
          A line on versions and devices each, and on data.
        """
        found: dict[str, dict[str, int]] = {}
        for table in self.tables.values():
            for name, value in table.record["versions"].items():
                counts = found.setdefault(name, {})
                counts[value] = counts.get(value, 0) + 1
        lines = [
            f"points were run with different {name}: "
            + ", ".join(f"{value} ({n})" for value, n in sorted(counts.items()))
            for name, counts in found.items()
            if len(counts) > 1
        ]
        return [*lines, *(self._other_data(base) if base else self._unlike_data())]

    def _unlike_data(self) -> list[str]:
        """A line for each kind of data in which points differ that should not.

        What differs in methods and their options alone is trained on the same.
        """
        first: dict[frozenset[tuple[str, str]], Member] = {}
        lines: dict[str, str] = {}
        for member in self.finished:
            alike = frozenset(
                (name, value)
                for name, value in member.values.items()
                if name != "methods" and "." not in name
            )
            other = first.setdefault(alike, member)
            ours, theirs = (
                self.tables[each.name].record["data"] for each in (member, other)
            )
            for name in ours:
                if ours[name] != theirs.get(name, ours[name]):
                    lines.setdefault(
                        name,
                        f"{member.name} has other {name} than {other.name}, from which "
                        "it differs in methods alone",
                    )
        return list(lines.values())

    def _other_data(self, base: Mapping[str, str]) -> list[str]:
        """A line for each kind of data that was another one in a point's baseline."""
        # What differs in methods alone is trained on the same, too.
        alike = all(name == "method" or "." in name for name in base)
        lines: dict[str, str] = {}
        for mine, other in self._compared(base):
            ours, theirs = (
                self.tables[each.name].record["data"] for each in (mine, other)
            )
            for name in ours if alike else ["test labels"]:
                if ours.get(name) != theirs.get(name, ours.get(name)):
                    lines.setdefault(
                        name,
                        f"{mine.name} has other {name} than {other.name}, with which "
                        "it is compared",
                    )
        return list(lines.values())

    def _compared(self, base: Mapping[str, str]) -> Iterator[tuple[Member, Member]]:
        """Points, and those of the same seed that they are compared with."""
        for result in self.results:
            its = self._baseline(result, base)
            pairs = itertools.product(result.members, its.members if its else ())
            for mine, other in pairs:
                if mine.values.get(SEED) == other.values.get(SEED):
                    yield mine, other

    def measure(self, key: str) -> Measure:
        """A measure of the study, by its key."""
        return next(iter(self.tables.values())).measure(key)

    def first_measured(self, keys: Sequence[str]) -> str:
        """The first of a study's measures that points have: a task has its own.

        Args:
          keys: of all, in the study's order; a pattern stands for several.
        """
        known = dict.fromkeys(r.measure for r in self.results)
        found = (each for key in keys for each in fnmatch.filter(known, key))
        return next(found, keys[0])

    def _columns_of_swept(self) -> dict[str, str]:
        """Swept name -> its column; "" for none."""
        settings = {
            name: {str(s.columns.get(name)) for t in self.tables.values()
                   for s in t.settings}
            for name in {n for t in self.tables.values()
                         for s in t.settings for n in s.columns}
        }  # fmt: skip
        renamed = {}
        for name in self._swept:
            values = [m.values[name] for m in self.finished if name in m.values]
            if name == "methods" and "method" in settings:
                # Of a point with one method the table says which it is.
                renamed[name] = name if any("," in value for value in values) else ""
            else:
                renamed[name] = f"flag {name}" if name in settings else name
        return renamed

    def chosen(self, measure: str, where: Mapping[str, str]) -> list[Result]:
        """The results of a measure, at the end of whatever was followed.

        Args:
          measure: its key.
          where: columns and their values; of a numeric column of the study itself that
            is not among them, the largest value alone of those that agree in all else.

        Raises:
          ValueError: nothing of this kind, with what there is.
        """
        known = list(dict.fromkeys(r.measure for r in self.results))
        if measure not in known:
            raise ValueError(
                f"measure: no finished point has {measure!r}; they have "
                f"{', '.join(known) or 'none'}"
            )
        found = [r for r in self.results if r.measure == measure and r.has(where)]
        own = [name for name in self.followed(found) if name not in where]
        for name in own:
            # Points may have been followed to different ends.
            ends: dict[frozenset[tuple[str, str]], float] = {}
            for result in found:
                others, end = _others(result, own), float(result.columns[name])
                ends[others] = max(end, ends.get(others, end))
            found = [
                r for r in found if float(r.columns[name]) == ends[_others(r, own)]
            ]
        if not found:
            raise ValueError(f"where: no finished point has {_shown(where)}")
        return found

    def followed(self, found: Sequence[Result]) -> list[str]:
        """The numeric columns of the study itself, such as labels that were asked."""
        return [
            name
            for name in dict.fromkeys(n for r in found for n in r.columns)
            if name not in self._renamed.values()
            and all(number(r.columns.get(name, "")) is not None for r in found)
        ]

    def difference(self, result: Result, base: Mapping[str, str]) -> np.ndarray | None:
        """Differences (R,) to a baseline, of the seeds and repeats that both have.

        Args:
          result: of which.
          base: columns that make a result its baseline: the one that has them, and
            agrees in all other columns that apply to both.

        Raises:
          ValueError: several results could be the baseline.
        """
        its = self._baseline(result, base)
        if its is None:
            return None
        both = [place for place in result.values if place in its.values]
        return np.array([result.values[p] - its.values[p] for p in both])

    def _baseline(self, result: Result, base: Mapping[str, str]) -> Result | None:
        """What a result is compared with; see `difference`."""
        if result.has(base):
            return None
        rest = {n: x for n, x in result.columns.items() if x and n not in base}
        found = [
            other
            for other in self.results
            if other.measure == result.measure
            and other.has(base)
            and all(same(x, other.columns.get(n) or x) for n, x in rest.items())
        ]
        if len(found) > 1:
            first, second = found[:2]
            every = dict.fromkeys((*first.columns, *second.columns))
            name = next(
                n for n in every if first.columns.get(n) != second.columns.get(n)
            )
            raise ValueError(
                f"baseline: several results have these values; expected {name}, too"
            )
        return found[0] if found else None

    def summary(
        self, base: Mapping[str, str], mark: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Means, sample deviations and paired differences, a row per result.

        Args:
          base: see `difference`; empty for none.
          mark: results with these values are marked; empty for none.

        Raises:
          ValueError: no result is a baseline.
        """
        if base and self.results and not any(r.has(base) for r in self.results):
            raise ValueError(f"baseline: no finished point has {_shown(base)}")
        rows = []
        for result in self.results:
            values = result.array
            row: dict[str, Any] = {
                **result.columns,
                "measure": result.measure,
                "repeats": len(values),
                "mean": in_file(mean(values)),
                "std": in_file(deviation(values)),
            }
            if base:
                there = self.difference(result, base)
                there = np.zeros(0) if there is None else there
                row["difference_mean"] = in_file(mean(there))
                row["difference_std"] = in_file(deviation(there))
                row["difference_repeats"] = len(there) or ""
            if mark:
                row["marked"] = "yes" if result.has(mark) else ""
            rows.append(row)
        return rows

    def write(
        self, folder: SweepFolder, base: Mapping[str, str], mark: Mapping[str, str]
    ) -> None:
        """Writes `summary.csv` and `results.csv`."""
        # The last, for by its points it tells whether the tables are those of now.
        write_csv(folder.path / SUMMARY, self.summary(base, mark))
        write_csv(folder.path / RESULTS, self.rows)

    def text(
        self, found: Sequence[Result], base: Mapping[str, str], mark: Mapping[str, str]
    ) -> str:
        """Some results of one measure for people; marked ones with a star."""
        measure = self.measure(found[0].measure)
        names = [
            name
            for name in dict.fromkeys(n for r in found for n in r.columns)
            if any(r.columns.get(name) for r in found)
        ]
        uneven = are_uneven(found)
        header = [*names, *(["repeats"] if uneven else []), measure.title]
        header += ["difference"] if base else []
        lines = []
        for result in found:
            star = " *" if mark and result.has(mark) else ""
            cells = [result.columns.get(name, "") for name in names]
            cells += [str(len(result.values))] if uneven else []
            cells.append(shown_in_cell(result.array, measure) + star)
            if base:
                there = self.difference(result, base)
                cells.append("" if there is None else shown_in_cell(there, measure))
            lines.append(cells)
        return text_table(header, lines)


def are_uneven(found: Sequence[Result]) -> bool:
    """Whether results are means over different numbers of repeats and seeds."""
    return len({len(result.values) for result in found}) > 1


def _shown(columns: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in columns.items())


def _others(result: Result, names: Sequence[str]) -> frozenset[tuple[str, str]]:
    """The columns of a result but some, with their values."""
    return frozenset(each for each in result.columns.items() if each[0] not in names)


def shown_in_cell(values: np.ndarray, measure: Measure) -> str:
    """Mean and deviation, for people, of values that are in percent already."""
    return in_cell(values / measure.scale, measure)


def number(text: str) -> float | None:
    """A text as a number, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def same(one: str, other: str) -> bool:
    """Whether two texts are the same value: 0.2 and 0.20 are."""
    return one == other or (number(one) is not None and number(one) == number(other))
