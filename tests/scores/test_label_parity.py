"""Scores, joints and masks against cleanlab (written against 2.9.0)."""

import importlib

import numpy as np
import pytest

from robustjax import scores

pytestmark = pytest.mark.parity


@pytest.fixture
def cleanlab():
    """Its modules, or a skip where it is not installed."""

    def load(name):
        pytest.importorskip("cleanlab", reason="cleanlab is not installed")
        return importlib.import_module(f"cleanlab.{name}")

    return load


def random_problem(seed):
    """Classes of unequal size, noise, and predictions from blunt to sharp."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 20))
    count = int(rng.integers(100, 1500))
    shares = rng.dirichlet(np.full(classes, 3.0))
    true = rng.choice(classes, count, p=shares)
    wrong = rng.random(count) < rng.uniform(0, 0.5)
    labels = np.where(wrong, rng.choice(classes, count, p=shares), true)
    labels[:2] = 0, 1
    logits = rng.uniform(0.3, 2) * rng.normal(size=(count, classes))
    logits[np.arange(count), true] += rng.uniform(0, 5)
    p = np.exp(logits)
    return labels, (p / p.sum(1, keepdims=True)).astype(["f4", "f8"][seed % 2])


def masks(labels, p, theirs, joint=None, **options):
    """(filter, ours, theirs), with one joint where it is given."""
    for filter_by in scores.FILTERS:
        yield (
            filter_by,
            scores.find_label_issues(labels, p, filter_by=filter_by, **options),
            # One process: copies of one in which JAX has threads could hang.
            theirs(
                labels,
                p,
                filter_by=filter_by,
                n_jobs=1,
                confident_joint=None if filter_by == "confident_learning" else joint,
                **options,
            ),
        )


def assert_scores_agree(labels, p, rank):
    eps = np.finfo(p.dtype).eps
    for method in scores.QUALITY_METHODS:
        ours = scores.label_quality_scores(labels, p, method=method)
        theirs = rank.get_label_quality_scores(labels, p, method=method)
        # Where nearly all probability is on one class, theirs divides by 1e-6.
        own = np.maximum(p[np.arange(len(p)), labels], 1e-6)
        entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1) / np.log(p.shape[1])
        regular = (method != "confidence_weighted_entropy") | (entropy / own > 2e-6)
        # Theirs takes log(1 + r), which has few digits of a small r.
        tolerance = 4 * eps if method == "self_confidence" else 1e7 * eps
        np.testing.assert_allclose(
            ours[regular], theirs[regular], rtol=min(tolerance, 1e-3), atol=4 * eps
        )
    for method in scores.QUALITY_METHODS[:2]:
        ours, theirs = (
            score(labels, p, method=method, adjust_pred_probs=True)
            for score in (scores.label_quality_scores, rank.get_label_quality_scores)
        )
        np.testing.assert_allclose(ours, theirs, rtol=20 * eps, atol=4 * eps)


@pytest.mark.filterwarnings("ignore:May not flag all label issues:UserWarning")
@pytest.mark.parametrize("seed", range(6))
def test_random_problems(cleanlab, seed):
    count, find = cleanlab("count"), cleanlab("filter").find_label_issues
    labels, p = random_problem(seed)
    assert_scores_agree(labels, p, cleanlab("rank"))
    np.testing.assert_allclose(
        scores.class_thresholds(labels, p),
        count.get_confident_thresholds(labels, p),
        rtol=1e-6,
    )
    counts = scores.confident_joint(labels, p, calibrate=False)
    np.testing.assert_array_equal(
        counts, count.compute_confident_joint(labels, p, calibrate=False)
    )
    # Rounded alike, but for remainders that are equal: there theirs has no rule.
    joint = scores.confident_joint(labels, p)
    theirs = count.compute_confident_joint(labels, p)
    exact = counts / counts.sum(1, keepdims=True) * np.bincount(labels)[:, None]
    for row in np.flatnonzero((joint != theirs).any(1)):
        differ = np.flatnonzero(joint[row] != theirs[row])
        assert np.ptp(exact[row, differ] % 1) < 1e-9
        assert np.abs(joint[row] - theirs[row]).max() == 1
    for options in ({}, {"min_examples_per_class": 5}):
        for name, ours, other in masks(labels, p, find, joint, **options):
            np.testing.assert_array_equal(ours, other, err_msg=name)
    for share in (0.5, 0.3):
        for name in scores.FILTERS[:3]:
            options = {"filter_by": name, "frac_noise": share}
            np.testing.assert_array_equal(
                scores.find_label_issues(labels, p, **options),
                find(labels, p, n_jobs=1, confident_joint=joint, **options),
                err_msg=f"{name} {share}",
            )


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_predictions(cleanlab, request, name):
    count, find = cleanlab("count"), cleanlab("filter").find_label_issues
    rank = cleanlab("rank")
    # After the import, which may skip: what has the data must not skip for them.
    folder = request.getfixturevalue("data_dir") / "label_errors"
    p = np.load(folder / f"{name}_test_set_pyx.npy")
    labels = np.load(folder / f"{name}_test_set_original_labels.npy").astype(int)
    assert_scores_agree(labels, p, rank)
    np.testing.assert_array_equal(
        scores.confident_joint(labels, p), count.compute_confident_joint(labels, p)
    )
    np.testing.assert_allclose(
        scores.estimate_joint(labels, p), count.estimate_joint(labels, p), rtol=1e-12
    )
    for options in ({}, {"min_examples_per_class": 50}):
        for filter_by, ours, theirs in masks(labels, p, find, **options):
            np.testing.assert_array_equal(ours, theirs, err_msg=filter_by)
    for method in scores.QUALITY_METHODS[:2]:
        np.testing.assert_array_equal(
            scores.find_label_issues(labels, p, return_indices_ranked_by=method),
            find(labels, p, n_jobs=1, return_indices_ranked_by=method),
        )
