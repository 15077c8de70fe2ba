"""Is a selector better than chance, or than another one? Intervals by the bootstrap."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.special

from robustjax import checks

_MOST_NUMBERS = 4_000_000


class Interval(NamedTuple):
    """A mean and a percentile interval around it.

    Attributes:
      mean: of all that was measured.
      low: its lower end.
      high: its upper end.
    """

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """-1 or 1 where the whole interval is below or above zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)


class Kept(NamedTuple):
    """Which wrong records a selector kept.

    Attributes:
      kept: (R, W) bool, by repeat and record.
      there: (R, W) bool, whether the record was in the pool of that repeat.
      share: (R,) of all records of the pool that the selector kept.
    """

    kept: Any
    there: Any
    share: Any


def excess_kept(
    mine: Kept,
    base: Kept | None = None,
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """How much more of the wrong records is kept than by chance, or than by another.

    Chance is exact: a random selection of the same size keeps of the wrong records the
    share that it keeps of all. So selectors that keep different numbers of records
    compare. The interval is a percentile bootstrap that draws wrong records (each with
    all its repeats) and repeats, both with replacement: a selector that draws nothing
    keeps the same records in each repeat, which are no independent evidence.

    Args:
      mine: what the selector kept.
      base: what another one kept of the same pools; None for chance.
      confidence: of the interval.
      draws: of the bootstrap.
      seed: of the draws.

    Returns:
      The mean over repeats and wrong records; negative where fewer are kept.

    Raises:
      ValueError: shapes that do not fit, other pools, or no wrong record.
    """
    checks.in_range("confidence", confidence, 0, 1, low_open=True, high_open=True)
    checks.at_least("draws", draws, 1)
    difference, there = _excess("mine", mine)
    if base is not None:
        other, its = _excess("base", base)
        if not np.array_equal(there, its):
            raise ValueError("base: was chosen from other pools, expected the same")
        difference = difference - other
    value = np.where(there, difference, 0.0)
    rng = np.random.default_rng(seed)
    repeats, records = there.shape
    found: list[np.ndarray] = []
    step = max(1, _MOST_NUMBERS // records)
    for start in range(0, draws, step):
        count = min(step, draws - start)
        by_repeat = rng.multinomial(repeats, np.full(repeats, 1 / repeats), count)
        by_record = rng.multinomial(records, np.full(records, 1 / records), count)
        total, size = (
            np.einsum("bw,bw->b", by_repeat.astype(float) @ x, by_record)
            for x in (value, there.astype(float))
        )
        found.append(total[size > 0] / size[size > 0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return Interval(float(value.sum() / there.sum()), float(low), float(high))


def _excess(name: str, of: Kept) -> tuple[np.ndarray, np.ndarray]:
    kept, there = np.asarray(of.kept), np.asarray(of.there)
    share = np.asarray(of.share, np.float64)
    if kept.ndim != 2 or kept.dtype != bool or there.dtype != bool:
        raise ValueError(f"{name}: expected kept and there (R, W), of bool")
    if there.shape != kept.shape or share.shape != kept.shape[:1]:
        raise ValueError(
            f"{name}: got shapes {kept.shape}, {there.shape} and {share.shape}, "
            "expected (R, W), (R, W) and (R,)"
        )
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError(f"{name}: got share {share.tolist()}, expected 0 to 1")
    if not there.any():
        raise ValueError(f"{name}: no wrong record is in a pool, expected some")
    if (kept & ~there).any():
        raise ValueError(f"{name}: keeps what is not in its pool")
    return kept - share[:, None], there


def mean_interval(differences: Any, *, confidence: float = 0.95) -> Interval:
    """The mean of paired differences, with Student's interval.

    Args:
      differences: (R,) finite, one per repeat.
      confidence: of the interval; NaN where there are fewer than two repeats.

    Raises:
      ValueError: another shape, NaN, or a confidence outside (0, 1).
    """
    checks.in_range("confidence", confidence, 0, 1, low_open=True, high_open=True)
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"differences: got shape {values.shape}, expected (R,)")
    checks.finite("differences", values)
    mean = float(values.mean())
    if values.size < 2:
        return Interval(mean, float("nan"), float("nan"))
    error = float(values.std(ddof=1)) / values.size**0.5
    reach = error * float(scipy.special.stdtrit(values.size - 1, (1 + confidence) / 2))
    return Interval(mean, mean - reach, mean + reach)
