"""Confident joints against loops, and by their definition."""

import numpy as np
import pytest

from robustjax import scores


def problem(rng, count=400, classes=4, noise=0.2):
    """Given labels, probabilities that know better, and the true labels."""
    true = rng.integers(0, classes, count)
    wrong = rng.random(count) < noise
    labels = np.where(wrong, (true + 1) % classes, true)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), true] += 3
    p = np.exp(logits)
    return labels, p / p.sum(1, keepdims=True), true


def reference_joint(labels, p, thresholds):
    """Example by example."""
    counts = np.zeros((p.shape[1],) * 2, int)
    for y, row in zip(labels, p):
        reached = [k for k, v in enumerate(row) if v >= thresholds[k] - 1e-6]
        if len(reached) == 1:
            counts[y, reached[0]] += 1
        elif reached:
            counts[y, np.argmax(row)] += 1
    for k in range(len(counts)):
        counts[k, k] = max(counts[k, k], 1)
    return counts


def test_joint_counts_whoever_reaches_a_threshold(rng):
    labels, p, _ = problem(rng)
    bars = scores.class_thresholds(labels, p)
    np.testing.assert_allclose(bars, [p[labels == k, k].mean() for k in range(4)])
    np.testing.assert_array_equal(
        scores.confident_joint(labels, p, calibrate=False),
        reference_joint(labels, p, bars),
    )
    # Low thresholds that many examples reach; then for all but the first class.
    for bars in ([0.1, 0.1, 0.1, 0.1], [0.99, 0.01, 0.01, 0.01]):
        reached = p >= bars
        several = reached.sum(1) > 1
        own = np.take_along_axis(reached, p.argmax(1)[:, None], 1)[:, 0]
        assert several.sum() > 50
        assert (several & ~own).sum() > 20 or bars[0] < 0.5
        got = scores.confident_joint(labels, p, bars, calibrate=False)
        np.testing.assert_array_equal(got, reference_joint(labels, p, bars))


def test_ties_go_to_the_first_class():
    p = np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.4, 0.2, 0.4]])
    got = scores.confident_joint([2, 2, 2], p, [0.1, 0.1, 0.1], calibrate=False)
    np.testing.assert_array_equal(got, [[1, 0, 0], [0, 1, 0], [2, 1, 1]])


def test_calibrated_rows_sum_to_the_labels(rng):
    labels, p, _ = problem(rng)
    counts = scores.confident_joint(labels, p, calibrate=False)
    joint = scores.confident_joint(labels, p)
    given = np.bincount(labels)
    np.testing.assert_array_equal(joint.sum(1), given)
    exact = counts / counts.sum(1, keepdims=True) * given[:, None]
    assert np.abs(joint - exact).max() < 1
    estimate = scores.estimate_joint(labels, p)
    np.testing.assert_allclose(estimate, joint / len(labels))
    np.testing.assert_allclose(estimate.sum(), 1)
    np.testing.assert_array_equal(scores.estimate_joint(labels, p, counts), estimate)


def test_rounding_keeps_sums_and_comes_nearest():
    # 5/3 each: two become 2; 10.5 and 0.5 become 10 and 0, and one goes up again.
    labels = np.repeat([0, 1, 2], [5, 11, 0])
    counts = np.array([[3, 3, 3], [21, 1, 0], [0, 0, 7]])
    got = scores.calibrate_joint(counts, labels)
    np.testing.assert_array_equal(got, [[1, 2, 2], [11, 0, 0], [0, 0, 0]])


def test_joint_finds_the_noise(rng):
    """A fifth of each class was given the label after the true one."""
    labels, p, true = problem(rng, 20_000)
    want = np.zeros((4, 4))
    np.add.at(want, (labels, true), 1 / len(labels))
    np.testing.assert_allclose(scores.estimate_joint(labels, p), want, atol=0.02)


def test_classes_without_labels_or_confidence(rng):
    labels, p, _ = problem(rng)
    labels = np.minimum(labels, 2)
    bars = scores.class_thresholds(labels, p)
    assert bars[3] > 1
    joint = scores.confident_joint(labels, p)
    assert joint.shape == (4, 4)
    assert not joint[3].any()
    assert not joint[:, 3].any()
    # A class never predicted at all has no threshold of 0, which all would reach.
    p = np.tile([0.0, 1.0], (6, 1))
    assert scores.class_thresholds([0, 0, 0, 1, 1, 1], p)[0] > 1e-6
    joint = scores.confident_joint([0, 0, 0, 1, 1, 1], p, calibrate=False)
    np.testing.assert_array_equal(joint, [[1, 3], [0, 3]])


def test_bad_arguments(rng):
    labels, p, _ = problem(rng, 20)
    for thresholds in ([0.5, 0.5], [0.5, 0.5, 0.5, np.nan]):
        with pytest.raises(ValueError, match="thresholds: got .* expected 4 finite"):
            scores.confident_joint(labels, p, thresholds)
    with pytest.raises(ValueError, match="confident_joint: got shape .2, 2., expected"):
        scores.estimate_joint(labels, p, np.ones((2, 2)))
    with pytest.raises(ValueError, match="confident_joint: row 1 has no count"):
        scores.calibrate_joint([[1, 0], [0, 0]], [0, 1])
    with pytest.raises(ValueError, match="confident_joint: .* smallest entry -1"):
        scores.calibrate_joint([[1, -1], [0, 1]], [0, 1])
    with pytest.raises(ValueError, match="labels: lengths differ"):
        scores.class_thresholds(labels[1:], p)
