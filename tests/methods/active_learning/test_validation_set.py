"""Examples held out of a pool, which nobody asks about and MQNet may learn from."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.active_learning import (
    HELD_OUT,
    RANKED_BY,
    UNASKED,
    OpenSetBudget,
    OpenSetRun,
    ValidationSet,
    fit_mqnet,
    make_strategy,
    run_rounds,
)
from robustjax.methods.active_learning._open_set_simulation import simulated_oracle
from robustjax.training import CheckpointFolder
from tests.methods.open_set_problem import InOrder, NearestMean, make_blobs
from tests.methods.query_views import K, observed, view_of

BLOBS = make_blobs()
INITIAL = np.arange(12)
# Not in order.
HELD = np.arange(40, 20, -1)
COUNT = 12
SETTINGS = {"steps": 30, "learning_rate": 0.05, "margin": 0.3, "batch_size": 4}


def held_out(rows=HELD, labels=None):
    return ValidationSet(rows, BLOBS.labels[rows] if labels is None else labels)


def make_run(strategy=None, validation=None, budget=None, classifier=None):
    return OpenSetRun(
        strategy or InOrder(),
        classifier or NearestMean(BLOBS.inputs, BLOBS.num_classes),
        budget or OpenSetBudget(10, 3, cost_ood=2),
        jax.random.key(3),
        num_examples=len(BLOBS.labels),
        num_classes=BLOBS.num_classes,
        validation=validation,
        test_inputs=BLOBS.test_inputs,
        test_labels=BLOBS.test_labels,
    )


def start(run):
    return run.start(INITIAL, BLOBS.labels[INITIAL])


@pytest.mark.slow
def test_what_is_held_out_is_neither_asked_about_nor_trained_on():
    classifier = NearestMean(BLOBS.inputs, BLOBS.num_classes)
    run, without = make_run(validation=held_out(), classifier=classifier), make_run()
    before = start(run)
    oracle = simulated_oracle(BLOBS.labels)
    state, _ = run_rounds(run, before, oracle)
    other, _ = run_rounds(without, start(without), oracle)
    labels, picks = np.asarray(state.labels), np.asarray(state.picks)
    assert (labels[HELD] == HELD_OUT).all()
    assert not np.isin(picks, HELD).any()
    # The set matters: without it, some of these are asked about.
    assert np.isin(np.asarray(other.picks), HELD).any()
    assert all((seen[HELD] == UNASKED).all() for _, seen in classifier.seen)
    assert (labels[picks[picks >= 0]] == BLOBS.labels[picks[picks >= 0]]).all()
    # No training label and no answer of a round, but paid for.
    assert int(before.asked[0]) == 12
    paid = np.where(BLOBS.labels[[*INITIAL, *HELD]] < 3, 1, 2).sum()
    assert float(before.spent[0]) == paid
    assert float(other.spent[0]) == np.where(BLOBS.labels[INITIAL] < 3, 1, 2).sum()
    assert (np.asarray(state.spent[1:]) <= 10).all()
    # The first training is that of a run without it.
    assert state.accuracy[0] == other.accuracy[0]


@pytest.mark.slow
def test_a_restored_run_goes_on_as_before_and_with_no_other_set(tmp_path):
    options = {"purity": "energy", "informativeness": "conf", "steps": 20}
    strategy = make_strategy("mqnet", validation="random", **options)
    oracle = simulated_oracle(BLOBS.labels)
    run = make_run(strategy, held_out())
    whole, _ = run_rounds(run, start(run), oracle)
    assert bool(whole.memory.fitted)
    state, proposal = run.propose(start(run))
    assert proposal.view.validation is not None
    state = run.receive(state, proposal, oracle(proposal.rows))
    CheckpointFolder(tmp_path).save(1, state)
    fresh = make_run(strategy, held_out())
    _, restored, _ = CheckpointFolder(tmp_path).restore_latest(start(fresh))
    again, _ = run_rounds(fresh, restored, oracle)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(again)):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="state: got 20 examples held out, expected "):
        make_run(strategy, held_out(HELD - 1)).propose(restored)
    with pytest.raises(ValueError, match="validation set, 0"):
        make_run().propose(restored)


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([20, 21, 20], None, "validation.rows: row 20 occurs more than once"),
        ([20, 120], [0, 3], "validation.rows: got 120, expected rows of the pool"),
        ([20.0, 21.0], [0, 3], "validation.rows: got float64 of shape"),
        ([20, 21], [0, 3, 1], r"validation.labels: got shape \(3,\), expected \(2,\)"),
        ([20, 21], [0, 4], "validation.labels: .*first: 4"),
        ([20, 21], [0, 1], "validation: got 2 IN and 0 OOD examples, expected some"),
        ([20, 21], [3, 3], "validation: got 0 IN and 2 OOD examples, expected some"),
        ([], [], "validation.rows: got float64|validation: got 0 IN and 0 OOD"),
        ([11, 21], [0, 3], "rows: got 11, expected none of the validation set"),
    ],
)
def test_sets_that_cannot_be_held_out(rows, labels, message):
    rows = np.array(rows)
    labels = BLOBS.labels[rows.astype(int)] if labels is None else np.array(labels)
    with pytest.raises(ValueError, match=message):
        start(make_run(validation=ValidationSet(rows, labels)))


def test_a_set_is_there_or_missed_early_and_leaves_enough_to_ask():
    with pytest.raises(
        ValueError, match="validation: 'mqnet' wants a .* set, got none"
    ):
        make_run(make_strategy("mqnet", purity="msp", validation="random"))
    budget = OpenSetBudget(30, 4)
    start(make_run(budget=budget))
    with pytest.raises(ValueError, match=r"rounds: got 4 .* pool of 100 is asked up"):
        start(make_run(budget=budget, validation=held_out()))
    with pytest.raises(ValueError, match="validation: unknown 'own'"):
        make_strategy("mqnet", validation="own")
    strategy = make_strategy("mqnet", validation="random")
    assert strategy.wants - make_strategy("mqnet").wants == {"validation"}
    with pytest.raises(ValueError, match="validation: got None with validation=random"):
        strategy.select(view_of(), strategy.init_memory(jax.random.key(0)), COUNT)


def seen():
    """A view of a pool of which 10 examples are held out, and these."""
    view = view_of()
    rows = view.unlabeled[::-4][:10]
    answers = np.array([0, K, 2, 1, K, 0, K, 1, 2, 2])
    labels = view.labels.copy()
    labels[rows] = HELD_OUT
    return view._replace(labels=labels, validation=ValidationSet(rows, answers))


def reference(view):
    """(N, 2) purity and informativeness by mean and deviation of the unlabelled."""
    z = np.asarray(view.embeddings["projections"], np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    pure = (z @ z[view.labeled_in].T).max(axis=1)
    loss = np.asarray(view.observation.predicted_losses, np.float64)
    free = view.unlabeled
    return np.stack(
        [
            np.exp(np.clip((x - x[free].mean()) / x[free].std(), -5, 5))
            for x in (pure, loss)
        ],
        axis=1,
    )


def test_the_meta_model_learns_from_the_set_and_not_from_the_queries():
    view = seen()
    assert view.unlabeled.size == 60 - 14 - 10
    strategy = make_strategy("mqnet", validation="random", **SETTINGS)
    memory = strategy.init_memory(jax.random.key(3))
    query = strategy.select(view, memory, COUNT)
    inputs, (rows, answers) = reference(view), view.validation
    # The query itself is the sum's, over what was not held out.
    order = np.argsort(-inputs[view.unlabeled].sum(axis=1), kind="stable")[:COUNT]
    np.testing.assert_array_equal(query.rows, view.unlabeled[order])
    assert not np.isin(query.rows, rows).any()
    np.testing.assert_allclose(query.notes.validation, inputs[rows], rtol=1e-3)
    np.testing.assert_allclose(query.notes.converted, inputs[view.unlabeled], rtol=1e-3)
    z = np.asarray(view.observation.logits, np.float64)[rows, :K]
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    losses = [0 if a == K else -log_p[i, a] for i, a in enumerate(answers)]
    wanted, _ = fit_mqnet(
        jax.random.fold_in(view.key, 1),
        np.float32(inputs[rows]),
        np.float32(losses),
        answers < K,
        **SETTINGS,
    )
    # Whatever the round's answers are, also where they would teach nothing.
    found = [
        strategy.learn(view, memory, query, of_round)
        for of_round in (np.arange(COUNT) % (K + 1), np.full(COUNT, K))
    ]
    for leaf, other in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1])):
        np.testing.assert_array_equal(leaf, other)
    assert bool(found[0].fitted)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        found[0].params,
        wanted,
    )
    with pytest.raises(ValueError, match="answers"):
        strategy.learn(view, memory, query, np.full(COUNT, K + 1))


def test_who_learns_from_queries_does_not_look_at_the_set():
    """The same bits as without one, of a set whose scores are no numbers."""
    view = seen()
    rows = view.validation.rows
    loss = np.array(view.observation.predicted_losses)
    loss[rows] = np.nan
    broken = observed(view, predicted_losses=jnp.asarray(loss))
    strategy = make_strategy("mqnet", **SETTINGS)
    memory = strategy.init_memory(jax.random.key(3))
    answers = np.arange(COUNT) % (K + 1)
    found = []
    for each in (view._replace(validation=None), broken):
        query = strategy.select(each, memory, COUNT)
        assert query.notes.validation.shape == (0, 2)
        found.append((query.rows, strategy.learn(each, memory, query, answers)))
    for leaf, other in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1])):
        np.testing.assert_array_equal(leaf, other)
    random = make_strategy("mqnet", validation="random", **SETTINGS)
    with pytest.raises(ValueError, match="informativeness"):
        random.select(broken, memory, COUNT)


def test_foreign_examples_of_the_set_are_known_to_be_there():
    """So that purity counts although no query has found any."""
    view = seen()
    labels = view.labels.copy()
    labels[view.labeled_ood] = UNASKED
    view = view._replace(labels=labels)
    for validation, wanted in (("query", "informativeness"), ("random", "sum")):
        strategy = make_strategy("mqnet", validation=validation)
        memory = strategy.init_memory(jax.random.key(3))
        notes = strategy.select(view, memory, COUNT).notes
        assert RANKED_BY[int(notes.ranked_by)] == wanted
