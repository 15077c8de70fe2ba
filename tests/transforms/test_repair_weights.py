"""REPAIR's learned weights, against autodiff and as a game to its end."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax import losses, transforms

N, C, B = 12, 3, 5
SPEC = rj.ExampleSpec(N, C)
LABELS = np.arange(N) % C
RATE = 3.0


def whole_bias(omega, seen, index, mask, logits):
    """V as printed, of all weights, in double precision."""
    w = 1 / (1 + np.exp(-omega))
    sums = np.array([(w * seen * (c == LABELS)).sum() for c in range(C)])
    q = sums / sums.sum()
    z = w / (w * seen).sum() * seen.sum()
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    rows = np.flatnonzero(mask)
    own, y = index[rows], LABELS[index[rows]]
    explained = np.mean(z[own] * -np.log(p[rows, y]))
    return 1 - explained / np.mean(z[own] * -np.log(q[y])), explained


def numeric_slope(omega, *rest):
    slope = np.zeros(N)
    for i in range(N):
        bump = np.eye(N)[i] * 1e-5
        up, down = (whole_bias(omega + s * bump, *rest)[0] for s in (1, -1))
        slope[i] = (up - down) / 2e-5
    return slope


def test_steps_descend_the_bias_of_all_weights():
    tx = rj.chain(transforms.repair_weights(RATE), rj.ce())

    @jax.jit
    def step(state, batch, logits):
        terms, state = tx.update(rj.start(batch), state, batch, logits=logits)
        return rj.reduce(terms), state

    rng = np.random.default_rng(0)
    state, omega, seen = tx.init(SPEC), np.zeros(N), np.zeros(N, bool)
    for number in range(5):
        index, mask = rng.choice(N, B, replace=False), np.arange(B) < B - number % 2
        seen[index[mask]] = True
        logits = rng.normal(size=(B, C)).astype(np.float32)
        batch = {
            "index": np.where(mask, index, N).astype(np.int32),
            "mask": mask,
            "label": LABELS[index].astype(np.int32),
        }
        rest = (seen, index, mask, logits)
        _, explained = whole_bias(omega, *rest)
        loss, state = step(state, batch, logits)
        np.testing.assert_allclose(loss, explained, rtol=1e-4)
        omega = omega - RATE * numeric_slope(omega, *rest)
        np.testing.assert_allclose(state.rows[0]["omega"], omega, atol=1e-4)
    # The sums over the data set have moved weights that no batch has held.
    assert np.abs(omega[~np.isin(np.arange(N), index)]).max() > 1e-3


def game(bias, labels, steps=150):
    """Weights after a linear classifier of a bias attribute has played its part."""
    count, num_classes = len(labels), int(labels.max()) + 1
    tx = rj.chain(transforms.repair_weights(count / 10), rj.ce())
    feature = np.eye(int(bias.max()) + 1, dtype=np.float32)[bias]
    batch = {"index": jnp.arange(count), "label": jnp.asarray(labels, jnp.int32)}

    def loss(params, state):
        terms, state = tx.update(rj.start(batch), state, batch, logits=feature @ params)
        return rj.reduce(terms), state

    @jax.jit
    def play(params, state):
        def one(carry, _):
            params, state = carry
            slope, state = jax.grad(loss, has_aux=True)(params, state)
            return (params - 2.0 * slope, state), None

        return jax.lax.scan(one, (params, state), length=steps)[0]

    params = jnp.zeros((feature.shape[1], num_classes))
    _, state = play(params, tx.init(rj.ExampleSpec(count, num_classes)))
    return np.asarray(jax.nn.sigmoid(state.rows[0]["omega"]))


def test_aligned_examples_lose_weight_and_unbiased_data_keep_it():
    labels = np.repeat(np.arange(2), 30)
    aligned = np.tile(np.arange(30) >= 3, 2)
    biased = game(np.where(aligned, labels, 1 - labels), labels)
    assert biased[~aligned].min() > biased[aligned].max() + 0.2
    # Every label has every attribute equally often.
    flat = game(np.tile([0, 1], 30), labels)
    np.testing.assert_allclose(flat, 0.5, atol=0.01)


def test_no_rate_is_plain_training_and_one_class_teaches_nothing():
    batch = {"index": jnp.arange(3), "label": jnp.zeros(3, jnp.int32)}
    logits = jnp.array([[1.0, 0, 2], [0, 1, 0], [3, 1, 1]])
    want = np.mean(losses.cross_entropy(logits, batch["label"]))
    for rate in (0.0, 10.0):
        tx = rj.chain(transforms.repair_weights(rate), rj.ce())
        value = jax.jit(functools.partial(rj.value, tx))
        loss, state = value(tx.init(SPEC), logits, batch["label"], jnp.arange(3))
        np.testing.assert_allclose(loss, want, rtol=1e-6)
        np.testing.assert_array_equal(state.rows[0]["omega"], 0)


def test_bad_rate():
    with pytest.raises(ValueError, match="learning_rate: got -1.0"):
        transforms.repair_weights(-1.0)
