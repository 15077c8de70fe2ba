"""Queries by uncertainty, CORESET and BADGE against plain NumPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.active_learning import make_strategy
from robustjax.selection import badge
from tests.methods.query_views import K, observed, view_of


def probabilities(view):
    z = np.asarray(view.observation.logits, np.float64)[:, :K]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def gap(view):
    p = np.sort(probabilities(view), axis=1)
    return p[:, -1] - p[:, -2]


REFERENCES = {
    "conf": lambda view: -probabilities(view).max(axis=1),
    "conf_logit": lambda view: -np.asarray(view.observation.logits)[:, :K].max(axis=1),
    "margin": lambda view: -gap(view),
    "entropy": lambda view: (
        -np.sum(probabilities(view) * np.log(probabilities(view)), axis=1)
    ),
    "ll": lambda view: np.asarray(view.observation.predicted_losses),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_the_highest_scores(name):
    view = view_of()
    wanted = sorted(view.unlabeled, key=lambda row: -REFERENCES[name](view)[row])
    got = make_strategy(name).select(view, (), 20).rows
    np.testing.assert_array_equal(got, wanted[:20])


def test_confidence_is_not_the_largest_logit():
    view = view_of()
    picks = [
        list(make_strategy(name).select(view, (), 10).rows)
        for name in ("conf", "conf_logit")
    ]
    assert picks[0] != picks[1]


def test_equal_scores_are_in_random_order():
    view = observed(view_of(), logits=jnp.zeros((60, K + 1)))
    wanted = make_strategy("random").select(view, (), 7).rows
    assert list(wanted) != sorted(wanted)
    for name in ("conf", "conf_logit", "margin", "entropy"):
        got = make_strategy(name).select(view, (), 7).rows
        np.testing.assert_array_equal(got, wanted)


def farthest_first(view, count):
    """k-center with labelled IN examples as the first centres."""
    features = np.asarray(view.observation.features, np.float64)
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    centres, picks = list(view.labeled_in), []
    for _ in range(count):
        nearest = distance[:, centres].min(axis=1)
        left = [row for row in view.unlabeled if row not in picks]
        picks.append(max(left, key=lambda row: nearest[row]))
        centres.append(picks[-1])
    return picks


def test_coreset_is_numpys():
    for seed in range(3):
        view = view_of(seed)
        got = make_strategy("coreset").select(view, (), 15).rows
        np.testing.assert_array_equal(got, farthest_first(view, 15))


def test_labeled_ood_examples_are_no_centres_of_coreset():
    view = view_of()
    features = view.observation.features.at[view.labeled_ood].set(50.0)
    # Far from all but OOD examples.
    far = view.unlabeled[3]
    view = observed(view, features=features.at[far].set(50.0))
    assert make_strategy("coreset").select(view, (), 1).rows == [far]


def test_coreset_starts_anywhere_without_labels():
    view = view_of(labeled_in=0)
    got = make_strategy("coreset").select(view, (), 6).rows
    labels = view.labels.copy()
    labels[got[0]] = 0
    rest = farthest_first(view._replace(labels=labels), 5)
    np.testing.assert_array_equal(got[1:], rest)


def test_badge_is_the_selection_of_the_unlabeled():
    view = view_of()
    rows = view.unlabeled
    logits, features = view.observation.logits[:, :K], view.observation.features
    got = make_strategy("badge").select(view, (), 10).rows
    wanted = rows[badge(view.key, logits[rows], features[rows], 10).indices]
    np.testing.assert_array_equal(got, wanted)
    p = probabilities(view)
    residual = p - np.eye(K)[p.argmax(axis=1)]
    norms = np.linalg.norm(residual, axis=1) * np.linalg.norm(features, axis=1)
    assert got[0] == rows[np.argmax(norms[rows])]


def test_bad_observations():
    view = view_of()
    with pytest.raises(ValueError, match="predicted_losses: got None"):
        make_strategy("ll").select(observed(view, predicted_losses=None), (), 3)
    with pytest.raises(ValueError, match="logits: got shape"):
        make_strategy("conf").select(observed(view, logits=jnp.ones((60, 2))), (), 3)
    broken = observed(view, logits=jnp.full((60, K), jnp.nan))
    with pytest.raises(ValueError, match="NaN"):
        make_strategy("entropy").select(broken, (), 3)
