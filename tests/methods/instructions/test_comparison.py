"""Intervals of what is kept of the wrong records, against NumPy and known answers."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax.methods import instructions
from robustjax.methods.instructions import Kept


def chosen(rng, repeats, records, share):
    kept = rng.random((repeats, records)) < share
    return Kept(kept, np.ones_like(kept), np.full(repeats, share))


def test_chance_is_no_difference_and_a_good_selector_is_one():
    rng = np.random.default_rng(0)
    random = chosen(rng, 5, 300, 0.2)
    found = instructions.excess_kept(random)
    assert found.sign == 0
    assert found.mean == pytest.approx(random.kept.mean() - 0.2)
    good = random._replace(kept=rng.random((5, 300)) < 0.1)
    found = instructions.excess_kept(good)
    assert found.sign == -1
    assert -0.14 < found.low < found.mean < found.high < -0.03
    # A selector that keeps fewer of all records has no merit by that.
    smaller = Kept(good.kept, good.there, np.full(5, 0.1))
    assert instructions.excess_kept(smaller).sign == 0
    worse = random._replace(kept=rng.random((5, 300)) < 0.4)
    assert instructions.excess_kept(worse).sign == 1
    assert instructions.excess_kept(good, worse).sign == -1
    assert instructions.excess_kept(good, good) == (0.0, 0.0, 0.0)


def test_repeats_of_the_same_choice_are_no_evidence():
    """The interval of one choice does not shrink with its number of copies."""
    rng = np.random.default_rng(1)
    one = chosen(rng, 1, 200, 0.3)
    copies = Kept(*(np.repeat(x, 20, axis=0) for x in one))
    once, often = instructions.excess_kept(one), instructions.excess_kept(copies)
    assert often.mean == pytest.approx(once.mean)
    width = once.high - once.low
    assert often.high - often.low == pytest.approx(width, rel=0.1)
    error = one.kept.std() / np.sqrt(200)
    assert width == pytest.approx(2 * 1.96 * error, rel=0.1)
    independent = chosen(rng, 20, 200, 0.3)
    found = instructions.excess_kept(independent)
    assert found.high - found.low < 0.6 * width


def test_records_that_are_not_in_a_pool_do_not_count():
    rng = np.random.default_rng(2)
    of = chosen(rng, 4, 50, 0.5)
    there = rng.random((4, 50)) < 0.6
    part = Kept(of.kept & there, there, of.share)
    found = instructions.excess_kept(part)
    assert found.mean == pytest.approx(of.kept[there].mean() - 0.5)
    other = part._replace(there=~there, kept=of.kept & ~there)
    with pytest.raises(ValueError, match="base: was chosen from other pools"):
        instructions.excess_kept(part, other)
    with pytest.raises(ValueError, match="mine: keeps what is not in its pool"):
        instructions.excess_kept(part._replace(there=there & ~of.kept))
    nothing = np.zeros((4, 50), bool)
    with pytest.raises(ValueError, match="mine: no wrong record"):
        instructions.excess_kept(Kept(nothing, nothing, of.share))
    with pytest.raises(ValueError, match="mine: got shapes"):
        instructions.excess_kept(part._replace(share=np.ones(3)))
    with pytest.raises(ValueError, match="confidence: got 1"):
        instructions.excess_kept(part, confidence=1.0)
    percent = part._replace(share=np.full(4, 20.0))
    with pytest.raises(ValueError, match=r"mine: got share .*20.0.*, expected 0 to 1"):
        instructions.excess_kept(percent)


def test_paired_differences_have_students_interval():
    values = np.array([0.1, 0.3, 0.2, 0.4])
    found = instructions.mean_interval(values)
    reach = 3.182446 * values.std(ddof=1) / 2
    np.testing.assert_allclose(found, [0.25, 0.25 - reach, 0.25 + reach], rtol=1e-6)
    assert found.sign == 1
    alone = instructions.mean_interval([0.5])
    assert np.isnan(alone.low)
    assert alone.sign == 0
    with pytest.raises(ValueError, match=r"differences: got shape \(0,\)"):
        instructions.mean_interval([])
    for confidence in (95, -0.5):
        with pytest.raises(ValueError, match="confidence: got"):
            instructions.mean_interval(values, confidence=confidence)
