"""Purity scores against NumPy and against their limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.scores import _ood_detection as ood_detection
from robustjax.scores import _purity as purity
from robustjax.scores import _uncertainty as uncertainty


def logsumexp(x):
    top = x.max(axis=-1, keepdims=True)
    return (top + np.log(np.sum(np.exp(x - top), -1, keepdims=True)))[..., 0]


def test_scores_of_logits_are_high_for_what_is_in(rng):
    logits = rng.normal(size=(6, 4)).astype(np.float32) * 3
    p = np.exp(logits - logsumexp(logits)[:, None])
    np.testing.assert_allclose(purity.max_softmax_purity(logits), p.max(-1), rtol=1e-5)
    np.testing.assert_allclose(
        purity.energy_purity(logits, temperature=2.0),
        2 * logsumexp(logits / 2),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(
        uncertainty.low_max_logit(logits), -logits.max(axis=-1)
    )


def test_max_logit_and_softmax_confidence_rank_differently():
    logits = jnp.array([[5.0, 4.9], [2.0, -2.0]])
    by_softmax = np.argmax(uncertainty.least_confidence(logits))
    by_logit = np.argmax(uncertainty.low_max_logit(logits))
    assert (by_softmax, by_logit) == (0, 1)


def test_react_is_numpys(rng):
    inside = np.maximum(rng.normal(size=(50, 8)), 0).astype(np.float32)
    outside = np.maximum(rng.normal(size=(20, 8)), 0).astype(np.float32) * 4
    kernel = rng.normal(size=(8, 3)).astype(np.float32)
    bias = rng.normal(size=3).astype(np.float32)
    level = purity.react_threshold(inside)
    ordered = np.sort(inside.ravel())
    below = int(0.9 * (ordered.size - 1))
    part = 0.9 * (ordered.size - 1) - below
    wanted = ordered[below] + part * (ordered[below + 1] - ordered[below])
    np.testing.assert_allclose(level, wanted, rtol=1e-6)
    got = jax.jit(
        lambda h, c: purity.react_purity(h, kernel, bias, threshold=c, temperature=1.5)
    )(outside, level)
    logits = np.minimum(outside, level) @ kernel + bias
    np.testing.assert_allclose(got, 1.5 * logsumexp(logits / 1.5), rtol=1e-5)


def test_react_without_clipping_is_energy(rng):
    features = rng.normal(size=(5, 8)).astype(np.float32)
    kernel = rng.normal(size=(8, 3)).astype(np.float32)
    got = purity.react_purity(features, kernel, threshold=np.inf)
    wanted = -ood_detection.energy_uncertainty(features @ kernel)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    clipped = purity.react_purity(features, kernel, threshold=0.1)
    assert np.any(np.abs(clipped - wanted) > 0.1)


@pytest.mark.parametrize("block_rows", [3, 7, 100])
def test_nearest_references_in_blocks_of_any_size(rng, block_rows):
    features = rng.normal(size=(11, 5)) + 3
    references = rng.normal(size=(9, 5)) + 3
    mask = np.arange(9) != 4
    references[4] = 100 * features[2]
    cosine = (features @ references.T) / (
        np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(references, axis=1)
    )
    got = purity.nearest_in_cosine(
        features, references, mask=mask, block_rows=block_rows
    )
    np.testing.assert_allclose(got, cosine[:, mask].max(axis=1), rtol=1e-5)
    references[4] = features[2]
    distance = np.linalg.norm(features[:, None] - references, axis=2)
    got = purity.nearest_ood_distance(
        features, references, mask=mask, block_rows=block_rows
    )
    np.testing.assert_allclose(got, distance[:, mask].min(axis=1), rtol=1e-5)
    got = purity.nearest_ood_distance(features, references, block_rows=block_rows)
    assert got[2] == 0


def test_near_references_far_from_the_origin_keep_their_distance(rng):
    features = (1e3 + rng.normal(size=(6, 4))).astype(np.float32)
    references = features + np.float32(0.125)
    got = purity.nearest_ood_distance(features, references)
    np.testing.assert_allclose(got, 0.25, rtol=1e-4)


def test_zero_rows_and_extreme_scales_have_a_cosine():
    features = np.array([[0.0, 0.0], [1e-30, 0.0], [1e30, 1e30]], np.float32)
    got = purity.nearest_in_cosine(features, np.array([[1.0, 0.0]], np.float32))
    np.testing.assert_allclose(got, [0.0, 1.0, np.sqrt(0.5)], rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_nearest_of_a_tight_cluster_is_found(rng, offset):
    """Float32 products cannot tell its members apart."""
    centres = rng.normal(size=(5, 24)) + offset
    references = np.repeat(centres, 9, axis=0) + 1e-4 * rng.normal(size=(45, 24))
    points = centres[rng.integers(0, 5, 30)] + 1e-4 * rng.normal(size=(30, 24))
    points[:4] = references[[0, 7, 20, 44]]
    mask = np.arange(45) % 9 != 4
    got = purity.nearest_ood_distance(points, references, mask=mask)
    distance = np.linalg.norm(points[:, None] - references[mask], axis=2).min(axis=1)
    np.testing.assert_array_equal(got[:4], 0)
    np.testing.assert_allclose(got, distance, rtol=1e-4)


def test_traced_mask_without_references():
    def scores(mask):
        ones = jnp.ones((2, 3))
        return (
            purity.nearest_in_cosine(ones, ones, mask=mask),
            purity.nearest_ood_distance(ones, ones, mask=mask),
        )

    cosine, distance = jax.jit(scores)(jnp.zeros(2, bool))
    assert np.all(np.isneginf(cosine))
    assert np.all(np.isposinf(distance))


def test_no_array_of_all_pairs():
    n, m, rows = 4096, 2048, 128
    text = (
        jax.jit(lambda a, b: purity.nearest_in_cosine(a, b, block_rows=rows))
        .lower(jnp.ones((n, 4)), jnp.ones((m, 4)))
        .compile()
    )
    assert text.memory_analysis().temp_size_in_bytes < n * m


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: purity.react_threshold(np.zeros((0, 3))), "at least one IN"),
        (lambda: purity.react_threshold(np.ones(3)), "rank 2"),
        (lambda: purity.react_threshold(np.ones((2, 2)), percentile=101), "percentile"),
        (lambda: purity.react_threshold(np.full((2, 2), np.nan)), "features"),
        (
            lambda: purity.react_purity(
                jnp.ones((2, 3)), jnp.ones((4, 2)), threshold=1
            ),
            "kernel",
        ),
        (
            lambda: purity.react_purity(
                jnp.ones((2, 3)), jnp.ones((3, 2)), jnp.ones(3), threshold=1
            ),
            "bias",
        ),
        (
            lambda: purity.nearest_in_cosine(np.ones((2, 3)), np.ones((0, 3))),
            "references",
        ),
        (lambda: purity.nearest_in_cosine(np.ones((2, 3)), np.ones((2, 4))), "columns"),
        (
            lambda: purity.nearest_in_cosine(np.full((2, 3), np.nan), np.ones((2, 3))),
            "features",
        ),
        (
            lambda: purity.nearest_ood_distance(
                np.ones((2, 3)), np.ones((2, 3)), mask=np.zeros(2, bool)
            ),
            "mask",
        ),
        (
            lambda: purity.nearest_in_cosine(
                np.ones((2, 3)), np.ones((2, 3)), mask=[0, 2]
            ),
            "mask: got 2, expected bools",
        ),
        (
            # One per row, which would be one per column where these are as many.
            lambda: purity.react_purity(
                jnp.ones((3, 3)), jnp.ones((3, 2)), threshold=jnp.ones(3)
            ),
            "threshold: got shape",
        ),
        (
            lambda: purity.energy_purity(jnp.ones((3, 3)), temperature=np.ones(3)),
            "temperature: got shape",
        ),
        (
            lambda: purity.energy_purity(jnp.ones((3, 3)), temperature=np.inf),
            "temperature: got inf",
        ),
        (
            lambda: purity.energy_purity(jnp.ones((3, 3)), temperature=1e-50),
            "temperature: got 1e-50",
        ),
        (
            lambda: purity.nearest_ood_distance(
                np.ones((2, 3)), np.ones((2, 3)), block_rows=0
            ),
            "block_rows",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
