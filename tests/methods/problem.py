"""Real digits with wrong labels, small and shared by the tests of methods."""

from __future__ import annotations

import functools

import jax
import numpy as np

from robustjax import corruption, data, methods

REPEATS = 2
BUDGET = methods.Budget(total=80, batch=40)


@functools.cache
def digits():
    """(train, test, noisy labels (R, N)); 72 % of the labels are wrong."""
    train, test = data.load("digits", "train"), data.load("digits", "test")
    keys = jax.random.split(jax.random.key(5), REPEATS)

    def corrupt(key):
        noisy = corruption.symmetric(key, train.labels, 0.8, 10, include_true=True)
        return noisy.labels

    return train, test, np.asarray(jax.vmap(corrupt)(keys))


@functools.cache
def trainer(epochs=20):
    """A trainer on digits whose compiled programs the tests share."""
    settings = methods.ClassifierSettings(
        hidden=(64, 64, 64), epochs=epochs, batch_size=32
    )
    return methods.RoundTrainer(digits()[0].inputs, 10, settings)


def make_run(method, budget=BUDGET, trainer_=None):
    """A run of a method on digits."""
    _, test, _ = digits()
    return methods.CorrectionRun(
        method,
        trainer_ or trainer(),
        budget,
        jax.random.split(jax.random.key(1), REPEATS),
        test_inputs=test.inputs,
        test_labels=test.labels,
    )


def finished(method, budget=BUDGET):
    """The state after all rounds, and whether each given label is wrong."""
    train, _, noisy = digits()
    run = make_run(method, budget)
    state, oracle = run.start(noisy), methods.simulated_oracle(train.labels)
    for number in range(budget.rounds):
        state, picks, _ = run.propose(state, number)
        state = run.receive(state, number, oracle(picks))
    _, state = run.finish(state)
    return state, noisy != train.labels[None]


@functools.cache
def small_trainer(settings):
    """A trainer on the first 64 digits."""
    return methods.RoundTrainer(digits()[0].inputs[:64], 10, settings)


def small_run(method, budget, settings):
    """The state after all rounds on these 64, whose every answer is right."""
    train, _, noisy = digits()
    keys = jax.random.split(jax.random.key(1), REPEATS)
    run = methods.CorrectionRun(method, small_trainer(settings), budget, keys)
    state = run.start(noisy[:, :64])
    for number in range(budget.rounds):
        state, picks, _ = run.propose(state, number)
        state = run.receive(state, number, train.labels[picks])
    return state


def make_method(name):
    """A method of the registry, small enough for tests."""
    noisy = digits()[2] != digits()[0].labels[None]
    options = {
        "o2u_net": {
            "noise_rate": float(noisy.mean()),
            "epochs": 20,
            "batch_size": 32,
        },
        "simifeat": {"passes": 5},
    }
    return methods.make_correction_method(name, **options.get(name, {}))


@functools.cache
def finished_by_name(name):
    """`finished` for a method of the registry, computed once."""
    return finished(make_method(name))
