"""Printed numbers beside ours: what was claimed, what was measured, and a verdict."""

from __future__ import annotations

import csv
import dataclasses
import functools
import pathlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

RESULTS = pathlib.Path(__file__).parents[1] / "results"
CLAIMS = "claims.toml"

Row = Mapping[str, str]
Reader = Callable[[str], Sequence[Row]]

REPRODUCED, SAME_ORDER, SEEN, NOT_SEEN, NOT_RUN = VERDICTS = (
    "reproduced",
    "same order",
    "seen",
    "not seen",
    "not run",
)
_LEVEL = 0.95
# How far a difference may be from the printed one, as a factor.
_NEAR = 1.5


@dataclasses.dataclass(frozen=True)
class Claim:
    """An effect: of a method over its baseline, printed and measured.

    Attributes:
      area: the study.
      effect: what over what, in words.
      source: paper and table of the printed numbers; empty if nothing is printed.
      there: the setting of the printed numbers.
      printed: (mean,) or (mean, deviation) of the method, or empty.
      printed_baseline: that of the baseline, or empty.
      here: the setting of ours.
      published_setting: data and training are the paper's.
      run: the folder of our run below `experiments/results`; empty where none was made.
      baseline_run: that of the baseline, if it is another one.
      measure: a measure of `summary.csv` and `repeats.csv`.
      where: columns and values of both rows.
      method: those of the method's row alone.
      baseline: those of the baseline's.
      why_not: why nothing was run.
      headline: README's words; empty if it is not there.
      short: README's command: the two methods alone.
    """

    area: str
    effect: str
    source: str = ""
    there: str = ""
    printed: tuple[float, ...] = ()
    printed_baseline: tuple[float, ...] = ()
    here: str = ""
    published_setting: bool = False
    run: str = ""
    baseline_run: str = ""
    measure: str = ""
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    method: Mapping[str, str] = dataclasses.field(default_factory=dict)
    baseline: Mapping[str, str] = dataclasses.field(default_factory=dict)
    why_not: str = ""
    headline: str = ""
    short: str = ""

    @property
    def printed_gain(self) -> float | None:
        """The printed difference, if both numbers are printed."""
        if not self.printed or not self.printed_baseline:
            return None
        return self.printed[0] - self.printed_baseline[0]


@dataclasses.dataclass(frozen=True)
class Side:
    """One side: mean, sample deviation, number of repeats; `values` (n,) if kept."""

    mean: float
    deviation: float
    count: int
    values: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Difference:
    """Method minus baseline.

    Attributes:
      mean: of the differences.
      error: its standard error.
      interval: half the width of its 95 % interval (Student's t; where it is not
        paired, with Welch's degrees of freedom).
      paired: by repeat; otherwise from the means and deviations of both alone.
    """

    mean: float
    error: float
    interval: float
    paired: bool


@functools.cache
def read_claims() -> tuple[tuple[Claim, ...], Mapping[str, str]]:
    """All claims, and the commands of the runs that kept none.

    Raises:
      ValueError: a claim that names a run without a measure or rows, or neither a run
        nor a reason.
    """
    content = tomllib.loads((RESULTS / CLAIMS).read_text(encoding="utf-8"))
    return tuple(map(as_claim, content["claim"])), content["commands"]


def as_claim(fields: Mapping[str, Any]) -> Claim:
    """A claim from an entry of the file.

    Raises:
      ValueError: see `read_claims`.
    """
    numbers = {
        name: tuple(map(float, fields[name]))
        for name in ("printed", "printed_baseline")
        if name in fields
    }
    claim = Claim(**{**fields, **numbers})
    whole = claim.measure and claim.method and claim.baseline and claim.here
    if bool(claim.run) == bool(claim.why_not) or (claim.run and not whole):
        raise ValueError(
            f"claim: {claim.effect!r} of {claim.area!r} names run {claim.run!r} and "
            f"why_not {claim.why_not!r}, expected a run with measure, rows and "
            "setting, or else a reason"
        )
    if claim.printed and not claim.source:
        raise ValueError(f"claim: {claim.effect!r} has printed numbers and no source")
    return claim


def read_rows(path: str) -> list[dict[str, str]]:
    """The rows of a table below `experiments/results`."""
    with open(RESULTS / path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sides(claim: Claim, rows: Reader = read_rows) -> tuple[Side, Side]:
    """The method and its baseline, from the files of their runs.

    Args:
      claim: one that has a run.
      rows: reads a table by its path below `experiments/results`.

    Raises:
      ValueError: the files have not just one row for either.
    """
    return (
        _side(claim, claim.run, claim.method, rows),
        _side(claim, claim.baseline_run or claim.run, claim.baseline, rows),
    )


def _side(claim: Claim, run: str, own: Mapping[str, str], rows: Reader) -> Side:
    wanted = {**claim.where, **own}

    def matching(path: str) -> list[Row]:
        return [r for r in rows(path) if all(r[k] == v for k, v in wanted.items())]

    found = matching(f"{run}/summary.csv")
    if len(found) != 1:
        raise ValueError(
            f"claim: {claim.effect!r}: {run}/summary.csv has {len(found)} rows with "
            f"{wanted}, expected one"
        )
    mean, deviation = (
        float(found[0][f"{claim.measure}_{kind}"] or "nan") for kind in ("mean", "std")
    )
    count, path = int(found[0]["repeats"]), f"{run}/repeats.csv"
    if not (RESULTS / path).exists():
        return Side(mean, deviation, count)
    kept = [r for r in matching(path) if r["measure"] == claim.measure]
    values = {int(r["repeat"]): float(r["value"]) for r in kept}
    if len(kept) != count or sorted(values) != list(range(count)):
        raise ValueError(
            f"claim: {claim.effect!r}: {path} has repeats {sorted(values)} with "
            f"{wanted}, expected 0 to {count - 1} as summary.csv says"
        )
    return Side(mean, deviation, count, np.array([values[n] for n in range(count)]))


def difference(method: Side, baseline: Side, *, same_run: bool = True) -> Difference:
    """Method minus baseline, paired by repeat where the repeats were kept.

    Args:
      method: at least two repeats.
      baseline: at least two repeats.
      same_run: repeats of the same number had the same draws.

    Raises:
      ValueError: a single repeat, which says nothing of how far others lie.
    """
    for side in (method, baseline):
        if side.count < 2:
            raise ValueError(f"repeats: got {side.count}, expected at least two")
    if (
        same_run
        and method.values is not None
        and baseline.values is not None
        and len(method.values) == len(baseline.values)
    ):
        each = method.values - baseline.values
        error = float(each.std(ddof=1)) / len(each) ** 0.5
        return _difference(float(each.mean()), error, len(each) - 1, True)
    sides = (method, baseline)
    squares = [side.deviation**2 / side.count for side in sides]
    rest = sum(s**2 / (side.count - 1) for s, side in zip(squares, sides))
    # Of two sides without any deviation it makes no difference.
    freedom = sum(squares) ** 2 / rest if rest else 1.0
    error = sum(squares) ** 0.5
    return _difference(method.mean - baseline.mean, error, freedom, False)


def _difference(mean: float, error: float, freedom: float, paired: bool) -> Difference:
    quantile = float(stats.t.ppf((1 + _LEVEL) / 2, freedom))
    return Difference(mean, error, quantile * error, paired)


def verdict(claim: Claim, ours: Difference | None) -> str:
    """What may be said of a claim, by rule.

    "not seen": the 95 % interval of our difference holds zero or lies on the other side
    of it than the printed difference (where none is printed: below it). "reproduced":
    there, at the published setting, and between two thirds and three halves of the
    printed difference. "same order": there otherwise: method and baseline stand in the
    printed order, in another setting or with an effect of another size. "seen": there,
    and no difference is printed.
    """
    if ours is None:
        return NOT_RUN
    gain = claim.printed_gain
    sign = 1.0 if gain is None or gain >= 0 else -1.0
    if sign * ours.mean <= ours.interval:
        return NOT_SEEN
    if gain is None:
        return SEEN
    near = gain != 0 and 1 / _NEAR <= ours.mean / gain <= _NEAR
    return REPRODUCED if claim.published_setting and near else SAME_ORDER
