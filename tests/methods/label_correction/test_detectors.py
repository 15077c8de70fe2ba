"""SimiFeat and O2U-Net: their parts against NumPy, their verdicts on data."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import corruption, methods
from robustjax.methods.label_correction import _o2u_net as o2u_net
from robustjax.methods.label_correction import _simifeat as simifeat
from tests.methods import problem


def clusters(rng, n=1500, rate=0.2):
    """Well separated classes with symmetric noise."""
    true = rng.integers(0, 3, n)
    features = np.eye(3)[true] * 4 + rng.normal(size=(n, 3)) * 0.5
    noisy = corruption.symmetric(
        jax.random.key(0), jnp.asarray(true), rate, 3, include_true=False
    )
    return features.astype(np.float32), true, np.asarray(noisy.labels)


def f1(flagged, wrong):
    hit = (flagged & wrong).sum()
    return 2 * hit / (flagged.sum() + wrong.sum())


def test_soft_labels_equal_numpy(rng):
    labels = rng.integers(0, 3, 20)
    neighbors = rng.integers(0, 20, (20, 4))
    distances = np.sort(rng.uniform(0, 0.5, (20, 4)), axis=1)
    want = np.zeros((20, 3))
    for n in range(20):
        want[n, labels[n]] += 1 - (2 * distances[n, 0] - distances[n, 1])
        for j, d in zip(neighbors[n], distances[n]):
            want[n, labels[j]] += 1 - d
        want[n] /= np.linalg.norm(want[n])
    got = simifeat.soft_labels(
        jnp.asarray(labels), jnp.asarray(neighbors), jnp.asarray(distances), 3
    )
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_consensus_counts_equal_numpy(rng):
    labels = rng.integers(0, 3, 50)
    neighbors = rng.integers(0, 50, (50, 2))
    rows = rng.permutation(50)[:30]
    want = np.zeros((3, 3, 3))
    for n in rows:
        a, b = neighbors[n]
        want[labels[n], labels[a], labels[b]] += 1 / 30
    first, second, third = simifeat.consensus_counts(
        jnp.asarray(labels), jnp.asarray(neighbors), jnp.asarray(rows), 3
    )
    np.testing.assert_allclose(third, want, atol=1e-6)
    np.testing.assert_allclose(second, want.sum(2), atol=1e-6)
    np.testing.assert_allclose(first, want.sum((1, 2)), atol=1e-6)


TRANSITION = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
PRIOR = np.array([0.5, 0.2, 0.3])


def test_expected_counts_equal_loops():
    first, second, third = np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3, 3))
    for true, i, j, k in itertools.product(range(3), repeat=4):
        row = TRANSITION[true]
        chance = PRIOR[true] * row[i] * row[j] * row[k]
        first[i] += chance
        second[i, j] += chance
        third[i, j, k] += chance
    got = simifeat.expected_counts(jnp.asarray(TRANSITION), jnp.asarray(PRIOR))
    for counts, want in zip(got, (first, second, third), strict=True):
        np.testing.assert_allclose(counts, want, rtol=1e-5)


def test_consensus_recovers_the_matrix_that_labels_were_drawn_from(rng):
    """Triplets that share a hidden class, with labels of their own."""
    count = 40_000
    true = np.repeat(rng.choice(3, count, p=PRIOR), 3)
    below = np.cumsum(TRANSITION, axis=1)[true] < rng.random(3 * count)[:, None]
    rows = 3 * np.arange(count)
    counts = simifeat.consensus_counts(
        jnp.asarray(below.sum(axis=1)),
        jnp.asarray(np.arange(3 * count)[:, None] + np.array([1, 2])),
        jnp.asarray(rows),
        3,
    )
    fitted = simifeat.fit_consensus(
        simifeat.initial_consensus(3), counts, steps=600, learning_rate=0.1
    )
    np.testing.assert_allclose(fitted.transition, TRANSITION, atol=0.05)
    np.testing.assert_allclose(fitted.prior, PRIOR, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["rank", "vote"])
def test_simifeat_finds_wrong_labels(rule, rng):
    features, true, noisy = clusters(rng)
    flagged = simifeat.detect(
        features,
        np.stack([noisy, true]),
        3,
        jax.random.split(jax.random.key(1), 2),
        methods.SimiFeat(rule=rule, passes=5, jitter=0.0),
    )
    # Ten voters leave a few neighbourhoods without a majority of right labels.
    assert f1(np.asarray(flagged[0]), noisy != true) > 0.9
    assert np.asarray(flagged[1]).mean() < 0.08  # Few false alarms on clean labels.


@pytest.mark.slow
def test_simifeat_takes_fresh_features_per_pass(rng):
    features, true, noisy = clusters(rng, 200)
    seen = []

    def augmented(number):
        seen.append(number)
        return features + 0.1 * np.random.default_rng(number).normal(size=(200, 3))

    flagged = simifeat.detect(
        features,
        noisy[None],
        3,
        jax.random.split(jax.random.key(1), 1),
        methods.SimiFeat(passes=3),
        augmented=augmented,
    )
    assert seen == [0, 1, 2]
    assert f1(np.asarray(flagged[0]), noisy != true) > 0.85


def test_o2u_schedule_is_cyclic():
    rate = methods.O2UNet(cycle_epochs=4, high=0.02, low=0.01).schedule(10)
    values = [float(rate(jnp.int32(step))) for step in (0, 9, 10, 39, 40)]
    np.testing.assert_allclose(values, [0.0175, 0.0175, 0.015, 0.01, 0.0175], rtol=1e-5)


@pytest.mark.slow
def test_o2u_flags_the_known_share_better_than_chance():
    train, _, noisy = problem.digits()
    wrong = noisy != train.labels[None]
    rate = float(wrong.mean())
    flagged = o2u_net.detect(
        problem.trainer(),
        jnp.asarray(noisy),
        rate,
        jax.random.split(jax.random.key(1), problem.REPEATS),
        methods.O2UNet(epochs=20, batch_size=32),
    )
    flagged = np.asarray(flagged)
    assert (flagged.sum(1) == round(rate * len(train))).all()
    assert f1(flagged, wrong) > rate + 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.SimiFeat(neighbors=2), "neighbors: got 2"),
        (lambda: methods.SimiFeat(rule="mean"), "rule: unknown 'mean'"),
        (lambda: methods.O2UNet(low=0.1), "low: got 0.1"),
        (
            lambda: methods.HardDetection("o2u", methods.O2UNet()),
            "noise_rate: got None, but O2U-Net must be told",
        ),
        (
            lambda: simifeat.detect(
                np.ones((5, 2)),
                np.zeros((1, 4), int),
                2,
                jax.random.split(jax.random.key(0), 1),
            ),
            "features: lengths differ",
        ),
        (
            lambda: simifeat.check(np.eye(9, 8), methods.SimiFeat()),
            "neighbors: got 10 for 9 examples",
        ),
        (
            lambda: simifeat.check(np.eye(12, 11), methods.SimiFeat()),
            r"features: 1 row\(s\) are all zero \(first: row 11\)",
        ),
        (
            lambda: methods.O2UNet(batch_size=64).check(63),
            "batch_size: got 64, expected at most .* 63",
        ),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
