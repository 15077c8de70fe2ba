"""MQNet's rounds: what ranks when, what is learnt, and whether it helps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.active_learning import (
    RANKED_BY,
    UNASKED,
    MQNetQuery,
    fit_mqnet,
    make_strategy,
    mqnet_scores,
)
from robustjax.methods.active_learning._query_mqnet import MQNetMemory
from robustjax.methods.active_learning._query_purity import PURITIES, purity
from robustjax.models import MQNet
from tests.methods.query_views import K, observed, view_of

COUNT = 12


def converted(raw):
    return np.exp(np.clip((raw - raw.mean()) / raw.std(), -5, 5))


def inputs_of(view):
    """Purity and informativeness of the unlabelled pool, as defined."""
    z = np.asarray(view.embeddings["projections"], np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    pure = (z[view.unlabeled] @ z[view.labeled_in].T).max(axis=1)
    loss = np.asarray(view.observation.predicted_losses)[view.unlabeled]
    return np.stack([converted(pure), converted(loss)], axis=1)


def ranked(view, values):
    return view.unlabeled[np.argsort(-values, kind="stable")][:COUNT]


def ranking(query):
    return RANKED_BY[int(query.notes.ranked_by)]


def start(strategy):
    return strategy.init_memory(jax.random.key(3))


def mixed_answers(view, query):
    """The first half IN, of some class, the second OOD."""
    del view
    return np.where(np.arange(query.rows.size) < COUNT // 2, 1, K)


def test_sum_and_product():
    view = view_of()
    inputs = inputs_of(view)
    for name, values in (("sum", inputs.sum(axis=1)), ("product", inputs.prod(axis=1))):
        strategy = make_strategy(name)
        query = strategy.select(view, start(strategy), COUNT)
        np.testing.assert_array_equal(query.rows, ranked(view, values))
        assert ranking(query) == name
        answers = mixed_answers(view, query)
        assert strategy.learn(view, (), query, answers) == ()


@pytest.mark.slow
def test_the_rounds_of_mqnet():
    strategy = make_strategy("mqnet", steps=50)
    view, memory = view_of(), start(strategy)
    inputs = inputs_of(view)
    first = strategy.select(view, memory, COUNT)
    assert ranking(first) == "sum"
    np.testing.assert_array_equal(first.rows, ranked(view, inputs.sum(axis=1)))
    after = strategy.learn(view, memory, first, mixed_answers(view, first))
    assert bool(after.fitted)
    assert not bool(memory.fitted)

    labels = view.labels.copy()
    labels[first.rows] = mixed_answers(view, first)
    view = view._replace(labels=labels, key=jax.random.key(77))
    second = strategy.select(view, after, COUNT)
    assert ranking(second) == "mqnet"
    values = np.asarray(mqnet_scores(after.params, jnp.asarray(inputs_of(view))))
    np.testing.assert_allclose(
        values[np.searchsorted(view.unlabeled, second.rows)],
        np.sort(values)[::-1][:COUNT],
        rtol=1e-5,
    )


def test_the_first_round_of_the_authors_confidence_mode():
    """exp(z of purity) plus 1 - max p as it is; later rounds take it converted."""
    view = view_of()
    settings = {"informativeness": "conf", "steps": 5}
    raw = make_strategy("mqnet", first_round="raw", **settings)
    paper = make_strategy("mqnet", **settings)
    query = raw.select(view, start(raw), COUNT)
    logits = np.asarray(view.observation.logits, np.float64)[view.unlabeled, :K]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    confidence, pure = 1 - p.max(axis=1), inputs_of(view)[:, 0]
    np.testing.assert_array_equal(query.rows, ranked(view, pure + confidence))
    assert ranking(query) == "sum"
    other = paper.select(view, start(paper), COUNT)
    wanted = ranked(view, pure + converted(confidence))
    np.testing.assert_array_equal(other.rows, wanted)
    assert set(query.rows) != set(other.rows)
    # Both learn from converted scores, and rank by them once they have learnt.
    inputs = np.stack([pure, converted(confidence)], axis=1)
    np.testing.assert_allclose(query.notes.converted, inputs, rtol=1e-3)
    memory = MQNetMemory(start(raw).params, jnp.ones((), bool))
    fitted = [s.select(view, memory, COUNT) for s in (raw, paper)]
    np.testing.assert_array_equal(fitted[0].rows, fitted[1].rows)
    assert ranking(fitted[0]) == "mqnet"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mqnet", {"first_round": "rough"}, "first_round: unknown 'rough'"),
        ("mqnet", {"first_round": "raw"}, "first_round: got raw with rule mqnet and"),
        (
            "sum",
            {"first_round": "raw", "informativeness": "conf"},
            "option of sum: unknown 'first_round'",
        ),
    ],
)
def test_a_raw_first_round_is_of_the_confidence_mode_only(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_strategy(name, **options)
    with pytest.raises(ValueError, match="first_round: got raw with rule sum and"):
        MQNetQuery("sum", informativeness="conf", rule="sum", first_round="raw")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 7),
        ("monotone", False),
        ("ties", "as_lower"),
        ("validation", "random"),
    ],
)
def test_rules_that_learn_nothing_refuse_options_of_the_fit(option, value):
    with pytest.raises(ValueError, match=f"{option}: got {value} with rule product,"):
        make_strategy("mqnet", rule="product", **{option: value})
    assert getattr(make_strategy("mqnet", **{option: value}), option) == value


def test_notes_are_what_was_seen():
    view = view_of()
    strategy = make_strategy("mqnet")
    query = strategy.select(view, start(strategy), COUNT)
    notes, inputs = query.notes, inputs_of(view)
    np.testing.assert_array_equal(notes.rows, view.unlabeled)
    np.testing.assert_allclose(notes.converted, inputs, rtol=1e-3)
    np.testing.assert_allclose(converted(notes.purity), inputs[:, 0], rtol=1e-3)
    loss = np.asarray(view.observation.predicted_losses)
    np.testing.assert_array_equal(notes.informativeness, loss[view.unlabeled])
    place = np.flatnonzero(notes.rows == query.rows[-1])[0]
    np.testing.assert_array_equal(notes.lowest, notes.converted[place])


def test_the_meta_model_learns_losses_of_answers():
    """Inputs and losses of the fit, also when only some rows were answered."""
    view = view_of()
    settings = {"steps": 30, "learning_rate": 0.05, "margin": 0.3, "batch_size": 4}
    strategy = make_strategy("mqnet", **settings)
    query = strategy.select(view, start(strategy), COUNT)
    query = query._replace(rows=query.rows[[4, 0, 7, 2, 9]])
    answers = np.array([0, K, 2, 1, K])
    got = strategy.learn(view, start(strategy), query, answers)

    z = np.asarray(view.observation.logits, np.float64)[query.rows, :K]
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    losses = [0 if a == K else -log_p[i, a] for i, a in enumerate(answers)]
    places = np.searchsorted(view.unlabeled, query.rows)
    wanted, _ = fit_mqnet(
        jax.random.fold_in(view.key, 1),
        np.float32(inputs_of(view)[places]),
        np.float32(losses),
        answers < K,
        **settings,
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        got.params,
        wanted,
    )


def test_without_labeled_ood_examples_only_informativeness_counts():
    view = view_of(labeled_ood=0)
    strategy = make_strategy("mqnet")
    loss = np.asarray(view.observation.predicted_losses)[view.unlabeled]
    memory = start(strategy)
    for fitted in (False, True):
        query = strategy.select(
            view, memory._replace(fitted=jnp.asarray(fitted)), COUNT
        )
        assert ranking(query) == "informativeness"
        np.testing.assert_array_equal(query.rows, ranked(view, loss))


@pytest.mark.parametrize(
    ("name", "options", "change"),
    [
        ("mqnet", {}, {"labeled_in": 0}),
        ("sum", {}, {"labeled_in": 0}),
        ("product", {"purity": "features"}, {"labeled_in": 0}),
        ("sum", {"purity": "ood_distance"}, {"labeled_ood": 0}),
    ],
)
def test_without_a_purity_only_informativeness_counts(name, options, change):
    view = view_of(**change)
    strategy = make_strategy(name, **options)
    query = strategy.select(view, start(strategy), COUNT)
    loss = np.asarray(view.observation.predicted_losses)[view.unlabeled]
    assert ranking(query) == "informativeness"
    np.testing.assert_array_equal(query.rows, ranked(view, loss))
    np.testing.assert_array_equal(query.notes.purity, 0)


def test_answers_that_teach_nothing():
    view = view_of()
    strategy = make_strategy("mqnet", steps=5)
    memory = start(strategy)
    query = strategy.select(view, memory, COUNT)
    for answers in (np.full(COUNT, K), np.zeros(COUNT, int)):
        assert strategy.learn(view, memory, query, answers) is memory
    with pytest.raises(ValueError, match="answers"):
        strategy.learn(view, memory, query, np.full(COUNT, K + 1))
    with pytest.raises(ValueError, match="lengths differ"):
        strategy.learn(view, memory, query, np.zeros(COUNT - 1, int))


def test_memory_is_a_pytree_of_one_structure():
    strategy = make_strategy("mqnet", steps=5)
    view, memory = view_of(), start(strategy)
    leaves, structure = jax.tree.flatten(memory)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    query = strategy.select(view, memory, COUNT)
    after = strategy.learn(view, memory, query, mixed_answers(view, query))
    assert jax.tree.structure(after) == structure
    restored = jax.tree.unflatten(structure, [np.asarray(x) for x in leaves])
    assert isinstance(restored, MQNetMemory)
    again = strategy.select(view, restored, COUNT)
    np.testing.assert_array_equal(again.rows, query.rows)
    shapes = [(x.shape, x.dtype) for x in leaves]
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(after)] == shapes


def test_a_fresh_start_or_the_model_before():
    view = view_of()
    kept, fresh = (
        make_strategy("mqnet", steps=2, learning_rate=1e-3, reinitialize=reinitialize)
        for reinitialize in (False, True)
    )
    memory = start(kept)
    query = kept.select(view, memory, COUNT)
    answers = mixed_answers(view, query)

    def moved(strategy):
        after = strategy.learn(view, memory, query, answers).params["params"]
        before = memory.params["params"]
        return np.abs(after["first_bias"] - before["first_bias"]).max()

    assert moved(kept) < 0.05
    assert moved(fresh) > 0.2


def test_the_ablation_has_another_model():
    free = make_strategy("mqnet", monotone=False)
    assert free.model == MQNet(monotone=False)
    view, memory = view_of(), start(free)
    params = jax.tree.map(lambda x: -x, memory.params)
    memory = MQNetMemory(params, jnp.ones((), bool))
    query = free.select(view, memory, COUNT)
    values = mqnet_scores(params, jnp.asarray(inputs_of(view)), model=free.model)
    np.testing.assert_array_equal(query.rows, ranked(view, np.asarray(values)))
    # A monotone model with weights of 0 scores all alike: the sum decides.
    alike = make_strategy("mqnet").select(view, memory, COUNT)
    wanted = ranked(view, inputs_of(view).sum(axis=1))
    np.testing.assert_array_equal(alike.rows, wanted)


@pytest.mark.slow
def test_purities_are_the_scores_of_the_pool():
    view = view_of()
    k, known, ood = view.num_classes, view.labeled_in, view.labeled_ood
    kernel, bias = (np.asarray(x, np.float64)[..., :k] for x in view.observation.head)
    h = np.asarray(view.observation.features, np.float64)
    z = np.asarray(view.embeddings["projections"], np.float64)

    def cosine(x):
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return (x @ x[known].T).max(axis=1)

    def energy(level):
        return np.log(np.exp(np.minimum(h, level) @ kernel + bias[None]).sum(axis=1))

    largest = (h @ kernel + bias[None]).max(axis=1)
    wanted = {
        "csi": cosine(z),
        "features": cosine(h),
        "msp": np.exp(largest - energy(np.inf)),
        "energy": energy(np.inf),
        "react": energy(np.percentile(h[known], 90)),
        "ood_distance": np.linalg.norm(z[:, None] - z[ood][None], axis=2).min(axis=1),
    }
    assert set(wanted) == set(PURITIES)
    for name in PURITIES:
        np.testing.assert_allclose(
            purity(view, name), wanted[name], rtol=1e-4, atol=1e-5
        )
    unknown = purity(view_of(labeled_in=0), "react")
    np.testing.assert_allclose(unknown, wanted["energy"], rtol=1e-4)
    with pytest.raises(ValueError, match="purity"):
        purity(view, "cosine")


def problem(seed, *, purity_helps, size=400):
    """A pool, its true labels, and what each example is worth.

    Either half of the pool is OOD, looks more informative than the rest and is given
    away by its projections; or a tenth is OOD and purity is noise. An IN example is
    worth its loss, an OOD one nothing.
    """
    rng = np.random.default_rng(seed)
    is_in = rng.random(size) < (0.5 if purity_helps else 0.9)
    loss = np.exp(rng.normal(size=size) * 0.8)
    truth = np.where(is_in, 0, K)
    # Cross-entropy of class 0 of three, two of them equal.
    p = np.exp(-loss)
    logits = np.log(np.stack([p, (1 - p) / 2, (1 - p) / 2], axis=1) + 1e-30)
    if purity_helps:
        angle = np.where(is_in, 0.6, 1.4) + 0.25 * rng.normal(size=size)
        predicted = np.log(loss) + np.where(is_in, 0.0, 2.0)
    else:
        angle = rng.uniform(0, 2, size=size)
        predicted = np.log(loss)
    predicted = predicted + 0.2 * rng.normal(size=size)
    projections = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    projections[:1] = 1, 0
    labels = np.full(size, UNASKED, np.int32)
    # One IN example is the reference: purity is the cosine of the angle to it.
    labels[0], labels[1:6] = 0, K
    view = view_of(
        labels=labels,
        embeddings={"projections": jnp.asarray(projections, jnp.float32)},
        key=jax.random.key(seed),
    )
    view = observed(
        view,
        logits=jnp.asarray(logits, jnp.float32),
        predicted_losses=jnp.asarray(predicted, jnp.float32),
    )
    return view, truth, np.where(is_in, loss, 0.0)


def worth_of_second_round(name, view, truth, worth, count=60):
    """Mean worth of what is asked for in the second of two rounds."""
    strategy = make_strategy(name)
    memory = start(strategy)
    first = strategy.select(view, memory, count)
    memory = strategy.learn(view, memory, first, truth[first.rows])
    labels = view.labels.copy()
    # The answers are taken out of the pool, as OOD so that purity stays as it is.
    labels[first.rows] = K
    view = view._replace(labels=labels)
    return worth[strategy.select(view, memory, count).rows].mean()


@pytest.mark.slow
@pytest.mark.parametrize("purity_helps", [True, False])
def test_learnt_weights_beat_fixed_ones(purity_helps):
    gained = {name: [] for name in ("mqnet", "sum", "product")}
    for seed in range(3):
        data = problem(seed, purity_helps=purity_helps)
        for name in gained:
            gained[name].append(worth_of_second_round(name, *data))
    mean = {name: np.mean(values) for name, values in gained.items()}
    assert mean["mqnet"] > 1.1 * max(mean["sum"], mean["product"]), mean
