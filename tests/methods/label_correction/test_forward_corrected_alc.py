"""ALC whose loss has a model of the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import corruption, methods
from robustjax.methods.label_correction import _alc, _forward_training
from robustjax.methods.label_correction._forward_training import (
    trusted_or_forward,
    with_transition,
)
from robustjax.methods.label_correction._round_training import folded, phase_keys
from robustjax.training import fresh_state
from tests.methods import problem

KEYS = jax.random.split(jax.random.key(1), problem.REPEATS)


def test_the_loss_equals_numpy(rng):
    """Checked labels by cross-entropy, others by that of the given ones."""
    classes, size = 3, 8
    logits = rng.normal(size=(size, classes))
    labels, trusted = rng.integers(0, classes, size), rng.random(size) < 0.5
    matrix = rng.dirichlet(np.ones(classes), classes)
    tx = rj.chain(rj.alpha_weights(), trusted_or_forward(classes))
    memory = tx.init(rj.ExampleSpec(size, classes))
    weight = rng.uniform(0.2, 2, size).astype(np.float32)
    memory = memory._replace(rows=({"weight": jnp.asarray(weight)}, *memory.rows[1:]))
    state = fresh_state({}, {}, memory, optax.sgd(0.1), jax.random.key(0))
    memory = with_transition(state, 1, jnp.asarray(matrix, jnp.float32)).loss_state
    batch = {
        "index": jnp.arange(size),
        "label": jnp.asarray(labels),
        "mask": jnp.ones(size, bool),
        "trusted": jnp.asarray(trusted),
    }
    terms, _ = tx.update(rj.start(batch), memory, batch, logits=jnp.asarray(logits))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    shares = np.where(trusted[:, None], shares, shares @ matrix)
    losses = -np.log(shares[np.arange(size), labels])
    np.testing.assert_allclose(rj.reduce(terms), np.mean(weight * losses), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("robust", [True, False])
def test_without_noise_in_the_matrix_it_is_alc(monkeypatch, robust):
    monkeypatch.setattr(
        _forward_training,
        "anchor_transitions",
        lambda p, percentile: jnp.broadcast_to(jnp.eye(10), (len(p), 10, 10)),
    )
    # Rounding would grow in more epochs.
    trainer, (_, _, noisy) = problem.trainer(epochs=2), problem.digits()
    forward = _alc.alc(robust=robust, forward=True)
    plain = _alc.alc(robust=robust)
    state = problem.make_run(forward).start(noisy)
    ours, _ = forward.train(trainer, state, KEYS)
    state = problem.make_run(plain).start(noisy)
    theirs, _ = plain.train(trainer, state, phase_keys(KEYS, 1))
    np.testing.assert_allclose(ours.logits, theirs.logits, rtol=2e-3, atol=2e-3)
    if robust:
        np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-3, atol=1e-4)
    else:
        assert ours.weights is None


@pytest.mark.slow
def test_the_matrix_is_that_of_anchor_points_in_every_round():
    method = _alc.alc(forward=True, candidates_per_query=2)
    run = problem.make_run(method)
    train, _, noisy = problem.digits()
    state, oracle = run.start(noisy), methods.simulated_oracle(train.labels)
    plain = problem.trainer().fit(
        "uniform",
        lambda: rj.chain(rj.ce()),
        state.labels,
        folded(folded(KEYS, 0), 0),
    )
    shares = jax.nn.softmax(plain.logits(problem.trainer().inputs))
    want = jax.vmap(corruption.anchor_transition)(shares)
    for number in range(2):
        state, picks, _ = run.propose(state, number)
        state = run.receive(state, number, oracle(picks))
        np.testing.assert_allclose(state.memory.transition, want, rtol=1e-5, atol=1e-6)
    given = np.take_along_axis(noisy, np.asarray(state.picks), 1)
    wrong = given != train.labels[np.asarray(state.picks)]
    assert wrong.mean() > 0.9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"extra_epochs": 2}, "extra_epochs: got 2 with forward=True, expected 0"),
        ({"warm_start": True}, "warm_start: got True with forward=True, expected"),
        ({"weight_step": 2.0}, "weight_step: got 2"),
    ],
)
def test_what_it_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        _alc.alc(forward=True, **given)
