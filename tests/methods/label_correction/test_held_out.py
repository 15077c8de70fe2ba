"""The ranking under cross-validation as a method of label correction."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from robustjax import methods
from robustjax.methods.label_correction._held_out import held_out_logits

SIZE, CLASSES = 60, 3
SETTINGS = methods.ClassifierSettings(
    hidden=(16,), epochs=20, batch_size=10, learning_rate=0.05
)


@pytest.fixture(scope="module")
def problem():
    """A trainer on clusters, labels of two repeats, and which are wrong."""
    rng = np.random.default_rng(0)
    true = np.arange(SIZE) % CLASSES
    inputs = rng.normal(size=(SIZE, 4)) + 5 * np.eye(CLASSES, 4)[true]
    trainer = methods.RoundTrainer(inputs.astype(np.float32), CLASSES, SETTINGS)
    wrong = np.stack([np.arange(SIZE) % 10 == r for r in (0, 3)])
    return trainer, np.where(wrong, (true + 1) % CLASSES, true).astype(np.int32), wrong


@pytest.mark.slow
def test_the_wrong_labels_are_asked_about_and_the_right_ones_suggested(problem):
    trainer, labels, wrong = problem
    keys = jax.random.split(jax.random.key(0), 2)
    method = methods.make_correction_method("label_issues", folds=3)
    run = methods.CorrectionRun(method, trainer, methods.Budget(6, 6), keys)
    state, picks, model = run.propose(run.start(labels), 0)
    for repeat in range(2):
        assert set(picks[repeat]) == set(np.flatnonzero(wrong[repeat]))
    assert model.logits.shape == (2, SIZE, CLASSES)
    suggested = np.asarray(model.logits).argmax(axis=-1)
    suggested = np.take_along_axis(suggested, picks, axis=1)
    np.testing.assert_array_equal(suggested, picks % CLASSES)
    # What was answered is not asked about again.
    state = run.receive(state, 0, suggested)
    _, more, _ = run.ask(state, 1, 6)
    for repeat in range(2):
        assert not set(more[repeat]) & set(picks[repeat])


def test_no_network_has_seen_what_it_judges(problem):
    """Labels that nobody can guess are not known: random ones are right by chance."""
    trainer, labels, _ = problem
    keys = jax.random.split(jax.random.key(1), 2)
    drawn = np.random.default_rng(5).integers(0, CLASSES, labels.shape).astype(np.int32)
    held_out = np.asarray(held_out_logits(trainer, drawn, keys, 3)).argmax(axis=-1)
    assert (held_out == drawn).mean() < 0.5
    seen = np.asarray(held_out_logits(trainer, labels, keys, 3)).argmax(axis=-1)
    assert (seen == np.arange(SIZE) % CLASSES).mean() > 0.95


def test_folds_are_checked(problem):
    trainer, labels, _ = problem
    with pytest.raises(ValueError, match="folds: got 1, expected an integer >= 2"):
        methods.make_correction_method("label_issues", folds=1)
    method = methods.LabelIssues(folds=SIZE + 1)
    keys = jax.random.split(jax.random.key(0), 2)
    with pytest.raises(ValueError, match="folds: got 61, expected at most the number"):
        method.init_memory(trainer, labels, keys)
