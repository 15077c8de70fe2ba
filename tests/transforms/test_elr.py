"""Early-learning regularisation against NumPy and the paper's gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj
from robustjax.transforms._elr import (
    clipped_probabilities,
    elr_penalty,
    update_targets,
)
from robustjax.transforms._rows import gather_rows, scatter_rows

N, C = 7, 4
SPEC = rj.ExampleSpec(num_examples=N, num_classes=C, pad_to=4)


def batch_of(index, labels, **more):
    return {"index": jnp.asarray(index), "label": jnp.asarray(labels), **more}


@functools.partial(jax.jit, static_argnums=0)
def visit(tx, state, batch, logits):
    return tx.update(rj.start(batch), state, batch, logits=logits)


def softmax(z):
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def test_three_visits_equal_numpy(rng):
    strength, decay = 2.0, 0.7
    tx = rj.chain(rj.ce(), rj.elr(strength, decay))
    state, memory = tx.init(SPEC), np.zeros((N, C))
    for index in ([0, 3, 5], [3, 1, 6], [5, 3, 0]):
        z = 4 * rng.normal(size=(3, C))
        y = rng.integers(0, C, 3)
        batch = batch_of(index, y)
        terms, state = visit(tx, state, batch, jnp.asarray(z, jnp.float32))
        p = np.clip(softmax(z), 1e-4, 1 - 1e-4)
        memory[index] = decay * memory[index] + (1 - decay) * p / p.sum(
            1, keepdims=True
        )
        agreement = (memory[index] * p).sum(1)
        want = -np.log(softmax(z)[np.arange(3), y]) + strength * np.log(1 - agreement)
        np.testing.assert_allclose(terms.value, want, rtol=1e-4)
        np.testing.assert_allclose(state.rows[1]["target"][:N], memory, rtol=1e-5)
    np.testing.assert_array_equal(state.rows[1]["target"][N:], 0)


def test_gradient_is_the_papers(rng):
    """Lemma 2: p - y + lambda g, g_c = p_c / (1 - <p, t>) sum_k (t_k - t_c) p_k."""
    strength, decay = 3.0, 0.6
    tx = rj.chain(rj.ce(), rj.elr(strength, decay))
    state = tx.init(SPEC)
    old = rng.dirichlet(np.ones(C), SPEC.padded_examples)
    state = state._replace(rows=((), {"target": jnp.asarray(old, jnp.float32)}))
    z = rng.normal(size=(5, C))
    batch = batch_of([4, 0, 6, 2, 1], rng.integers(0, C, 5))

    def loss(z):
        return jnp.sum(visit(tx, state, batch, z)[0].value)

    p = softmax(z)
    t = decay * old[[4, 0, 6, 2, 1]] + (1 - decay) * p
    gap = (t[:, :, None] - t[:, None]) * p[:, :, None]
    g = p / (1 - (p * t).sum(1, keepdims=True)) * gap.sum(1)
    want = p - np.eye(C)[np.asarray(batch["label"])] + strength * g
    got = jax.jit(jax.grad(loss))(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_memory_after_one_visit_and_zero_memory(rng):
    p = clipped_probabilities(jnp.asarray(rng.normal(size=(3, C)), jnp.float32))
    zeros = jnp.zeros((3, C))
    np.testing.assert_array_equal(elr_penalty(p, zeros), 0)
    once = update_targets(zeros, p, 0.9)
    np.testing.assert_allclose(once, 0.1 * p / p.sum(1, keepdims=True), rtol=1e-5)


def test_extreme_logits_stay_finite():
    """Even a memory that agrees fully leaves the penalty and its gradient finite."""
    tx = rj.chain(rj.ce(), rj.elr())
    batch = batch_of([0, 1], [0, 1])
    logits = jnp.array([[1e4, 0, 0, 0], [0.0, -1e4, 0, 0]])
    state = tx.init(SPEC)
    for _ in range(50):
        terms, state = visit(tx, state, batch, logits)
    assert np.isfinite(terms.value).all()
    p = np.array([1 - 1e-4, 1e-4, 1e-4, 1e-4])
    want = 3 * np.log(1 - (p * p).sum() / p.sum())
    np.testing.assert_allclose(terms.value[0], want, rtol=1e-3)

    gradient = jax.jit(jax.grad(lambda z: jnp.sum(visit(tx, state, batch, z)[0].value)))
    assert np.isfinite(gradient(logits)).all()


def test_padding_and_other_rows_stay_zero(rng):
    tx = rj.elr()
    batch = batch_of([2, 0], [0, 0], mask=jnp.array([True, False]))
    logits = jnp.asarray(rng.normal(size=(2, C)), jnp.float32)
    _, state = visit(tx, tx.init(SPEC), batch, logits)
    touched = np.asarray(state.rows["target"]).any(1)
    np.testing.assert_array_equal(np.flatnonzero(touched), [2])


def test_zero_strength_is_the_head_alone_and_keeps_a_memory(rng):
    batch = batch_of([0, 1], [1, 2])
    logits = jnp.asarray(rng.normal(size=(2, C)), jnp.float32)
    tx = rj.chain(rj.ce(), rj.elr(0.0, 0.0))
    terms, state = visit(tx, tx.init(SPEC), batch, logits)
    plain = rj.losses.cross_entropy(logits, batch["label"])
    np.testing.assert_array_equal(terms.value, plain)
    np.testing.assert_allclose(
        state.rows[1]["target"][:2], jax.nn.softmax(logits), rtol=1e-5
    )


def test_pieces_make_elr_plus(rng):
    """The peer teaches the memory; the penalty sees the mixed memory."""
    batch = batch_of([5, 1, 3], [0, 1, 2])
    mask = jnp.ones(3, bool)
    own, peer = (jnp.asarray(rng.normal(size=(3, C)), jnp.float32) for _ in range(2))
    lam, order = 0.8, jnp.array([2, 0, 1])
    rows = rj.elr().init(SPEC).rows

    def loss(own):
        targets = gather_rows(rows["target"], batch, mask)
        targets = update_targets(targets, clipped_probabilities(peer), 0.7)
        mixed = lam * targets + (1 - lam) * targets[order]
        penalty = jnp.mean(elr_penalty(clipped_probabilities(own), mixed))
        return penalty, scatter_rows(rows["target"], targets, batch, mask)[0]

    (value, memory), _ = jax.jit(jax.value_and_grad(loss, has_aux=True))(own)
    want = 0.3 * softmax(np.asarray(peer, np.float64))
    mixed = 0.8 * want + 0.2 * want[[2, 0, 1]]
    agreement = (mixed * softmax(np.asarray(own, np.float64))).sum(1)
    np.testing.assert_allclose(memory[jnp.array([5, 1, 3])], want, rtol=1e-3)
    np.testing.assert_allclose(value, np.log(1 - agreement).mean(), rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strength": -1.0}, "strength: got -1.0"),
        ({"decay": 1.5}, r"decay: got 1.5, expected .*\[0, 1\]"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        rj.elr(**arguments)


@pytest.mark.slow
def test_missing_logits_name_the_transform():
    batch = batch_of([0], [0])
    with pytest.raises(TypeError, match="elr: needs the argument 'logits'"):
        rj.elr().update(rj.start(batch), rj.elr().init(SPEC), batch)
