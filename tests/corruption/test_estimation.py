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


def test_anchors_of_classes_that_hardly_anybody_is_of():
    # Class 2 is that of three in a hundred, and has no probability elsewhere.
    p = np.tile(np.float32([0.5, 0.5, 0, 0]), (100, 1))
    p[0], p[40:43] = [0.9, 0.1, 0, 0], [0.05, 0.05, 0.9, 0]
    found = corruption.anchor_transition(p, percentile=97.0)
    np.testing.assert_allclose(found[2], p[40])
    # Nobody at all is of class 3.
    np.testing.assert_array_equal(found[3], [0, 0, 0, 1])
    # Below the percentile there are zeros alone.
    p[43:46, 2] = 1e-9
    found = corruption.anchor_transition(p, percentile=95.0)
    np.testing.assert_allclose(found[2], p[40])


def test_rows_that_are_no_shares_are_refused():
    for bad in ([[3.0, 1.0], [0.5, 0.5]], [[0.2, 0.3], [0.5, 0.5]]):
        with pytest.raises(ValueError, match="probabilities: row 0 sums to"):
            corruption.anchor_transition(np.array(bad), percentile=None)
    padded = np.array([[0.4, 0.6], [0.7, 0.3], [0, 0]])
    found = corruption.anchor_transition(padded, percentile=None)
    np.testing.assert_allclose(found, padded[[1, 0]], rtol=1e-6)


def test_trusted_labels_of_few_bits_are_no_others():
    labels = np.full(300, 3, np.uint8)
    everybody, fallback = np.ones(300, bool), np.eye(300)
    p = np.eye(300)
    found = corruption.trusted_transition(p, labels, everybody, fallback)
    np.testing.assert_allclose(found[3], np.full(300, 1 / 300), rtol=1e-4)
    # 3 + 256 is another class, of which nobody is.
    np.testing.assert_array_equal(found[4:], fallback[4:])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trusted": np.array([3, 1, 1])}, "trusted: got int64, expected bool"),
        ({"labels": np.array([0, 2, 1])}, r"labels: 1 label\(s\) out of range"),
        ({"labels": np.array([0, 0.5, 1])}, "labels: got float64"),
        ({"labels": np.array([0])}, "probabilities: lengths differ"),
        ({"fallback": np.ones((2, 2))}, "fallback: rows sum to"),
    ],
)
def test_bad_trusted_examples(given, message):
    good = {
        "probabilities": np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]),
        "labels": np.array([0, -1, 1]),
        "trusted": np.array([True, False, True]),
        "fallback": np.eye(2),
    }
    np.testing.assert_allclose(
        corruption.trusted_transition(**good), [[0.9, 0.1], [0.2, 0.8]], rtol=1e-6
    )
    whole = {**good, "trusted": np.ones(3, bool)} if "labels" in given else good
    with pytest.raises(ValueError, match=message):
        corruption.trusted_transition(**{**whole, **given})
