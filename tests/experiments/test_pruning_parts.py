"""Parts of the pruning study: schedules, what methods get, presets."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from experiments.studies.pruning import programs, setup, subset_methods
from experiments.studies.pruning.config import DataPruningConfig
from experiments.studies.pruning.presets import PRESETS
from experiments.studies.pruning.subsets import select
from experiments.studies.pruning.warmup import Evaluation
from robustjax.methods import entries
from robustjax.training import StopRequest

SMALL = {"dataset": "digits", "hidden": (16,), "repeats": 1, "relabeler": "ce"}


@pytest.mark.slow
def test_the_warm_up_is_the_beginning_of_the_final_schedule():
    """However long it is, and other than with a schedule of another length."""

    def after_one_epoch(**given):
        config = DataPruningConfig(**{**SMALL, **given})
        task = setup.prepare(config)
        program = programs.build(task).warmup
        inputs = task.train.inputs
        state = program.init(task.repeat_keys[:1], inputs)
        held = program.make_data(inputs, task.given[:1])
        return jax.tree.leaves(program.at(0).epoch(state, held)[0].params)

    short, long = (after_one_epoch(epochs=4, warmup_epochs=w) for w in (1, 3))
    for a, b in zip(short, long):
        np.testing.assert_array_equal(a, b)
    other = after_one_epoch(epochs=1, warmup_epochs=1)
    assert max(np.abs(a - b).max() for a, b in zip(short, other)) > 1e-4


@pytest.mark.slow
def test_every_method_gets_what_it_needs_and_nested_ones_are(rng):
    config = DataPruningConfig(**{**SMALL, "methods": ("all",)})
    task = setup.prepare(config)
    size = len(task.train)
    features = rng.normal(size=(size, 4)).astype(np.float32)
    p = rng.dirichlet(np.ones(10), size).astype(np.float32)
    evaluation = Evaluation(
        features=features,
        probabilities=p,
        losses=-np.log(p[np.arange(size), task.given[0]]),
        forgetting=rng.integers(0, 4, size),
        learned=rng.random(size) < 0.8,
        margin=rng.normal(size=size),
        view_features=features,
        view_probabilities=p,
    )
    for name in [each.name for each in entries("pruning")]:
        fractions = (1.0, 1.0) if name == subset_methods.FULL else (0.3, 0.6)
        small, large = (
            select(task, 0, evaluation, name, fraction, StopRequest())
            for fraction in fractions
        )
        if subset_methods.is_nested(name):
            begin = large.indices[: len(small.indices)]
            np.testing.assert_array_equal(begin, small.indices, err_msg=name)


def test_presets_are_valid():
    for name in PRESETS:
        found, config = setup.resolve(name, {})
        assert found == name
        setup.check(config)
    given = {"options": ("sop_plus.lr_u=3", "prune4rel.ranking=float32")}
    _, config = setup.resolve("cifar10_n", given)
    assert setup.relabeler_options(config) == {"lr_u": 3.0, "lr_v": 100.0}
    settings = subset_methods.settings_of("prune4rel", config)
    assert settings == {
        "confidence": "max_prob",
        "threshold": 0.975,
        "temperature": 1.0,
        "ranking": "float32",
    }
    # What was never learned is kept last, as in the comparison; a flag wins over it.
    assert subset_methods.settings_of("forgetting", config) == {
        "never_learned": "least"
    }
    given = {"options": ("forgetting.never_learned=most",)}
    _, other = setup.resolve("digits", given)
    assert subset_methods.settings_of("forgetting", other) == {"never_learned": "most"}
    assert (config.epochs, config.threshold, config.label_set) == (300, 0.975, "worse")
    assert setup.resolve(None, {"dataset": "cifar100_n"})[1].warmup_epochs == 30


@pytest.mark.slow
def test_arms_of_the_balance_preset_share_classes_as_they_are_called(rng):
    _, config = setup.resolve("mnist_balance", {"dataset": "digits"})
    known = subset_methods.methods_of(config)
    settings = {label: subset_methods.settings_of(label, config) for label in known}
    balances = {k: v.get("balance_labels") for k, v in settings.items()}
    assert balances == {
        "uniform": None,
        "uniform_predicted": "predicted",
        "confident_predicted": "predicted",
        "own": None,
        "own_given": "given",
        "own_predicted": "predicted",
        "coverage_predicted": "predicted",
        "forgetting": None,
        "ccs": None,
    }
    assert known["coverage_predicted"].name == "prune4rel_coverage"
    changed = {"train_split": "train", "repeats": 1, "hidden": (8,)}
    config = dataclasses.replace(config, **changed)
    task = setup.prepare(config)
    size = len(task.train)
    features = rng.normal(size=(size, 4)).astype(np.float32)
    p = rng.dirichlet(np.ones(10), size).astype(np.float32)
    evaluation = Evaluation(
        features,
        p,
        -np.log(p[np.arange(size), task.given[0]]),
        rng.integers(0, 4, size),
        rng.random(size) < 0.8,
        rng.normal(size=size),
        features,
        p,
    )
    by_label = {"given": task.given[0], "predicted": p.argmax(1)}
    for label, kind in balances.items():
        found = select(task, 0, evaluation, label, 0.2, StopRequest()).indices
        if kind is not None:
            sizes = np.bincount(by_label[kind], minlength=10)
            counts = np.bincount(by_label[kind][found], minlength=10)
            rest = counts[counts < sizes]
            assert rest.max() - rest.min() <= 1, label
