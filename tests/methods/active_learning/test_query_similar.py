"""SIMILAR and CCAL as strategies, against plain NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.active_learning import _query_similar as query_similar
from robustjax.methods.active_learning import make_strategy
from tests.methods.query_views import K, observed, view_of

SIZE, COUNT = 40, 6


def small(seed=0, **change):
    return view_of(seed, size=SIZE, **change)


def embeddings(view):
    """[r; r (x) h] of all examples in float64."""
    z = np.asarray(view.observation.logits, np.float64)
    h = np.asarray(view.observation.features, np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    target = np.where(view.labels >= 0, view.labels, z.argmax(axis=1))
    r = p - np.eye(K + 1)[target]
    return np.concatenate([r, (r[:, :, None] * h[:, None]).reshape(len(r), -1)], axis=1)


def kernel(view):
    g = embeddings(view)
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    return (1 + g @ g.T) / 2


def coverage(view, *, with_query, eta=1.0, nu=1.0):
    """FLCMI or FLCG as a function of a set of places among the unlabelled."""
    s, u = kernel(view), view.unlabeled

    def nearest(others):
        return s[np.ix_(u, others)].max(axis=1, initial=0)

    q, p = nearest(view.labeled_in), nearest(view.labeled_ood)
    high = eta * q if with_query else np.inf
    own = s[np.ix_(u, u)]
    return lambda a: np.maximum(
        np.minimum(own[:, a].max(axis=1), high) - nu * p, 0
    ).sum()


def log_det(view):
    s, u = kernel(view) + np.eye(SIZE), view.unlabeled
    q, p = list(view.labeled_in), list(view.labeled_ood)

    def f(rows):
        return np.linalg.slogdet(s[np.ix_(rows, rows)])[1]

    return lambda a: (
        f([*u[a], *p]) + f([*q, *p]) - f([*u[a], *q, *p]) - (f(p) if p else 0)
    )


def check(name, view, value, **options):
    """Every pick is the best after those before; some are equally good."""
    got = make_strategy(name, **options).select(view, (), COUNT).rows
    places, rivals = list(np.searchsorted(view.unlabeled, got)), []
    for made, place in enumerate(places):
        before = places[:made]
        left = [j for j in range(view.unlabeled.size) if j not in before]
        values = {j: value([*before, j]) for j in left}
        best = max(values.values())
        assert values[place] > best - 1e-5
        rivals.append(sum(v > best - 1e-5 for v in values.values()) - 1)
    # Picks that only one or two examples could be show that something is checked.
    assert sum(r <= 1 for r in rivals) >= 3, rivals


@pytest.mark.parametrize("labeled_ood", [5, 0])
def test_flcmi_is_numpys(labeled_ood):
    view = small(1, labeled_ood=labeled_ood)
    check("similar_flcmi", view, coverage(view, with_query=True, nu=0.6), nu=0.6)


@pytest.mark.parametrize("labeled_ood", [5, 0])
def test_flcg_is_numpys(labeled_ood):
    view = small(2, labeled_ood=labeled_ood)
    check("similar_flcg", view, coverage(view, with_query=False))


def test_log_det_is_numpys():
    for labeled_ood in (5, 0):
        view = small(3, labeled_ood=labeled_ood)
        check("similar_logdet", view, log_det(view))


def test_without_labeled_in_examples_coverage_takes_over():
    view = small(labeled_in=0)
    wanted = make_strategy("similar_flcg").select(view, (), COUNT).rows
    for name in ("similar_flcmi", "similar_logdet"):
        got = make_strategy(name).select(view, (), COUNT).rows
        np.testing.assert_array_equal(got, wanted)


def cosines_with_first(rows):
    norms = np.linalg.norm(rows, axis=1)
    return rows @ rows[0] / (norms * norms[0])


def test_gradients_are_outer_products_of_their_factors():
    view = small()
    r, h = (np.asarray(factor) for factor in query_similar.gradient_factors(view))
    outer = np.einsum("nc,nd->ncd", r, h).reshape(SIZE, -1)
    wanted = cosines_with_first(embeddings(view))
    np.testing.assert_allclose(cosines_with_first(outer), wanted, atol=1e-5)


def test_gradients_of_confident_examples_do_not_vanish():
    view = small()
    # Probabilities of 0 and 1.
    view = observed(view, logits=view.observation.logits * 1e4)
    r = np.asarray(query_similar.gradient_factors(view)[0])
    assert (np.abs(r).max(axis=1) >= 1).all()
    np.testing.assert_allclose(r.sum(axis=1), 0, atol=1e-5)
    query = make_strategy("similar_flcmi").select(view, (), COUNT)
    assert np.unique(query.rows).size == COUNT


def test_projected_gradients_have_about_the_same_cosines(rng):
    r, h = rng.normal(size=(20, 6)), rng.normal(size=(20, 500))
    key = jax.random.key(0)
    exact, rough = (
        query_similar.outer_rows(r, h, max_width=width, key=key)
        for width in (3000, 2000)
    )
    np.testing.assert_allclose(exact, np.einsum("nc,nd->ncd", r, h).reshape(20, -1))
    assert rough.shape == (20, 2000)
    difference = cosine(exact, exact) - cosine(rough, rough)
    assert np.sqrt(np.mean(difference**2)) < 2 / 2000**0.5


@pytest.mark.parametrize("name", ["similar_flcmi", "similar_logdet"])
def test_a_subset_of_the_pool(name):
    view = small()
    got = make_strategy(name, pool_limit=3).select(view, (), COUNT).rows
    # As few as may be looked at: a random set, by the same draws.
    wanted = make_strategy("random").select(view, (), COUNT).rows
    assert set(got) == set(wanted)


def test_once_all_is_covered_the_rest_is_random():
    # All alike, so that one example covers the pool.
    view = small(labeled_ood=0)
    view = view._replace(labels=np.minimum(view.labels, 0))
    view = observed(view, logits=jnp.ones((SIZE, K + 1)), features=jnp.ones((SIZE, 2)))
    rows = make_strategy("similar_flcmi").select(view, (), COUNT).rows
    assert list(rows) != sorted(rows)


def test_an_output_for_ood_examples_is_needed():
    with pytest.raises(ValueError, match="output for OOD"):
        make_strategy("similar_flcmi").select(small(extra=0), (), 2)


def cosine(a, b):
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return a @ np.swapaxes(b, -1, -2)


def min_max(x):
    return (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0))


def plain_ccal(view, count, classes):
    """Class by class in turn, for classes of which there is an example."""
    u = view.unlabeled
    semantic, distinctive = (
        np.asarray(view.embeddings[name], np.float64)
        for name in ("semantic", "distinctive")
    )
    near = cosine(semantic[0][u], semantic[0][view.labeled_in]).max(axis=1)
    gate = np.tanh(100 * (min_max(near) - 0.9) / 2)
    scores, closest = [], []
    for number in classes:
        own = np.flatnonzero(view.labels == number)
        own = np.repeat(own, 2) if own.size == 1 else own
        total = 0.0
        for part in distinctive:
            c = cosine(part[u], part[own])
            order = np.argsort(-c, axis=1)[:, :2]
            first, second = np.take_along_axis(c, order, axis=1).T
            between = cosine(part[own], part[own])[order[:, 0], order[:, 1]]
            total = total + (first - second) + between + first
        scores.append(total / 4)
        closest.append(cosine(distinctive[0][u], distinctive[0][own]).max(axis=1))
    scores = gate[:, None] + 1 - min_max(np.stack(scores, axis=1))
    nearest = np.argmax(closest, axis=0)
    scores = np.where(nearest[:, None] == np.arange(len(classes)), scores, -1)
    quota, picks = -(-count // len(classes)), []
    for column in scores.T:
        taken = {i for some in picks for i in some}
        mine = sorted(set(range(u.size)) - taken, key=lambda i: -column[i])
        picks.append(mine[: min(quota, count - sum(map(len, picks)))])
    turns = [p[i] for i in range(quota) for p in picks if i < len(p)]
    return u[turns]


@pytest.mark.slow
def test_ccal_is_numpys():
    view = view_of(5, labeled_in=12)
    got = make_strategy("ccal").select(view, (), 8)
    np.testing.assert_array_equal(got.rows, plain_ccal(view, 8, [0, 1, 2]))
    semantic = np.asarray(view.embeddings["semantic"][0])
    wanted = cosine(semantic[view.unlabeled], semantic[view.labeled_in]).max(axis=1)
    np.testing.assert_allclose(got.notes.purity, wanted, atol=1e-5)
    np.testing.assert_array_equal(got.notes.rows, view.unlabeled)


def test_ccal_with_one_and_with_no_example_of_a_class():
    view = view_of(6, labeled_in=12)
    labels = view.labels.copy()
    ones, twos = np.flatnonzero(labels == 1), np.flatnonzero(labels == 2)
    labels[ones[1:]] = 0
    labels[twos] = 0
    view = view._replace(labels=labels)
    got = make_strategy("ccal").select(view, (), 8).rows
    np.testing.assert_array_equal(got, plain_ccal(view, 8, [0, 1]))


def test_ccal_without_labeled_in_examples_is_random():
    view = view_of(labeled_in=0)
    got = make_strategy("ccal").select(view, (), 8).rows
    wanted = make_strategy("random").select(view, (), 8).rows
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.slow
def test_embeddings_are_needed():
    with pytest.raises(ValueError, match="embeddings: got none, expected 'semantic'"):
        make_strategy("ccal").select(view_of(embeddings={}), (), 3)
    some = view_of(embeddings={"semantic": jnp.ones((4, 60, 2))})
    with pytest.raises(ValueError, match="got semantic, expected 'projections'"):
        make_strategy("sum").select(some, (), 3)
