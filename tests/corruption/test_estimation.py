"""Transition estimates against plain NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import corruption


@pytest.fixture
def probabilities(rng):
    return rng.dirichlet(np.full(4, 0.3), 200).astype(np.float32)


@pytest.mark.parametrize("percentile", [97.0, 50.0, None])
def test_anchor_points(percentile, probabilities):
    rows = []
    for i in range(4):
        column = probabilities[:, i].copy()
        if percentile is not None:
            limit = np.percentile(column, percentile, method="higher")
            column[column >= limit] = 0
        rows.append(probabilities[column.argmax()])
    got = corruption.anchor_transition(
        jnp.asarray(probabilities), percentile=percentile
    )
    np.testing.assert_allclose(got, rows, rtol=1e-5)
    # The estimate must not write into what it was given (a published bug does).
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_trusted_examples(probabilities, rng):
    labels = rng.integers(0, 3, 200)  # Class 3 has no trusted example.
    trusted = rng.random(200) < 0.3
    fallback = np.full((4, 4), 0.25, np.float32)
    got = corruption.trusted_transition(
        jnp.asarray(probabilities),
        jnp.asarray(labels),
        jnp.asarray(trusted),
        jnp.asarray(fallback),
    )
    for i in range(3):
        want = probabilities[trusted & (labels == i)].mean(0)
        np.testing.assert_allclose(got[i], want, rtol=1e-4)
    np.testing.assert_allclose(got[3], 0.25)


def test_bad_percentile(probabilities):
    with pytest.raises(ValueError, match="percentile: got 0"):
        corruption.anchor_transition(jnp.asarray(probabilities), percentile=0)
