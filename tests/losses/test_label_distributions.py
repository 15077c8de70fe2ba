"""Labels as distributions, and label smoothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses


def test_smoothing_equals_numpy(rng):
    labels = rng.integers(0, 4, (2, 3))
    soft = rng.dirichlet(np.ones(4), (2, 3)).astype(np.float32)
    for given, rows in ((labels, np.eye(4)[labels]), (soft, soft)):
        got = losses.smooth_labels(given, 4, smoothing=0.1)
        np.testing.assert_allclose(got, 0.9 * rows + 0.025, rtol=1e-6)
        np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-6)


def test_limits():
    labels = jnp.array([2, 0])
    nothing = losses.smooth_labels(labels, 3, smoothing=0.0)
    np.testing.assert_array_equal(nothing, np.eye(3)[[2, 0]])
    uniform = losses.smooth_labels(labels, 3, smoothing=1.0)
    np.testing.assert_allclose(uniform, np.full((2, 3), 1 / 3), rtol=1e-6)


def test_share_of_the_other_classes_alone():
    smoothing = 0.3 * 4 / 3
    got = losses.smooth_labels(jnp.array([1]), 4, smoothing=smoothing)
    np.testing.assert_allclose(got, [[0.1, 0.7, 0.1, 0.1]], rtol=1e-6)


def test_smoothing_may_be_traced():
    got = jax.jit(lambda s: losses.smooth_labels(jnp.array([0]), 2, smoothing=s))(0.5)
    np.testing.assert_allclose(got, [[0.75, 0.25]])


def test_label_out_of_range_is_nan_not_a_short_distribution():
    got = losses.as_distributions(jnp.array([-1, 3, 1], jnp.int8), 3)
    np.testing.assert_array_equal(got, [[np.nan] * 3, [np.nan] * 3, [0, 1, 0]])


def test_half_precision_distributions_become_float32():
    got = losses.as_distributions(jnp.eye(3, dtype=jnp.bfloat16), 3)
    assert got.dtype == jnp.float32


def test_bad_arguments():
    with pytest.raises(ValueError, match="smoothing: got -0.1"):
        losses.smooth_labels(jnp.array([0]), 3, smoothing=-0.1)
    with pytest.raises(ValueError, match=r"labels: got shape \(2, 4\), .*\(…, 3\)"):
        losses.as_distributions(jnp.zeros((2, 4)), 3)
