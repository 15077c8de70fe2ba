"""The loop of label correction: invariants of every method, effects on real digits."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import methods
from robustjax.training import CheckpointFolder
from tests.methods import problem

NAMES = [entry.name for entry in methods.entries("label_correction")]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_method_spends_its_budget_on_distinct_examples(name):
    state, _ = problem.finished_by_name(name)
    train, _, noisy = problem.digits()
    picks = np.asarray(state.picks)
    for repeat in range(problem.REPEATS):
        assert len(set(picks[repeat])) == problem.BUDGET.total
        queried = np.flatnonzero(state.queried[repeat])
        assert set(queried) == set(picks[repeat])
        # The answers are in the labels; nothing else has changed.
        want = noisy[repeat].copy()
        want[queried] = train.labels[queried]
        np.testing.assert_array_equal(state.labels[repeat], want)
    accuracy = np.asarray(state.accuracy)
    assert accuracy.shape == (problem.REPEATS, 3)
    assert (accuracy > 0.3).all()


def selection(name):
    state, noisy = problem.finished_by_name(name)
    picks = np.asarray(state.picks)
    return methods.selection_accuracy(picks, noisy, problem.BUDGET)


def test_random_queries_hit_the_noise_rate():
    share = problem.digits()[2] != problem.digits()[0].labels[None]
    rate, count = share.mean(), problem.BUDGET.total * problem.REPEATS
    limit = 3 * np.sqrt(rate * (1 - rate) / count)
    assert abs(selection("random").mean() - rate) < limit


def test_alc_asks_about_wrong_labels():
    """The paper's Table 1: ALC far above entropy, entropy above random."""
    assert selection("alc").min() > 0.97
    assert selection("robust").min() > 0.97
    assert selection("alc").mean() > selection("entropy").mean() + 0.03
    assert selection("entropy").mean() > selection("random").mean() + 0.03


def test_weighted_training_beats_uniform_training():
    """The paper's Fig. 4, before any label is corrected."""
    robust, _ = problem.finished_by_name("robust")
    uniform, _ = problem.finished_by_name("random")
    assert robust.accuracy[:, 0].mean() > uniform.accuracy[:, 0].mean() + 0.03


@pytest.mark.parametrize("name", ["robust", "entropy", "dalc", "simifeat"])
def test_correcting_labels_helps(name):
    state, _ = problem.finished_by_name(name)
    assert state.accuracy[:, -1].mean() > state.accuracy[:, 0].mean() + 0.01


def test_methods_share_their_first_classifier():
    """Equal keys, equal training: differences between methods are not luck."""
    first = [
        np.asarray(problem.finished_by_name(name)[0].accuracy[:, 0])
        for name in ("random", "entropy", "corr_active", "diffusion")
    ]
    for other in first[1:]:
        np.testing.assert_array_equal(other, first[0])


def test_a_shared_first_training_is_done_once_and_reported_twice():
    train, _, noisy = problem.digits()
    settings = methods.ClassifierSettings(hidden=(8, 8, 8), epochs=2, batch_size=32)
    seen = []
    trainer = methods.RoundTrainer(
        train.inputs[:64],
        10,
        settings,
        on_epoch=lambda kind, epoch, metrics: seen.append((kind, epoch, metrics)),
    )
    keys = jax.random.split(jax.random.key(1), problem.REPEATS)
    models = []
    for name in ("random", "entropy"):
        method = methods.make_correction_method(name)
        run = methods.CorrectionRun(method, trainer, methods.Budget(8, 8), keys)
        state, picks, model = run.propose(run.start(noisy[:, :64]), 0)
        models.append(model)
        # Other labels are another training.
        last, _ = run.finish(run.receive(state, 0, train.labels[picks]))
        assert last.fitted is not model.fitted
    assert models[0].fitted is models[1].fitted
    assert [epoch for _, epoch, _ in seen] == [0, 1] * 4
    chex.assert_trees_all_equal(seen[0][2], seen[4][2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alc", "dalc", "o2u_net", "simifeat"])
def test_a_run_continues_from_a_checkpoint_of_any_round(name, tmp_path):
    want, _ = problem.finished_by_name(name)
    train, _, noisy = problem.digits()
    oracle = methods.simulated_oracle(train.labels)
    run = problem.make_run(problem.make_method(name))
    state, picks, _ = run.propose(run.start(noisy), 0)
    state = run.receive(state, 0, oracle(picks))
    CheckpointFolder(tmp_path).save(1, state)
    # What the trainer keeps between rounds must not matter.
    fresh = problem.trainer.__wrapped__()
    again = problem.make_run(problem.make_method(name), trainer_=fresh)
    _, state, _ = CheckpointFolder(tmp_path).restore_latest(again.start(noisy))
    state, picks, _ = again.propose(state, 1)
    _, state = again.finish(again.receive(state, 1, oracle(picks)))
    chex.assert_trees_all_equal(state, want)


@pytest.mark.parametrize(
    "name", ["random", "robust", "alc", "diffusion", "dalc", "dalc_expert", "o2u_net"]
)
def test_every_example_can_be_asked_about(name):
    train = problem.digits()[0]
    settings = methods.ClassifierSettings(hidden=(8, 8, 8), epochs=1, batch_size=32)
    budget = methods.Budget(total=64, batch=24)
    state = problem.small_run(problem.make_method(name), budget, settings)
    for repeat in range(problem.REPEATS):
        assert sorted(state.picks[repeat].tolist()) == list(range(64))
        np.testing.assert_array_equal(state.labels[repeat], train.labels[:64])


def test_a_method_that_asks_twice_is_stopped():
    class Twice(methods.ActiveLabelCorrection):
        def select(self, trainer, model, state, keys, count):
            return jnp.zeros((problem.REPEATS, count), jnp.int32), state.memory

    _, _, noisy = problem.digits()
    run = problem.make_run(Twice(robust=False, propagation=None))
    with pytest.raises(RuntimeError, match="picked an example that was picked before"):
        run.propose(run.start(noisy), 0)


def test_last_round_may_be_smaller():
    budget = methods.Budget(total=50, batch=40)
    state, noisy = problem.finished(methods.make_correction_method("random"), budget)
    assert state.picks.shape == (problem.REPEATS, 50)
    assert (np.asarray(state.queried).sum(1) == 50).all()
    accuracy = methods.selection_accuracy(np.asarray(state.picks), noisy, budget)
    assert accuracy.shape == (problem.REPEATS, 2)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (methods.Budget(10, 20), "batch: got 20, expected at most the budget, 10"),
        (methods.Budget(2000, 10), "budget: got 2000, .* pool of 1437 examples"),
        (methods.Budget(10, 0), "batch: got 0"),
    ],
)
def test_bad_budgets(budget, message):
    with pytest.raises(ValueError, match=message):
        problem.make_run(methods.make_correction_method("random"), budget)


def test_bad_labels_and_answers():
    run = problem.make_run(methods.make_correction_method("random"))
    _, _, noisy = problem.digits()
    with pytest.raises(ValueError, match=r"labels: got shape \(2, 3\), expected"):
        run.start(noisy[:, :3])
    with pytest.raises(ValueError, match="labels: .* out of range"):
        run.start(np.where(noisy == 0, 10, noisy))
    state, picks, _ = run.propose(run.start(noisy), 0)
    with pytest.raises(ValueError, match=r"answers: got shape \(2, 3\)"):
        run.receive(state, 0, picks[:, :3])
    with pytest.raises(ValueError, match="answers: .* out of range"):
        run.receive(state, 0, np.full(picks.shape, 10))
    # What was answered is not whether.
    with pytest.raises(ValueError, match="answered: got int64, expected bool"):
        run.receive(state, 0, np.ones(picks.shape, int), np.ones(picks.shape, int))
    with pytest.raises(ValueError, match=r"answered: got shape \(2,\), expected \(2,"):
        run.receive(state, 0, np.ones(picks.shape, int), np.ones(2, bool))


def test_unknown_method_lists_the_known():
    with pytest.raises(ValueError, match="method: unknown 'entropi' .did you mean"):
        methods.make_correction_method("entropi")
