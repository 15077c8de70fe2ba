"""Draws in proportion to weights, of few rows and of many."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.bias import _draws
from robustjax.methods.bias._draws import weighted_draws


@pytest.fixture
def small_blocks(monkeypatch):
    """Several levels with few rows."""
    monkeypatch.setattr(_draws, "_AT_ONCE", 8)
    monkeypatch.setattr(_draws, "_BLOCK", 4)


@pytest.mark.parametrize("size", [7, 8, 9, 61])
@pytest.mark.usefixtures("small_blocks")
def test_frequencies_are_the_weights(size, rng):
    weights = rng.uniform(size=size) * (rng.uniform(size=size) < 0.7)
    weights[size // 2] = 3.0
    drawn = weighted_draws(jax.random.key(1), jnp.asarray(weights, jnp.float32), 60_000)
    assert drawn.dtype == jnp.int32
    found = np.bincount(np.asarray(drawn), minlength=size) / 60_000
    assert len(found) == size
    assert not found[weights == 0].any()
    wanted = weights / weights.sum()
    error = np.sqrt(wanted * (1 - wanted) / 60_000)
    assert (np.abs(found - wanted) <= 5 * error).all()


@pytest.mark.usefixtures("small_blocks")
def test_only_rows_of_positive_weight_are_drawn():
    for row in (0, 3, 4, 40):
        weights = jnp.zeros(41).at[row].set(1e-3)
        drawn = weighted_draws(jax.random.key(2), weights, 500)
        assert (np.asarray(drawn) == row).all()


def test_of_many_rows_every_one_can_be_drawn():
    size = 2**25
    drawn = np.asarray(weighted_draws(jax.random.key(3), jnp.ones(size), 40_000))
    assert drawn.min() >= 0
    assert drawn.max() < size
    # Of one cumulative sum, odd rows come half as often, or not at all.
    for bits in (2, 4, 8):
        shares = np.bincount(drawn % bits, minlength=bits) / len(drawn)
        assert np.abs(shares - 1 / bits).max() < 5 * np.sqrt(1 / bits / len(drawn))
    assert abs(drawn.mean() / size - 0.5) < 0.01
