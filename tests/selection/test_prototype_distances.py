"""Distances to prototypes (SSP) against plain NumPy."""

import tracemalloc

import jax
import numpy as np
import pytest

from robustjax import arrays, row_source, selection
from robustjax.selection import _prototype_distance
from tests.scores.test_issues_by_blocks import Rows

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


@pytest.fixture
def small_blocks(monkeypatch):
    """Of eleven rows that are read, and of seven that are measured by a device."""
    monkeypatch.setattr(row_source, "_BLOCK_BYTES", 11 * D * 4)
    monkeypatch.setattr(_prototype_distance, "_BLOCK_NUMBERS", 7 * 3)


@pytest.mark.slow
@pytest.mark.parametrize("metric", _prototype_distance.METRICS)
def test_blocks_of_arrays_and_files_on_one_device_and_on_eight(
    metric, rng, mesh, small_blocks
):
    """Clusters whose means everybody finds; to these, in float64."""
    size = 3 * 43
    which = np.arange(size) % 3
    x = 5 * np.eye(3, D)[which] + rng.normal(size=(size, D)) / 4
    means = np.stack([x[which == c].mean(axis=0) for c in range(3)])[which]
    expected = np.linalg.norm(x - means, axis=1)
    if metric == "cosine":
        units = [y / np.linalg.norm(y, axis=1, keepdims=True) for y in (x, means)]
        expected = 1 - (units[0] * units[1]).sum(axis=1)
    for given in (x, Rows(x)):
        for where in ({}, {"mesh": mesh}):
            distance = selection.prototype_distances(
                given, 3, KEY, metric=metric, **where
            )
            np.testing.assert_allclose(distance, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("metric", _prototype_distance.METRICS)
def test_the_host_makes_no_copy_of_all_rows(metric, rng, mesh, monkeypatch):
    monkeypatch.setattr(row_source, "_BLOCK_BYTES", 2**17)
    monkeypatch.setattr(_prototype_distance, "_BLOCK_NUMBERS", 2**10)
    monkeypatch.setattr(arrays, "_BLOCK_VALUES", 2**12)
    x = rng.normal(size=(40_000, 32)).astype(np.float32)
    for where in ({}, {"mesh": mesh}):

        def call():
            return selection.prototype_distances(
                x, 3, KEY, metric=metric, iterations=1, sample=100, **where
            )

        call()
        tracemalloc.start()
        call()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < x.nbytes / 4
