"""How much features go with classes."""

import numpy as np
import pytest
from scipy import stats

from robustjax import scores


def test_it_equals_scipy(rng):
    features, chances = rng.normal(size=(40, 5)), rng.dirichlet(np.ones(3), 40)
    want = [
        max(abs(stats.pearsonr(feature, score)[0]) for score in chances.T)
        for feature in features.T
    ]
    got = scores.feature_correlations(features, chances)
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_only_the_shape_of_a_feature_counts(rng):
    features, labels = rng.normal(size=(40, 5)), np.eye(3)[rng.integers(0, 3, 40)]
    plain = scores.feature_correlations(features, labels)
    scale = np.array([1e-30, -2.0, 1e30, 5.0, -1e-3])
    moved = scores.feature_correlations(features * scale + 3 * scale, labels)
    np.testing.assert_allclose(moved, plain, rtol=1e-6)
    order = rng.permutation(40)
    again = scores.feature_correlations(features[order], labels[order])
    np.testing.assert_allclose(again, plain, rtol=1e-10)


def test_limits():
    labels = np.eye(2)[[0, 0, 1, 1]]
    features = np.array(
        [[1.0, 7, 0.1, -1], [1, 7, 0.1, 1], [3, 7, 0.1, -1], [3, 7, 0.1, 1]]
    )
    got = scores.feature_correlations(features, labels)
    # The very class, what does not vary (0.1 has no exact mean), and what is beside it.
    np.testing.assert_allclose(got, [1, 0, 0, 0], atol=1e-12)
    # A class that nothing is of does not count.
    wide = np.column_stack([labels, np.zeros(4)])
    np.testing.assert_array_equal(scores.feature_correlations(features, wide), got)
    least = np.array([[0.0], [0], [5e-324], [5e-324]])
    np.testing.assert_array_equal(scores.feature_correlations(least, labels), [0])
    largest = np.finfo(np.float64).max
    huge = np.array([[largest], [largest], [-largest], [-largest]])
    np.testing.assert_allclose(scores.feature_correlations(huge, labels), [1])


@pytest.mark.parametrize(
    ("features", "class_scores", "message"),
    [
        (
            np.ones((1, 3)),
            np.ones((1, 2)),
            r"features: got shape \(1, 3\), expected two",
        ),
        (np.ones((4, 0)), np.ones((4, 2)), r"features: got shape \(4, 0\)"),
        (np.ones((4, 3)), np.ones((4, 0)), r"class_scores: got shape \(4, 0\)"),
        (np.ones(4), np.ones((4, 2)), r"features: got shape \(4,\), expected rank 2"),
        (np.ones((4, 3)), np.ones((5, 2)), "class_scores"),
        (np.full((4, 3), np.nan), np.ones((4, 2)), "features: "),
    ],
)
def test_bad_input(features, class_scores, message):
    with pytest.raises(ValueError, match=message):
        scores.feature_correlations(features, class_scores)
