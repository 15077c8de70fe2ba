"""Weights from the mixture of losses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.scores import fit_two_gaussians, posterior_of_lower

N = 50
SPEC = rj.ExampleSpec(num_examples=N, num_classes=3, pad_to=8)


def losses(rng, is_noisy):
    """Losses of both kinds, with garbage beyond the real examples."""
    values = np.where(is_noisy, 3.0, 0.3) + 0.1 * rng.normal(size=N)
    return jnp.asarray(np.concatenate([values, np.full(6, 1e3)]), jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def end_epoch(tx, state, losses):
    return tx.epoch(state, losses=losses)


@jax.jit
def fitted_posterior(level):
    return posterior_of_lower(level, fit_two_gaussians(level))


def expected(level):
    return fitted_posterior((level - level.min()) / (level.max() - level.min()))


def test_clean_labels_keep_their_weight(rng):
    is_noisy = rng.random(N) < 0.4
    tx = rj.clean_probability(start_epoch=1)
    state = end_epoch(tx, tx.init(SPEC), losses(rng, is_noisy))
    got = state.rows["clean_probability"]
    np.testing.assert_allclose(got[:N], ~is_noisy, atol=1e-6)
    np.testing.assert_array_equal(got[N:], 1)


def test_warm_up_lasts_start_epoch_epochs(rng):
    tx = rj.clean_probability(start_epoch=3)
    state = tx.init(SPEC)
    for epoch in range(1, 5):
        now = losses(rng, rng.random(N) < 0.4)
        state = end_epoch(tx, state, now)
        want = jnp.ones(N) if epoch < 3 else expected(now[:N])
        np.testing.assert_allclose(state.rows["clean_probability"][:N], want, atol=1e-5)


def test_average_of_the_scaled_losses(rng):
    """The mean of the scaled losses since the warm-up, of at most three epochs."""
    tx = rj.clean_probability(start_epoch=2, average_epochs=3)
    state = tx.init(SPEC)
    scaled = []
    for epoch in range(1, 7):
        now = jnp.asarray(rng.exponential(size=56), jnp.float32)
        state = end_epoch(tx, state, now)
        if epoch < 2:
            continue
        real = np.asarray(now[:N])
        scaled.append((real - real.min()) / (real.max() - real.min()))
        want = fitted_posterior(np.mean(scaled[-3:], axis=0))
        np.testing.assert_allclose(state.rows["clean_probability"][:N], want, atol=1e-4)
    assert state.rows["history"].shape == (56, 3)


def test_weights_multiply_and_average_over_what_is_left(rng):
    tx = rj.chain(rj.clean_probability(), rj.ce())
    state = tx.init(SPEC)
    rows = {"clean_probability": jnp.arange(56) / 56}
    state = state._replace(rows=(rows, ()))
    batch = {"index": jnp.array([14, 28, 42]), "label": jnp.array([0, 1, 2])}
    logits = jnp.asarray(rng.normal(size=(3, 3)), jnp.float32)
    terms = rj.start(batch).replace(weight=jnp.array([1.0, 1, 2]))
    terms, _ = tx.update(terms, state, batch, logits=logits)
    weight = np.array([0.25, 0.5, 1.5])
    value = np.asarray(rj.losses.cross_entropy(logits, batch["label"]))
    np.testing.assert_allclose(
        rj.reduce(terms), (weight * value).sum() / weight.sum(), rtol=1e-6
    )


def test_equal_losses_leave_every_weight_at_one():
    tx = rj.clean_probability(start_epoch=0)
    state = end_epoch(tx, tx.init(SPEC), jnp.full(56, 2.3))
    np.testing.assert_allclose(state.rows["clean_probability"], 1, atol=1e-4)


def test_injected_start_can_be_moved(rng):
    tx = rj.inject_hyperparams(rj.clean_probability)(start_epoch=5, average_epochs=2)
    state = rj.set_hyperparams(tx.init(SPEC), start_epoch=1)
    is_noisy = rng.random(N) < 0.4
    epoch = jax.jit(lambda state, now: end_epoch(tx, state, now))
    state = epoch(state, losses(rng, is_noisy))
    np.testing.assert_allclose(
        state.rows["clean_probability"][:N], ~is_noisy, atol=1e-6
    )


def test_missing_or_misshapen_losses():
    tx = rj.clean_probability()
    assert tx.needs == {"losses"}
    with pytest.raises(TypeError, match="clean_probability: needs the argument"):
        tx.epoch(tx.init(SPEC))
    with pytest.raises(ValueError, match=r"losses: got shape \(50,\), expected \(56,"):
        tx.epoch(tx.init(SPEC), losses=jnp.ones(N))


@pytest.mark.parametrize(
    "arguments",
    [
        {"start_epoch": -1},
        {"average_epochs": 0},
        {"max_iterations": 0},
        {"tolerance": -1.0},
        {"regularization": 0.0},
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}: got"):
        rj.clean_probability(**arguments)
