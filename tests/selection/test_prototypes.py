"""Prototypes by density against a plain NumPy reading of the definitions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.selection import _prototypes as prototypes
from robustjax.selection._kmeans import kmeans_plus_plus

M, D, P = 14, 4, 3


def points(seed=0, size=M):
    return np.random.default_rng(seed).normal(size=(size, D)).astype(np.float32)


def reference(similarity, percentile):
    """(cutoff, density, eta) of all points, by loops over the definitions."""
    m = len(similarity)
    off_diagonal = [similarity[i, j] for i in range(m) for j in range(m) if i != j]
    cutoff = np.percentile(off_diagonal, percentile)
    rho = np.array(
        [sum(np.sign(similarity[i, j] - cutoff) for j in range(m)) for i in range(m)]
    )
    eta = np.empty(m)
    for i in range(m):
        if rho[i] == rho.max():
            eta[i] = min(similarity[i])
        else:
            eta[i] = max(similarity[i, j] for j in range(m) if rho[j] > rho[i])
    return cutoff, rho, eta


def numpy_cosines(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ unit.T


def numpy_distances(x):
    return np.linalg.norm(x[:, None] - x[None], axis=-1)


@functools.partial(jax.jit, static_argnames="euclidean")
def measures(x, valid, percentile, euclidean=False):
    name = "euclidean_similarities" if euclidean else "cosine_similarities"
    similarity = getattr(prototypes, name)(x)
    cutoff = prototypes.similarity_cutoff(similarity, valid, percentile)
    density = prototypes.local_density(similarity, cutoff, valid)
    eta = prototypes.similarity_to_denser(similarity, density, valid)
    return similarity, cutoff, density, eta


@pytest.mark.parametrize(
    ("euclidean", "percentile"), [(False, 40.0), (True, 40.0), (False, 75.0)]
)
def test_measures_equal_numpy_on_the_valid_rows(euclidean, percentile):
    x = points()
    valid = np.arange(M) % 4 != 1
    similarity, cutoff, density, eta = measures(x, valid, percentile, euclidean)
    here = x[valid].astype(np.float64)
    want = -numpy_distances(here) if euclidean else numpy_cosines(here)
    np.testing.assert_allclose(similarity[np.ix_(valid, valid)], want, atol=1e-5)
    want_cutoff, want_density, want_eta = reference(want, percentile)
    np.testing.assert_allclose(cutoff, want_cutoff, atol=1e-5)
    np.testing.assert_array_equal(density[valid], want_density)
    np.testing.assert_allclose(eta[valid], want_eta, atol=1e-5)
    assert len(set(want_density)) < len(want_density), "no ties, the test is too easy"
    assert (np.asarray(density)[~valid] < -M).all()
    assert np.isinf(eta[~valid]).all()


def test_all_examples_of_the_largest_density_are_the_farthest_away():
    similarity = np.array([[1, 0.9, 0.2], [0.9, 1, 0.1], [0.2, 0.1, 1]], np.float32)
    density = jnp.array([3, 3, 1])
    eta = prototypes.similarity_to_denser(similarity, density, jnp.ones(3, bool))
    # Ties are not denser than each other.
    np.testing.assert_allclose(eta, [0.2, 0.1, 0.2])


def test_selection_takes_dense_points_that_are_apart():
    density = jnp.array([9, 8, 8, 5, 3, 1, -20])
    nearness = jnp.array([0.1, 0.99, 0.3, 0.96, 0.5, 0.94, -1.0])
    valid = jnp.arange(7) < 6

    def select(count):
        chosen, found = prototypes.dense_and_apart(
            density, nearness, valid, count=count
        )
        return chosen.tolist(), found.tolist()

    assert select(3) == ([0, 2, 4], [True] * 3)
    # Fewer are apart than asked for: the densest of the others follow.
    assert select(7) == ([0, 2, 4, 5, 1, 3, 6], [True] * 6 + [False])


def test_peaks_are_dense_and_far_from_a_denser_point():
    density = jnp.array([4, 2, 0, -6])
    nearness = -jnp.array([5.0, 0.5, 4.0, 9.0])
    valid = jnp.array([True, True, True, False])
    # ((4, 2, 0) + 3) / 2 times the distances: 17.5, 1.25, 6.
    chosen, found = prototypes.density_peaks(density, nearness, valid, count=4)
    assert chosen.tolist() == [0, 2, 1, 3]
    assert found.tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", ["density", "density_euclidean"])
def test_prototypes_equal_numpy(kind):
    x = points(3)
    x[7] = 1.001 * x[2]
    valid = np.arange(M) != 5
    got = prototypes.prototypes_of_class(
        jax.random.key(0), x, valid, count=P, kind=kind, max_similarity=0.9
    )
    here = x[valid].astype(np.float64)
    if kind == "density":
        _, rho, eta = reference(numpy_cosines(here), 40.0)
        order = sorted(range(len(here)), key=lambda i: (eta[i] >= 0.9, -rho[i], i))
    else:
        _, rho, eta = reference(-numpy_distances(here), 40.0)
        peak = (rho + len(here)) / 2 * -eta
        order = sorted(range(len(here)), key=lambda i: -peak[i])
    np.testing.assert_allclose(got.features, here[order[:P]], rtol=1e-6)
    assert got.valid.all()


def test_wrong_labels_are_no_prototypes():
    """The definition's purpose: isolated points are not chosen."""
    rng = np.random.default_rng(0)
    right = np.array([1.0, 0, 0, 0]) + 0.3 * rng.normal(size=(12, D))
    wrong = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.0]])
    x = np.concatenate([wrong, right]).astype(np.float32)
    got = prototypes.prototypes_of_class(
        jax.random.key(0), x, jnp.ones(15, bool), count=4
    )
    assert (got.features[:, 0] > 0.3).all()


def test_kmeans_prototypes_are_centres_of_clusters():
    rng = np.random.default_rng(1)
    corners = 10 * np.eye(D)[:P]
    x = (corners[np.arange(M) % P] + 0.1 * rng.normal(size=(M, D))).astype(np.float32)
    valid = np.arange(M) < 11
    got = prototypes.prototypes_of_class(
        jax.random.key(0), x, valid, count=P, kind="kmeans++"
    )
    means = np.stack([x[:11][np.arange(11) % P == c].mean(axis=0) for c in range(P)])
    order = np.argmax(got.features @ corners.T, axis=1)
    assert sorted(order) == list(range(P))
    np.testing.assert_allclose(got.features, means[order], atol=1e-5)


def test_kmeans_seeds_are_distinct_points_and_iterations_equal_numpy():
    x = points(5)
    valid = np.arange(M) < 6
    seed = functools.partial(kmeans_plus_plus, jax.random.key(2), x, valid)
    seeds = np.asarray(seed(count=6, iterations=0))
    np.testing.assert_allclose(
        seeds[np.lexsort(seeds.T)], x[:6][np.lexsort(x[:6].T)], atol=1e-6
    )
    centres = np.asarray(seed(count=2, iterations=0), np.float64)
    for _ in range(3):
        nearest = numpy_distances(np.concatenate([x[:6], centres]))[:6, 6:].argmin(1)
        centres = np.stack([x[:6][nearest == c].mean(axis=0) for c in range(2)])
    np.testing.assert_allclose(seed(count=2, iterations=3), centres, atol=1e-5)
    # Fewer distinct points than clusters.
    same = kmeans_plus_plus(jax.random.key(0), jnp.ones((4, D)), valid[:4], count=3)
    np.testing.assert_allclose(same, 1.0)


def test_sample_is_of_the_class_without_repetition():
    labels = jnp.array([0, 1, 2, 0, 1, 0, 0, 3, 0, -1, 9, 0])
    usable = jnp.arange(12) < 11
    draw = jax.jit(
        functools.partial(prototypes.sample_per_class, num_classes=5, size=4)
    )
    seen = set()
    for seed in range(30):
        sample = draw(jax.random.key(seed), labels, usable)
        assert sample.indices.shape == (5, 4)
        np.testing.assert_array_equal(sample.valid.sum(axis=1), [4, 2, 1, 1, 0])
        for c in range(5):
            rows = np.asarray(sample.indices[c])[np.asarray(sample.valid[c])]
            assert len(set(rows.tolist())) == len(rows)
            assert (labels[rows] == c).all()
            assert usable[rows].all()
        seen.update(np.asarray(sample.indices[0]).tolist())
    # All five examples of class 0 are drawn sooner or later, the unusable one never.
    assert seen == {0, 3, 5, 6, 8}


@pytest.mark.slow
def test_as_many_classes_as_eight_bits_tell_apart():
    labels = np.array([0, 255, 3, 255], np.uint8)
    draw = functools.partial(prototypes.sample_per_class, num_classes=256, size=2)
    sample = jax.jit(draw)(jax.random.key(0), labels, np.ones(4, bool))
    expected = np.bincount(labels, minlength=256)
    np.testing.assert_array_equal(np.asarray(sample.valid).sum(axis=1), expected)
    assert set(np.asarray(sample.indices)[255].tolist()) == {1, 3}


def test_scores_and_labels_equal_numpy():
    x = points(2, 20)
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(3, P, D)).astype(np.float32)
    valid = np.array([[True] * 3, [True, True, False], [False] * 3])
    made = prototypes.Prototypes(jnp.asarray(centres), jnp.asarray(valid))
    scores = prototypes.prototype_scores(x, made)
    for c in range(2):
        cosines = [
            x @ p / np.linalg.norm(x, axis=1) / np.linalg.norm(p)
            for p in centres[c][valid[c]]
        ]
        np.testing.assert_allclose(scores[:, c], np.mean(cosines, axis=0), atol=1e-5)
    assert (scores[:, 2] == -np.inf).all()
    labels = prototypes.assign_labels(x, made)
    np.testing.assert_array_equal(labels, np.argmax(scores, axis=1))
    assert set(labels.tolist()) == {0, 1}


@pytest.mark.parametrize("kind", prototypes.KINDS)
def test_every_class_for_itself(kind):
    """Classes with few, one or no examples leave the others as they are."""
    x = points(6, 40)
    labels = jnp.asarray([0] * 20 + [1] * 17 + [2] * 2 + [3])
    key = jax.random.key(0)
    sample = prototypes.sample_per_class(
        key, labels, jnp.ones(40, bool), num_classes=5, size=10
    )
    got = jax.jit(functools.partial(prototypes.class_prototypes, count=P, kind=kind))(
        key, x, sample
    )
    np.testing.assert_array_equal(got.valid.sum(axis=1), [P, P, 2, 1, 0])
    assert got.features.shape == (5, P, D)
    keys = jax.random.split(key, 5)
    one = jax.jit(functools.partial(prototypes.prototypes_of_class, count=P, kind=kind))
    for c in range(5):
        alone = one(keys[c], x[sample.indices[c]], sample.valid[c])
        use = np.asarray(alone.valid)
        np.testing.assert_allclose(got.features[c][use], alone.features[use], atol=1e-5)
    np.testing.assert_allclose(got.features[3, 0], x[39], atol=1e-5)
    assigned = prototypes.assign_labels(x, got)
    # The only example of a class is its own prototype; a class without any has none.
    assert assigned[39] == 3
    assert (assigned < 4).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: prototypes.sample_per_class(
                jax.random.key(0), jnp.zeros(3, int), True, num_classes=2, size=0
            ),
            "size: got 0",
        ),
        (
            lambda: prototypes.similarity_cutoff(jnp.eye(3), jnp.ones(3, bool), 101),
            "percentile: got 101",
        ),
        (
            lambda: prototypes.prototypes_of_class(
                jax.random.key(0), jnp.ones((3, 2)), jnp.ones(3, bool), count=4
            ),
            "count: got 4, expected at most the size of the sample, 3",
        ),
        (
            lambda: prototypes.prototypes_of_class(
                jax.random.key(0),
                jnp.ones((3, 2)),
                jnp.ones(3, bool),
                count=1,
                kind="kmeans",
            ),
            r"kind: unknown 'kmeans' \(did you mean 'kmeans\+\+'",
        ),
        (
            lambda: kmeans_plus_plus(
                jax.random.key(0), jnp.ones((3, 2)), jnp.ones(3, bool), count=0
            ),
            "count: got 0",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2.0**66, 2.0**-66])
def test_size_of_the_features_has_no_influence(scale, rng):
    """Also where the squares of the features are no float32 numbers."""
    features = jnp.asarray(rng.normal(size=(40, 5)), jnp.float32)
    valid, key = jnp.arange(40) < 35, jax.random.key(0)
    centres = kmeans_plus_plus(key, features, valid, count=4)
    got = kmeans_plus_plus(key, features * scale, valid, count=4)
    np.testing.assert_allclose(got, centres * scale, rtol=1e-5)
    for similarities, factor in (
        (prototypes.cosine_similarities, 1.0),
        (prototypes.euclidean_similarities, scale),
    ):
        np.testing.assert_allclose(
            similarities(features * scale), similarities(features) * factor, rtol=1e-5
        )
    garbage = features.at[35:].set(1e30)
    masked = kmeans_plus_plus(key, garbage, valid, count=4)
    np.testing.assert_allclose(masked, centres, rtol=1e-5, atol=1e-6)
