"""Open-set active learning: costs, what a round does, and what can go wrong."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods.active_learning import (
    SKIPPED,
    UNASKED,
    OpenSetBudget,
    OpenSetRun,
    query_precision,
    run_rounds,
)
from robustjax.methods.active_learning._mqnet_rounds import can_learn
from robustjax.methods.active_learning._open_set_round import Query
from robustjax.methods.active_learning._open_set_simulation import simulated_oracle
from robustjax.training import CheckpointFolder
from tests.methods.open_set_problem import InOrder, NearestMean, make_blobs

KEY = jax.random.key(3)


def make_run(blobs, budget=None, strategy=None, classifier=None, **changes):
    settings = {
        "num_examples": len(blobs.labels),
        "num_classes": blobs.num_classes,
        "test_inputs": blobs.test_inputs,
        "test_labels": blobs.test_labels,
    }
    return OpenSetRun(
        strategy or InOrder(),
        classifier or NearestMean(blobs.inputs, blobs.num_classes),
        budget or OpenSetBudget(10, 4),
        KEY,
        **{**settings, **changes},
    )


def started(run, blobs, rows=None):
    rows = np.arange(12) if rows is None else np.asarray(rows)
    return run.start(rows, blobs.labels[rows])


@pytest.mark.slow
def test_a_whole_run_labels_what_it_asked_and_counts_it():
    blobs = make_blobs()
    run = make_run(blobs)
    state, fitted = run_rounds(run, started(run, blobs), simulated_oracle(blobs.labels))
    labels = np.asarray(state.labels)
    picks = np.asarray(state.picks)[:52]
    assert len(np.unique(picks)) == 52
    assert (np.asarray(state.picks)[52:] == -1).all()
    np.testing.assert_array_equal(picks[:12], np.arange(12))
    np.testing.assert_array_equal(labels[picks], blobs.labels[picks])
    assert (np.delete(labels, picks) == UNASKED).all()
    np.testing.assert_array_equal(state.asked, [12, 10, 10, 10, 10])
    for number in range(-1, 4):
        rows = state.rows_of_round(number)
        found = (blobs.labels[rows] < 3).sum()
        assert state.found_in[number + 1] == found
        assert state.spent[number + 1] == len(rows)
    np.testing.assert_allclose(
        query_precision(state), np.asarray(state.found_in[1:]) / 10
    )
    assert np.isfinite(state.accuracy).all()
    assert state.accuracy[-1] > 0.9
    assert fitted.shape == (4, 3)
    # The memory was told every answer but those of the initial set.
    known = blobs.labels[picks[12:]] < 3
    assert (int(state.memory["in"]), int(state.memory["ood"])) == (
        known.sum(),
        (~known).sum(),
    )


def test_training_sees_the_answers_one_round_late_and_keys_do_not_depend_on_strategy():
    blobs = make_blobs()
    seen = []
    for strategy in (InOrder(), InOrder("other", descending=False)):
        classifier = NearestMean(blobs.inputs, 3)
        run = make_run(blobs, OpenSetBudget(10, 2), strategy, classifier)
        state = started(run, blobs)
        run_rounds(run, state, simulated_oracle(blobs.labels))
        seen.append(classifier.seen)
    for (key, labels), (other_key, other) in zip(*seen):
        np.testing.assert_array_equal(key, other_key)
        assert (labels != UNASKED).sum() == (other != UNASKED).sum()
    assert [(labels != UNASKED).sum() for _, labels in seen[0]] == [12, 22, 32]
    assert len({tuple(key) for key, _ in seen[0]}) == 3
    assert (seen[0][1][1] != seen[1][1][1]).any()


@pytest.mark.parametrize(
    ("cost_in", "cost_ood", "kinds", "expected"),
    [
        (1, 1, [1, 0, 1, 0, 1], 5),
        # 1 + 2 + 1 is spent, the next OOD would make 6.
        (1, 2, [1, 0, 1, 0, 1], 3),
        # The walk stops there, though the last one would still fit.
        (1, 4, [1, 0, 0, 1, 1], 2),
        (1, 0.5, [0] * 9 + [1], 9),
        (0.1, 0.1, [1] * 60, 50),
    ],
)
def test_the_walk_stops_before_the_budget_is_exceeded(
    cost_in, cost_ood, kinds, expected
):
    budget = OpenSetBudget(5, 1, cost_in, cost_ood)
    assert budget.affordable(np.array(kinds, bool)) == expected


def test_costs_end_a_round_and_the_rest_can_be_asked_later():
    blobs = make_blobs(noise_ratio=0.6)
    budget = OpenSetBudget(10, 3, cost_in=1, cost_ood=4)
    run = make_run(blobs, budget, InOrder(descending=False))
    state = started(run, blobs)
    state, proposal = run.propose(state)
    assert len(proposal.rows) == budget.most == 10
    truth = blobs.labels[proposal.rows]
    state = run.receive(state, proposal, truth)
    paid = np.cumsum(np.where(truth < 3, 1, 4)) <= 10
    assert 0 < paid.sum() < 10
    np.testing.assert_array_equal(state.rows_of_round(0), proposal.rows[paid])
    assert state.spent[1] == np.where(truth < 3, 1, 4)[paid].sum() <= 10
    assert (np.asarray(state.labels)[proposal.rows[~paid]] == UNASKED).all()
    assert int(state.memory["in"] + state.memory["ood"]) == paid.sum()
    cheap = OpenSetBudget(10, 3, cost_in=1, cost_ood=0.5)
    assert make_run(blobs, cheap).propose(state)[1].rows.shape == (20,)


def test_without_in_labels_questions_are_random_until_one_is_found():
    blobs = make_blobs(noise_ratio=0.8)
    outside = np.flatnonzero(blobs.labels == 3)
    run = make_run(blobs)
    state = started(run, blobs, outside[:8])
    state, proposal = run.propose(state)
    assert proposal.view is None
    assert len(np.unique(proposal.rows)) == 10
    assert not np.isin(proposal.rows, outside[:8]).any()
    assert np.isnan(state.accuracy[0])
    state = run.receive(state, proposal, blobs.labels[proposal.rows])
    assert int(state.memory["in"]) == 0
    state, proposal = run.propose(state)
    assert proposal.view is not None
    assert np.isfinite(state.accuracy[1])
    # No initial set at all is the same.
    state, proposal = run.propose(run.start())
    assert proposal.view is None


def test_a_round_without_in_examples_only_adds_to_the_ood_ones():
    blobs = make_blobs()
    run = make_run(blobs, strategy=InOrder(descending=False))
    state = started(run, blobs)
    state, proposal = run.propose(state)
    after = run.receive(state, proposal, np.full(10, 3))
    assert after.found_in[1] == 0
    assert query_precision(after)[0] == 0
    again, _ = run.propose(after)
    assert again.accuracy[1] == again.accuracy[0]
    assert (np.asarray(after.labels) == 3).sum() == 10 + (blobs.labels[:12] == 3).sum()


@pytest.mark.parametrize("noise_ratio", [0.0, 1.0])
def test_pools_of_one_kind(noise_ratio):
    blobs = make_blobs(noise_ratio=noise_ratio)
    run = make_run(blobs)
    state = started(run, blobs)
    state, fitted = run_rounds(run, state, simulated_oracle(blobs.labels))
    np.testing.assert_array_equal(query_precision(state), np.full(4, 1 - noise_ratio))
    assert (fitted is None) == (noise_ratio == 1)
    assert np.isnan(state.accuracy).all() == (noise_ratio == 1)


def test_the_last_round_takes_what_is_left_and_no_budget_lies_above_the_pool():
    blobs = make_blobs()
    run = make_run(blobs, OpenSetBudget(30, 4))
    state, _ = run_rounds(run, started(run, blobs), simulated_oracle(blobs.labels))
    np.testing.assert_array_equal(state.asked, [12, 30, 30, 30, 18])
    np.testing.assert_array_equal(state.labels, blobs.labels)
    with pytest.raises(ValueError, match=r"rounds: got 5 .* pool of 120 is asked up"):
        started(make_run(blobs, OpenSetBudget(30, 5)), blobs)
    with pytest.raises(ValueError, match="state: all 4 rounds are over"):
        run.propose(state)
    # OOD at a quarter of the price: how long the pool lasts depends on the answers.
    cheap = OpenSetBudget(30, 4, cost_in=1, cost_ood=0.25)
    run = make_run(blobs, cheap)
    state, _ = run_rounds(run, started(run, blobs), simulated_oracle(blobs.labels))
    assert int(state.asked.sum()) == 120
    assert int(state.asked[-1]) == 0
    assert np.isnan(query_precision(state)[-1])


def test_skipped_examples_are_not_asked_again_and_not_trained_on():
    blobs = make_blobs()
    classifier = NearestMean(blobs.inputs, 3)
    run = make_run(blobs, OpenSetBudget(50, 3), classifier=classifier)
    state, proposal = run.propose(started(run, blobs))
    answers = blobs.labels[proposal.rows].copy()
    answered = np.arange(50) % 2 == 0
    answers[~answered] = -7
    state = run.receive(state, proposal, answers, answered)
    skipped = proposal.rows[~answered]
    assert (np.asarray(state.labels)[skipped] == SKIPPED).all()
    assert int(state.asked[1]) == state.spent[1] == 25
    state, proposal = run.propose(state)
    assert not np.isin(proposal.rows, skipped).any()
    assert (classifier.seen[-1][1][skipped] == UNASKED).all()
    # A round of blanks only is a round.
    state = run.receive(state, proposal, answers, np.zeros(50, bool))
    state, proposal = run.propose(state)
    assert len(proposal.rows) == 8


def test_bad_answers_lose_nothing():
    blobs = make_blobs()
    run = make_run(blobs)
    before, proposal = run.propose(started(run, blobs))
    copy = np.array(before.labels)
    good = blobs.labels[proposal.rows]
    with pytest.raises(ValueError, match=r"answers: .*first: 4 at row 2.*0 … 3"):
        run.receive(before, proposal, np.where(np.arange(10) == 2, 4, good))
    with pytest.raises(ValueError, match=r"answers: .*first: -1"):
        run.receive(before, proposal, np.full(10, -1))
    with pytest.raises(ValueError, match="answers: got float64"):
        run.receive(before, proposal, good + 0.5)
    with pytest.raises(ValueError, match=r"answers: got shape \(9,\)"):
        run.receive(before, proposal, good[:9])
    np.testing.assert_array_equal(before.labels, copy)
    after = run.receive(before, proposal, good)
    with pytest.raises(ValueError, match="proposal: 10 example.s. were asked about"):
        run.receive(after, proposal, good)


def test_bad_initial_sets():
    blobs = make_blobs()
    run = make_run(blobs)
    with pytest.raises(ValueError, match="rows: row 3 occurs more than once"):
        run.start([3, 4, 3], [0, 0, 0])
    with pytest.raises(ValueError, match="rows: got 120, expected rows of the pool"):
        run.start([120], [0])
    with pytest.raises(ValueError, match=r"answers: .*first: 5"):
        run.start([3], [5])
    with pytest.raises(ValueError, match="one per row"):
        run.start([3, 4], [1])


@pytest.mark.parametrize("name", ["cost_in", "cost_ood"])
def test_bad_budgets(name):
    for value in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"{name}: got"):
            OpenSetBudget(5, 2, **{name: value})
    with pytest.raises(ValueError, match="per_round: got 5, .* one example, 6"):
        OpenSetBudget(5, 2, **{name: 6})
    with pytest.raises(ValueError, match="rounds: got 0"):
        OpenSetBudget(5, 0)
    with pytest.raises(ValueError, match=r"rounds: got 2\.5, expected an integer"):
        OpenSetBudget(5, 2.5)


class Faulty(InOrder):
    """Gives whatever rows it is told to."""

    def __init__(self, rows):
        super().__init__("faulty")
        object.__setattr__(self, "rows", rows)

    def select(self, view, memory, count):
        return Query(np.asarray(self.rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([20] * 10, "twice"),
        (range(5, 15), "asked before"),
        (range(20, 29), "gave rows"),
        (range(115, 125), "no row"),
    ],
)
def test_faulty_strategies_are_named(rows, message):
    blobs = make_blobs()
    run = make_run(blobs, strategy=Faulty(list(rows)))
    with pytest.raises(RuntimeError, match=f"'faulty' .*{message}"):
        run.propose(started(run, blobs))


def test_what_a_strategy_wants_is_there_or_missed_early():
    blobs = make_blobs()
    for want, message in (
        ("projections", "no 'projections'"),
        ("rotations", "no 'semantic'"),
    ):
        strategy = InOrder(wants=frozenset({want}))
        with pytest.raises(ValueError, match=f"embeddings: .*{message}"):
            make_run(blobs, strategy=strategy)
    with pytest.raises(ValueError, match="'projections' has 7 examples"):
        make_run(blobs, embeddings={"projections": jnp.zeros((7, 2))})
    for want, message in (
        ("loss_prediction", "predicted losses"),
        ("ood_output", "output for OOD"),
    ):
        run = make_run(blobs, strategy=InOrder(wants=frozenset({want})))
        with pytest.raises(ValueError, match=f"classifier: .*{message}"):
            run.propose(started(run, blobs))
        able = NearestMean(blobs.inputs, 3, losses=True, ood_output=True)
        run = make_run(blobs, strategy=run.strategy, classifier=able)
        run.propose(started(run, blobs))


def test_an_ood_output_is_masked_in_one_accuracy_and_an_error_in_the_other():
    blobs = make_blobs()
    both = NearestMean(blobs.inputs, 3, ood_output=True)
    # Towards the corner of OOD.
    inputs = blobs.test_inputs + np.array([0, 0, 0, 4], np.float32)[None]
    run = make_run(blobs, classifier=both, test_inputs=inputs)
    state, _ = run.propose(started(run, blobs))
    fitted = both.fit(jax.random.key(0), np.asarray(state.labels))
    logits = np.asarray(both.predict(fitted, inputs))
    masked = (logits[:, :3].argmax(axis=1) == blobs.test_labels).mean()
    strict = (logits.argmax(axis=1) == blobs.test_labels).mean()
    assert strict < masked
    np.testing.assert_allclose(state.accuracy[0], masked, rtol=1e-6)
    np.testing.assert_allclose(state.strict_accuracy[0], strict, rtol=1e-6)


@pytest.mark.slow
def test_a_run_restored_from_a_checkpoint_goes_on_as_before(tmp_path):
    blobs = make_blobs()
    run = make_run(blobs)
    oracle = simulated_oracle(blobs.labels)
    whole, _ = run_rounds(run, started(run, blobs), oracle)
    state, proposal = run.propose(started(run, blobs))
    state = run.receive(state, proposal, oracle(proposal.rows))
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.save(1, state)
    fresh = make_run(blobs)
    _, restored, _ = checkpoints.restore_latest(started(fresh, blobs))
    again, _ = run_rounds(fresh, restored, oracle)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(again)):
        np.testing.assert_array_equal(one, other)


def test_truth_values_are_no_numbers_of_classes():
    budget = OpenSetBudget(10, 3, 1, 5)
    np.testing.assert_array_equal(budget.costs(np.array([True, False])), [1, 5])
    for call in (
        lambda: budget.costs(np.array([0, 1, 2])),
        lambda: can_learn([0, 1, 2]),
    ):
        with pytest.raises(ValueError, match="is_in: got int64, expected bool"):
            call()


def test_who_stands_behind_the_end_of_the_budget_may_be_asked_later():
    """Of four OOD examples at twice the cost, two are paid for."""
    blobs = make_blobs()
    budget = OpenSetBudget(4, 3, cost_ood=2)
    run = make_run(blobs, budget)
    first = np.arange(3)
    state = run.start(first, blobs.labels[first])
    state, proposal = run.propose(state)
    rows = np.asarray(proposal.rows)
    assert len(rows) == 4
    ood = np.full(4, blobs.num_classes)
    with pytest.raises(ValueError, match="answered: got int64, expected bool"):
        run.receive(state, proposal, ood, np.array([1, 1, 0, 0]))
    behind = run.receive(state, proposal, ood, np.array([True, True, False, False]))
    labels = np.asarray(behind.labels)[rows]
    assert labels.tolist() == [blobs.num_classes] * 2 + [SKIPPED] * 2
    within = run.receive(state, proposal, ood, np.array([False, True, True, True]))
    labels = np.asarray(within.labels)[rows]
    k = blobs.num_classes
    assert labels.tolist() == [SKIPPED, k, k, UNASKED]
