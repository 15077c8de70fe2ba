"""Distances to prototypes (SSP) against plain NumPy."""

import jax
import numpy as np
import pytest

from robustjax import selection

N, D = 60, 4
KEY = jax.random.key(0)


def test_ssp_keeps_what_is_far_from_prototypes(rng):
    """Three tight clusters, and a few points away from all."""
    centres = 10 * np.eye(3, D)
    x = centres[np.arange(N) % 3] + 0.1 * rng.normal(size=(N, D))
    odd = np.array([5, 17, 40])
    x[odd] += 4 * rng.normal(size=(3, D))
    x = x.astype(np.float32)
    for metric in ("cosine", "euclidean"):
        distance = np.asarray(selection.prototype_distances(x, 3, KEY, metric=metric))
        got = selection.select(
            x, None, None, 0.05, "ssp", key=KEY, clusters=3, metric=metric
        )
        assert set(got.indices) == set(odd)
        easy = selection.select(
            x, None, None, 0.5, "ssp", key=KEY, clusters=3, metric=metric, keep="easy"
        )
        assert not set(easy.indices) & set(odd)
        np.testing.assert_array_equal(easy.gains, distance[easy.indices])
        assert (np.diff(easy.gains) >= 0).all()


@pytest.mark.slow
def test_prototype_distance_is_to_the_nearest_centre(rng):
    """As many clusters as distinct points: every distance is 0 but for rounding."""
    x = np.repeat(rng.normal(size=(4, D)), 5, axis=0).astype(np.float32)
    for metric, rounding in (("cosine", 1e-6), ("euclidean", 2e-6)):
        distance = selection.prototype_distances(x, 4, KEY, metric=metric)
        np.testing.assert_allclose(distance, 0, atol=rounding)
    # One cluster: the mean, in whole numbers so that float32 is exact.
    x = np.round(8 * x)
    distance = selection.prototype_distances(x, 1, KEY, metric="euclidean")
    expected = np.linalg.norm(x - x.mean(0), axis=1)
    np.testing.assert_allclose(distance, expected, rtol=1e-4)
    cosine = selection.prototype_distances(x, 1, KEY)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    mean = x.mean(0) / np.linalg.norm(x.mean(0))
    np.testing.assert_allclose(cosine, 1 - unit @ mean, atol=1e-5)
    # Fitted to a part of the examples, taken of all.
    assert selection.prototype_distances(x, 2, KEY, sample=10).shape == (20,)
    with pytest.raises(ValueError, match="clusters: got 11, expected at most"):
        selection.prototype_distances(x, 11, KEY, sample=10)


def test_distances_in_clusters_far_apart(rng):
    """A ten-thousandth of the distance between them; to the means, in float64."""
    near = 1e-4 * rng.normal(size=(3, N // 3, D))
    x = near + 3 * np.eye(3, D)[:, None]
    expected = np.linalg.norm(near - near.mean(axis=1, keepdims=True), axis=2)
    distance = selection.prototype_distances(
        x.reshape(N, D), 3, KEY, metric="euclidean"
    )
    np.testing.assert_allclose(distance, expected.reshape(N), atol=2e-6)
