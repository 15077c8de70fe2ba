"""Percentiles by counting are NumPy's percentiles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.selection._percentile import masked_percentile

find = jax.jit(masked_percentile)


@pytest.mark.parametrize("percentile", [0.0, 12.5, 40.0, 61.7, 99.0, 100.0])
def test_equals_numpy(percentile, rng):
    values = rng.normal(size=(37, 11)).astype(np.float32)
    values[:, 3] = np.round(values[:, 3])
    values[2] *= 1e-30
    valid = rng.random(values.shape) < 0.7
    want = np.percentile(values[valid].astype(np.float64), percentile)
    np.testing.assert_allclose(find(values, valid, percentile), want, rtol=1e-4)


def test_every_order_statistic(rng):
    values = np.sort(rng.normal(size=21).astype(np.float32))
    valid = jnp.ones(21, bool)
    every = jax.jit(jax.vmap(functools.partial(masked_percentile, values, valid)))
    np.testing.assert_allclose(every(5.0 * np.arange(21)), values, rtol=1e-5)


def test_few_values():
    values = jnp.array([3.0, -1.0, 7.0, -jnp.inf])
    none = jnp.zeros(4, bool)
    assert np.isnan(find(values, none, 50.0))
    assert find(values, none.at[1].set(True), 50.0) == -1.0
    assert find(values, none.at[:2].set(True), 25.0) == 0.0
    assert find(jnp.zeros(4), ~none, 30.0) == 0.0


@pytest.mark.slow
def test_the_last_of_many_is_the_largest():
    """A hundred times their number, over a hundred, is rounded to one more."""
    values = np.zeros(10_737_420, np.float32)
    values[7] = 2.0
    assert find(values, np.ones(values.shape, bool), 100.0) == 2.0


def test_bad_percentile():
    with pytest.raises(ValueError, match="percentile: got -1"):
        masked_percentile(jnp.ones(3), jnp.ones(3, bool), -1)
