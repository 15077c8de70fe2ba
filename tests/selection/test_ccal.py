"""CCAL against plain NumPy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

# The package exports the function of the same name.
ccal_lib = importlib.import_module("robustjax.selection._ccal")


CLASSES = 3


def problem(rng, size=17, labeled=11, width=5, rotations=2):
    features = rng.normal(size=(rotations, size, width))
    references = rng.normal(size=(rotations, labeled, width))
    labels = np.r_[np.repeat(np.arange(CLASSES), 2), rng.integers(0, 3, labeled - 6)]
    return features, references, rng.permutation(labels)


def reference_scores(features, references, labels):
    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    features, references = unit(features), unit(references)
    scores = np.zeros((features.shape[1], CLASSES))
    for rotated, known in zip(features, references):
        for c in range(CLASSES):
            own = known[labels == c]
            for i, x in enumerate(rotated):
                a, b = np.argsort(-(own @ x))[:2]
                c1, c2 = own[a] @ x, own[b] @ x
                scores[i, c] += (c1 - c2 + own[a] @ own[b] + c1) / len(features)
    nearest = labels[np.argmax(features[0] @ references[0].T, axis=1)]
    return scores, nearest


@pytest.mark.parametrize("block_rows", [4, 100])
def test_distinctive_scores_are_numpys(rng, block_rows):
    given = problem(rng)
    got = ccal_lib.distinctive_scores(*given, CLASSES, block_rows=block_rows)
    scores, nearest = reference_scores(*given)
    np.testing.assert_allclose(got.scores, scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got.nearest, nearest)


def test_gate_is_the_printed_step(rng):
    semantic = rng.normal(size=20)
    s = (semantic - semantic.min()) / np.ptp(semantic)
    wanted = (1 - np.exp(-7 * (s - 0.6))) / (1 + np.exp(-7 * (s - 0.6)))
    got = ccal_lib.semantic_gate(semantic, slope=7.0, threshold=0.6)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nearest_only", [True, False])
@pytest.mark.parametrize("budget", [1, 7, 17])
def test_picks_class_by_class(rng, nearest_only, budget):
    given = problem(rng)
    semantic = rng.normal(size=17)
    found = ccal_lib.distinctive_scores(*given, CLASSES)
    got = ccal_lib.ccal(
        semantic,
        found,
        budget,
        slope=5.0,
        threshold=0.5,
        nearest_only=nearest_only,
    )
    scores, nearest = reference_scores(*given)
    s = (semantic - semantic.min()) / np.ptp(semantic)
    wanted: list[int] = []
    for c in range(CLASSES):
        d = (scores[:, c] - scores[:, c].min()) / np.ptp(scores[:, c])
        total = np.tanh(5 * (s - 0.5) / 2) + 1 - d
        if nearest_only:
            total[nearest != c] = -1
        taken = 0
        for i in np.argsort(-total, kind="stable"):
            if i not in wanted and taken < -(-budget // CLASSES):
                if len(wanted) < budget:
                    wanted.append(int(i))
                taken += 1
    assert got.indices.tolist() == wanted
    np.testing.assert_allclose(got.objective, got.gains.sum(), rtol=1e-5)


def test_foreign_looking_examples_come_last(rng):
    """A steep gate puts what is semantically far behind all that is near."""
    given = problem(rng)
    semantic = np.where(np.arange(17) < 9, 1.0, 0.0) + 0.001 * rng.random(17)
    found = ccal_lib.distinctive_scores(*given, CLASSES)
    got = ccal_lib.ccal(semantic, found, 9, nearest_only=False)
    assert set(got.indices) == set(range(9))


def test_bad_arguments(rng):
    features, references, labels = problem(rng)

    def scores(**change):
        names = {"features": features, "references": references, "labels": labels}
        return ccal_lib.distinctive_scores(**(names | change), num_classes=CLASSES)

    with pytest.raises(ValueError, match="at least two"):
        scores(labels=np.r_[0, 1, 1, np.full(8, 2)])
    with pytest.raises(ValueError, match="one of each"):
        scores(labels=labels[:-1])
    with pytest.raises(ValueError, match="out of range"):
        scores(labels=labels + 1)
    with pytest.raises(ValueError, match="rotations"):
        scores(references=references[:1])
    with pytest.raises(ValueError, match="rank 3"):
        scores(features=features[0])
    with pytest.raises(ValueError, match="zero"):
        scores(features=features * 0)
    with pytest.raises(ValueError, match="NaN"):
        scores(references=references * np.nan)
    found = scores()
    with pytest.raises(ValueError, match="budget"):
        ccal_lib.ccal(np.ones(17), found, 18)
    with pytest.raises(ValueError, match="lengths differ"):
        ccal_lib.ccal(np.ones(16), found, 3)
    with pytest.raises(ValueError, match="semantic"):
        ccal_lib.ccal(np.full(17, np.nan), found, 3)
    with pytest.raises(ValueError, match="slope"):
        ccal_lib.ccal(np.ones(17), found, 3, slope=0.0)
