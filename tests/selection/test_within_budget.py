"""What a budget of cost pays for, against plain loops and exhaustive search."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import graph, selection
from robustjax.selection._within_budget import affordable

N = 12


def plain_walk(scores, costs, available, budget, per_cost=True):
    """The greedy rule, an example at a time; picks and what is left."""
    ratio = scores / costs if per_cost else scores
    left, picks = budget, []
    for row in np.argsort(-ratio, kind="stable"):
        if available[row] and costs[row] <= left:
            picks.append(int(row))
            left -= costs[row]
    return picks, left


@functools.cache
def problems():
    """Scores, costs, availability and a budget; in eighths, so that sums are exact."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(30):
        costs = rng.integers(1, 40, N) / 8.0
        found.append(
            (
                rng.random(N).astype(np.float32).astype(np.float64),
                costs,
                rng.random(N) < 0.8,
                float(rng.integers(int(8 * costs.min()), int(4 * costs.sum())) / 8),
            )
        )
    return found


@functools.cache
def jitted(per_cost):
    select = functools.partial(selection.top_within_budget, count=N, per_cost=per_cost)
    return jax.jit(select)


def taken(result):
    picks, there = map(np.asarray, result)
    assert (picks[~there] == -1).all()
    assert not (np.diff(there.astype(int)) > 0).any()
    return picks[there].tolist()


@pytest.mark.parametrize("per_cost", [True, False])
def test_is_the_plain_walk_traced_or_not(per_cost):
    for scores, costs, available, budget in problems():
        want, left = plain_walk(scores, costs, available, budget, per_cost)
        arrays = map(jnp.asarray, (scores, costs, available))
        assert taken(jitted(per_cost)(*arrays, budget)) == want
        rest = np.setdiff1d(np.flatnonzero(available), want)
        assert not (costs[rest] <= left).any(), "what is left over would pay for more"
    # The last one by arrays of NumPy, where the number of places is found.
    got = selection.top_within_budget(
        scores, costs, available, budget, per_cost=per_cost
    )
    assert taken(got) == want
    assert len(got[0]) == selection.most_within_budget(costs, budget)


def test_falls_short_of_the_optimum_by_less_than_the_first_left_out():
    short = 0
    choices = np.array(list(itertools.product((False, True), repeat=N)))
    for scores, costs, available, budget in problems():
        picks, _ = plain_walk(scores, costs, available, budget)
        arrays = map(jnp.asarray, (scores, costs, available))
        got = scores[taken(jitted(True)(*arrays, budget))].sum()
        assert got == scores[picks].sum()
        chosen = choices[~(choices & ~available).any(axis=1)]
        best = (chosen @ scores)[chosen @ costs <= budget].max()
        left, gap = budget, 0.0
        for row in np.argsort(-scores / costs, kind="stable"):
            if available[row] and costs[row] > left:
                gap = scores[row] / costs[row] * left
                assert gap <= scores[row]
                break
            if available[row]:
                left -= costs[row]
        assert best - gap - 1e-9 <= got <= best + 1e-9
        short += got < best - 1e-9
    assert 0 < short < len(problems()), "of both kinds there are some"


def test_equal_costs_give_the_picks_of_no_costs():
    """Of 20,000 scores, many closer than what a division would keep apart."""
    rng = np.random.default_rng(0)
    scores = jnp.asarray(1.5 + rng.integers(0, 10**5, 20_000) * 2.0**-23, jnp.float32)
    available = jnp.asarray(rng.random(20_000) < 0.9)
    want, _ = selection.top_available(scores, available, 10_000)
    for cost in (0.1, 3.0, 7e30):
        picks, there = selection.top_within_budget(
            scores, np.full(20_000, cost), available, 10_000 * cost
        )
        assert there.all()
        np.testing.assert_array_equal(picks, want)


def test_sums_of_many_costs_are_exact():
    costs = np.random.default_rng(1).lognormal(0, 1, 20_000).astype(np.float32)
    picks = taken(
        selection.top_within_budget(
            np.ones(20_000), costs, np.ones(20_000, bool), 9_000.0
        )
    )
    spent = costs[picks].sum(dtype=np.float64)
    left_out = np.setdiff1d(np.arange(20_000), picks)
    assert spent <= 9_000 * (1 + 1e-6)
    assert spent + costs[left_out].min() > 9_000 * (1 - 1e-6)


def test_negative_scores_are_worse_the_dearer_they_are():
    picks, _ = selection.top_within_budget(
        [-1.0, -1.0, 2.0, -3.0], [4.0, 1.0, 1.0, 1.0], [True] * 4, 7.0
    )
    assert picks.tolist() == [2, 1, 3, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"costs": [1.0, 0.0, 2.0]}, "costs: got 0 at row 1, expected numbers above 0"),
        ({"costs": [1.0, -1.0, 2.0]}, "costs: got -1 at row 1"),
        ({"costs": [1.0, np.nan, 2.0]}, r"costs: 1 row\(s\) hold NaN or infinity"),
        ({"costs": [1.0, np.inf, 2.0]}, r"costs: 1 row\(s\) hold NaN or infinity"),
        ({"costs": [1.0, 2.0]}, "lengths differ .*costs 2"),
        (
            {"budget": 0.5},
            "budget: got 0.5, expected at least the cost of the cheapest",
        ),
        ({"budget": np.nan}, "budget: got nan"),
        ({"budget": np.inf}, "budget: got inf"),
        ({"scores": [1.0, np.nan, 2.0]}, "scores: 1 row"),
        ({"available": [1, 2, 0]}, "available: got 2, expected bools"),
        ({"count": 4}, "count: got 4, expected at most the 3 examples"),
        ({"count": 0}, "count: got 0, expected an integer >= 1"),
    ],
)
def test_bad_arguments(changes, message):
    good = {
        "scores": [1.0, 2.0, 3.0],
        "costs": [1.0, 2.0, 3.0],
        "available": [True] * 3,
        "budget": 3.0,
    }
    with pytest.raises(ValueError, match=message):
        selection.top_within_budget(**{**good, **changes})


@pytest.mark.parametrize("mode", ["literal", "delta"])
def test_propagation_within_a_budget(mode):
    rng = np.random.default_rng(2)
    built = graph.neighbor_graph(rng.normal(size=(200, 3)), 5)
    diffusion = graph.clamped_diffusion(built.laplacian, solver="euler")
    entropies = jnp.asarray(rng.random((2, 200)), jnp.float32)
    candidates = jnp.asarray(rng.permutation(200)[:80], jnp.int32)
    usable = jnp.asarray(rng.random(80) < 0.9)
    free = functools.partial(selection.propagate_entropy, num_queries=12, mode=mode)

    @jax.jit
    def select(entropies, spending):
        def one(entropies, spending=None):
            return free(entropies, candidates, usable, diffusion, spending=spending)

        if spending is None:
            return jax.vmap(one)(entropies)
        return jax.vmap(one)(entropies, spending)

    equal = selection.Spending.of(np.full((2, 200), 0.7), 12 * 0.7)
    picks, left = select(entropies, equal)
    free_picks, free_left = select(entropies, None)
    np.testing.assert_array_equal(picks, free_picks)
    # Another program, whose products may be rounded at other places.
    np.testing.assert_allclose(left, free_left, rtol=1e-6)

    costs = rng.lognormal(0, 1, (2, 200))
    budget = 1.5
    picks, _ = select(entropies, selection.Spending.of(costs, budget))
    for row in range(2):
        e, left, want = np.asarray(entropies[row]), budget, []
        for _ in range(12):
            fits = np.asarray(usable) & (costs[row][candidates] <= left)
            fits &= ~np.isin(candidates, want)
            if not fits.any():
                break
            value = np.where(fits, e[candidates] / costs[row][candidates], -np.inf)
            node = int(candidates[value.argmax()])
            want.append(node)
            left -= costs[row][node]
            if mode == "literal":
                e = np.asarray(diffusion(jnp.asarray(e), node))
            else:
                response = np.array(1 - diffusion(jnp.ones(200), node))
                response[node] = 1
                e = np.maximum(e - e[node] * response, 0)
        assert 0 < len(want) < 12
        assert picks[row].tolist() == want + [-1] * (12 - len(want))


def test_one_rule_for_what_can_be_paid_for():
    # In doubles, the cost is above the budget.
    cost = 0.1 + 0.2
    assert affordable([cost, 0.4], 0.3).tolist() == [True, False]
    assert selection.most_within_budget([cost, 0.4], 0.3) == 1
