"""What every query strategy keeps to, and the registry."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from robustjax.methods import entries, entry
from robustjax.methods.active_learning import UNASKED, WANTS, make_strategy
from tests.methods.query_views import K, view_of

ENTRIES = entries("active_learning", "strategy")
NAMES = [each.name for each in ENTRIES]


def made(name):
    options = entry(name, "active_learning").options
    return make_strategy(name, **({"steps": 20} if "steps" in options else {}))


def check(strategy, view, count):
    """Selects, twice, and learns; returns the rows."""
    memory = strategy.init_memory(jax.random.key(9))
    query = strategy.select(view, memory, count)
    assert query.rows.shape == (count,)
    assert np.unique(query.rows).size == count
    assert (view.labels[query.rows] == UNASKED).all()
    again = strategy.select(view, memory, count)
    np.testing.assert_array_equal(query.rows, again.rows)
    answers = np.arange(count) % (K + 1)
    after = strategy.learn(view, memory, query, answers)
    assert jax.tree.structure(after) == jax.tree.structure(memory)
    for leaf in jax.tree.leaves((memory, after, query.notes)):
        assert isinstance(leaf, (np.ndarray, jax.Array))
    return query.rows


@pytest.mark.parametrize("name", NAMES)
def test_conformance(name):
    strategy = made(name)
    assert strategy.name == name
    assert strategy.wants <= set(WANTS)
    view = view_of()
    # One that no oracle could answer: of no class, and not to be asked again.
    view.labels[view.unlabeled[7]] = UNASKED - 1
    everything = view.unlabeled.size
    check(strategy, view, 5)
    rows = check(strategy, view, everything)
    np.testing.assert_array_equal(np.sort(rows), view.unlabeled)
    with pytest.raises(ValueError, match="count: got 0"):
        strategy.select(view, strategy.init_memory(view.key), 0)
    with pytest.raises(ValueError, match="count"):
        strategy.select(view, strategy.init_memory(view.key), everything + 1)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_or_no_ood_example_labeled(name):
    strategy = made(name)
    for labeled_in, labeled_ood in ((0, 5), (9, 0), (0, 0)):
        view = view_of(labeled_in=labeled_in, labeled_ood=labeled_ood)
        check(strategy, view, 5)


@pytest.mark.parametrize("name", [n for n in NAMES if "similar" not in n])
def test_without_an_output_for_ood_examples(name):
    check(made(name), view_of(extra=0), 5)


@pytest.mark.parametrize("name", ["random", "badge", "coreset"])
def test_draws_follow_the_key(name):
    strategy = make_strategy(name)
    one, other = (
        strategy.select(view_of(labeled_in=0, key=jax.random.key(seed)), (), 8).rows
        for seed in (1, 2)
    )
    assert set(one) != set(other)


def test_what_is_wanted():
    wanted = {name: make_strategy(name).wants for name in NAMES}
    assert wanted == {each.name: each.needs for each in ENTRIES}
    for name in ("random", "conf", "conf_logit", "margin", "entropy", "coreset"):
        assert wanted[name] == set()
    assert wanted["badge"] == set()
    assert wanted["ll"] == {"loss_prediction"}
    assert wanted["ccal"] == {"rotations"}
    for name in ("similar_flcmi", "similar_flcg", "similar_logdet"):
        assert wanted[name] == {"ood_output"}
    for name in ("mqnet", "sum", "product"):
        assert wanted[name] == {"projections", "loss_prediction"}
        frugal = make_strategy(name, purity="react", informativeness="conf")
        assert frugal.wants == set()


def test_options_reach_the_strategy():
    words = {
        "similarity": "cosine",
        "purity": "react",
        "informativeness": "conf",
        "rule": "sum",
        "ties": "as_lower",
        "first_round": "raw",
        "validation": "random",
    }
    for name in NAMES:
        known = entry(name, "active_learning").options
        options = {key: option.default for key, option in known.items()}
        assert make_strategy(name).name == name
        assert make_strategy(name, name="another").name == "another"
        for key, default in options.items():
            value = words.get(key, 7)
            if isinstance(default, bool):
                value = not default
            elif isinstance(default, int | float):
                value = type(default)(default / 2) or 0.5
            assert value != default
            given = {key: value}
            if key == "first_round":
                # Raw confidence is added to purity, and to nothing else.
                given |= {"informativeness": "conf"}
            strategy = make_strategy(name, **given)
            assert getattr(strategy, key) == value
            kept = {k: v for k, v in options.items() if k not in given}
            assert {k: getattr(strategy, k) for k in kept} == kept
    assert "eta" not in entry("similar_flcg").options
    assert "steps" not in entry("sum").options


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mqnett", {}, "method: unknown 'mqnett' .did you mean 'mqnet'"),
        ("mqnet", {"purty": "csi"}, "did you mean 'purity'"),
        ("conf", {"measure": "ll"}, "option of conf: unknown 'measure'"),
        ("mqnet", {"purity": "cs"}, "purity"),
        ("mqnet", {"informativeness": "badge"}, "informativeness"),
        ("mqnet", {"rule": "max"}, "rule"),
        ("mqnet", {"ties": "no"}, "ties"),
        ("mqnet", {"steps": 0}, "steps"),
        ("mqnet", {"batch_size": 3}, "even"),
        ("mqnet", {"learning_rate": 0.0}, "learning_rate"),
        ("mqnet", {"margin": -1.0}, "margin"),
        ("mqnet", {"clip": 0.0}, "clip"),
        ("ccal", {"slope": 0.0}, "slope"),
        ("similar_flcmi", {"nu": -1.0}, "nu"),
        ("similar_flcg", {"similarity": "dot"}, "similarity"),
        ("similar_logdet", {"noise": 0.0}, "noise"),
        ("similar_logdet", {"max_width": 0}, "max_width"),
        ("similar_flcmi", {"pool_limit": 0}, "pool_limit"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_strategy(name, **options)
