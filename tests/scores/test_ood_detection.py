"""OOD scores against plain NumPy, metrics against scikit-learn and by brute force."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from robustjax import scores


def test_scores_equal_numpy(rng):
    z = rng.normal(size=(8, 5)) * 3
    e = np.exp(z)
    x = jnp.asarray(z, jnp.float32)
    np.testing.assert_allclose(
        scores.max_softmax_uncertainty(x), -(e / e.sum(1)[:, None]).max(1), rtol=1e-5
    )
    np.testing.assert_allclose(
        scores.energy_uncertainty(x), -np.log(e.sum(1)), rtol=1e-5
    )
    np.testing.assert_allclose(
        scores.energy_uncertainty(x, temperature=2.0),
        -2 * np.log(np.exp(z / 2).sum(1)),
        rtol=1e-5,
    )


def test_scores_of_extreme_and_half_precision_logits():
    flat, peak = jnp.zeros(4, jnp.bfloat16), jnp.array([1e4, 0, 0, 0], jnp.float32)
    assert scores.max_softmax_uncertainty(flat) == -0.25
    assert scores.max_softmax_uncertainty(peak) == -1
    assert scores.energy_uncertainty(flat).dtype == jnp.float32
    assert scores.energy_uncertainty(peak) == -1e4
    with pytest.raises(ValueError, match="temperature: got 0"):
        scores.energy_uncertainty(peak, temperature=0)


def brute_force_fpr(inside, outside):
    """Both operating points by trying every threshold."""
    accepting = [t for t in inside if 100 * np.sum(inside <= t) >= 95 * inside.size]
    accept = np.mean(outside <= min(accepting))
    options = []
    for t in outside:
        found = int(np.sum(outside >= t))
        gap = abs(100 * found - 95 * outside.size)
        options.append((gap, -found, np.mean(inside >= t)))
    return accept, min(options)[2]


@pytest.mark.parametrize("levels", [3, 40, None], ids=["coarse", "ties", "continuous"])
@pytest.mark.parametrize("sizes", [(60, 37), (20, 90)])
def test_metrics_equal_scikit_learn(rng, levels, sizes):
    n, m = sizes
    both = np.concatenate([rng.normal(size=n), rng.normal(size=m) + 1])
    if levels is not None:
        both = np.round(both * levels / 8)
    truth = np.arange(n + m) >= n
    got = scores.ood_detection_metrics(both[:n], both[n:])
    np.testing.assert_allclose(got.auroc, roc_auc_score(truth, both), rtol=1e-12)
    np.testing.assert_allclose(
        got.aupr_out, average_precision_score(truth, both), rtol=1e-12
    )
    want = brute_force_fpr(both[:n], both[n:])
    np.testing.assert_allclose(got[2:], want, rtol=1e-12)


def test_reversed_scores_mirror_the_auroc(rng):
    inside, outside = rng.integers(0, 9, 50), rng.integers(2, 12, 30)
    forward = scores.ood_detection_metrics(inside, outside)
    backward = scores.ood_detection_metrics(-inside, -outside)
    assert forward.auroc > 0.6
    np.testing.assert_allclose(backward.auroc, 1 - forward.auroc, rtol=1e-12)
    swapped = scores.ood_detection_metrics(outside, inside)
    np.testing.assert_allclose(swapped.auroc, 1 - forward.auroc, rtol=1e-12)


def test_limits():
    low, high = jnp.arange(10.0), jnp.arange(10.0, 20.0)
    assert scores.ood_detection_metrics(low, high) == (1, 1, 0, 0)
    worst = scores.ood_detection_metrics(high, low)
    assert (worst.auroc, worst.fpr95_in_pos, worst.fpr95_ood_pos) == (0, 1, 1)
    same = scores.ood_detection_metrics(np.zeros(30), np.zeros(10))
    assert same == (0.5, 0.25, 1, 1)


def test_the_two_rates_differ_and_follow_their_rules():
    inside = np.arange(20.0)
    # Accepting 19 of 20 needs t = 18: 3 of these 4 are accepted by it.
    outside = np.array([0.5, 10.5, 18.0, 30.0])
    got = scores.ood_detection_metrics(inside, outside)
    assert got.fpr95_in_pos == 0.75
    # Recall 1 is nearer to 0.95 than 0.75 is: t = 0.5 flags all but the first.
    assert got.fpr95_ood_pos == 0.95
    # Of 10, recalls 0.9 and 1 are equally near: the higher one, at t = 0.5.
    outside = np.array([0.5, *np.full(9, 30.0)])
    got = scores.ood_detection_metrics(inside, outside)
    assert got.fpr95_ood_pos == 0.95
    # Of 11, 10 / 11 is nearer than 1.
    outside = np.array([0.5, *np.full(10, 30.0)])
    got = scores.ood_detection_metrics(inside, outside)
    assert got.fpr95_ood_pos == 0


def test_bad_scores():
    good = np.ones(3)
    with pytest.raises(ValueError, match="in_scores: got no scores"):
        scores.ood_detection_metrics(np.ones(0), good)
    with pytest.raises(ValueError, match="ood_scores: got no scores"):
        scores.ood_detection_metrics(good, [])
    with pytest.raises(ValueError, match=r"ood_scores: got shape \(3, 1\)"):
        scores.ood_detection_metrics(good, good[:, None])
    with pytest.raises(ValueError, match=r"in_scores: 1 row.*NaN.*row 1"):
        scores.ood_detection_metrics(np.array([0, np.nan]), good)
