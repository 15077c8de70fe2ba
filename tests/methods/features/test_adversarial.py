"""Projected gradient attacks against NumPy, and what they must never do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses
from robustjax.methods.features import _adversarial as adversarial
from robustjax.methods.features import adversarial_accuracy, pgd

D, C, B = 6, 3, 8


@functools.cache
def problem():
    """(inputs in [0, 1], labels, weights, biases) of a linear classifier."""
    rng = np.random.default_rng(3)
    x = rng.uniform(size=(B, D)).astype(np.float32)
    x[0, :3], x[1, :3] = 0.0, 1.0
    w, b = rng.normal(size=(D, C)), rng.normal(size=C)
    return x, rng.integers(0, C, B), w.astype(np.float32), b.astype(np.float32)


def linear(inputs):
    _, _, w, b = problem()
    return inputs @ w + b[None]


def run(attack, x=None, labels=None, seed=0, logits_of=linear):
    inputs, given, _, _ = problem()
    inputs, given = inputs if x is None else x, given if labels is None else labels
    call = jax.jit(functools.partial(attack, logits_of=logits_of))
    return np.asarray(call(jax.random.key(seed), inputs, given))


def value(x):
    return np.asarray(losses.cross_entropy(linear(x), problem()[1]))


def numpy_pgd(steps, radius, step_size, clip):
    """By the letter, in float64; the gradient of the cross-entropy is (p - y) W^T."""
    x, labels, w, b = (np.asarray(a, np.float64) for a in problem())
    moved = x.copy()
    for _ in range(steps):
        p = np.exp(moved @ w + b)
        p /= p.sum(1, keepdims=True)
        slope = (p - np.eye(C)[labels.astype(int)]) @ w.T
        moved = np.clip(moved + step_size * np.sign(slope), x - radius, x + radius)
        if clip is not None:
            moved = np.clip(moved, *clip)
    return moved


@pytest.mark.parametrize(
    ("steps", "radius", "step_size", "clip"),
    [
        (1, 0.1, 0.1, (0.0, 1.0)),
        (4, 0.1, 0.03, None),
        # More steps than are written out.
        (13, 0.2, 0.03, (0.0, 1.0)),
    ],
)
def test_equals_numpy(steps, radius, step_size, clip):
    assert (steps > adversarial.UNROLLED_STEPS) == (steps == 13)
    attack = pgd(radius, step_size, steps, random_start=False, clip=clip)
    want = numpy_pgd(steps, radius, step_size, clip)
    np.testing.assert_allclose(run(attack), want, atol=1e-5)


def test_a_loop_equals_written_out_steps(monkeypatch):
    attack = pgd(steps=3)
    written = run(attack)
    monkeypatch.setattr(adversarial, "UNROLLED_STEPS", 2)
    looped = run(pgd(steps=3))
    np.testing.assert_allclose(looped, written, atol=1e-6)


@pytest.mark.parametrize("steps", [5, 20])
def test_stays_in_the_ball_and_in_the_range(steps):
    x = problem()[0]
    moved = run(pgd(0.1, 0.04, steps))
    assert moved.dtype == np.float32
    assert np.abs(moved - x).max() <= 0.1 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    # It goes to the border of both.
    assert np.abs(moved - x).max() >= 0.1 - 1e-6
    assert moved.min() == 0
    free = run(pgd(0.1, 0.04, steps, clip=None))
    assert free.min() < -0.05


def test_inputs_outside_of_the_range_show():
    """Of normalised images, say, the range to clip to is another."""
    x = problem()[0].copy()
    x[0, 0], x[1, 1] = 1.05, -0.5
    moved = run(pgd(0.1, 0.04, 2), x)
    assert np.argwhere(np.isnan(moved).any(axis=1)).ravel().tolist() == [1]
    assert moved[0].max() <= 1


def test_no_step_decreases_the_loss():
    """The loss of a linear classifier is convex, so that a step cannot overshoot."""
    before = value(problem()[0])
    for steps in (1, 3):
        after = value(run(pgd(0.1, 0.05, steps, random_start=False)))
        assert (after >= before).all()
        before = after
    assert (before > value(problem()[0])).all()
    assert before.mean() > 1.2 * value(problem()[0]).mean()
    assert (value(run(pgd(0.1, 0.05, 3))) > value(problem()[0])).all()


def test_keys():
    attack = pgd(0.1, 0.01, 2)
    np.testing.assert_array_equal(run(attack, seed=4), run(attack, seed=4))
    assert (run(attack, seed=4) != run(attack, seed=5)).any(axis=1).all()
    fixed = pgd(0.1, 0.01, 2, random_start=False)
    np.testing.assert_array_equal(run(fixed, seed=4), run(fixed, seed=5))


def test_without_radius_nothing_moves():
    np.testing.assert_array_equal(run(pgd(0.0)), problem()[0])


def test_rows_do_not_see_each_other_and_padding_may_have_any_label():
    x, labels, _, _ = problem()
    attack = pgd(0.1, 0.04, 3, random_start=False)
    whole = run(attack)
    alone = run(attack, x[:5], labels[:5])
    np.testing.assert_allclose(alone, whole[:5], atol=1e-6)
    # The cross-entropy of a label that is no class is not a number.
    strange = labels.copy()
    strange[5:] = (99, -7, 99)
    padded = run(attack, labels=strange)
    np.testing.assert_allclose(padded[:5], whole[:5], atol=1e-6)
    assert np.isfinite(padded).all()
    assert np.abs(padded - x).max() <= 0.1 + 1e-6


def test_no_gradient_flows_through():
    x, labels, w, _ = problem()
    attack = pgd(0.1, 0.04, 2)

    def total(x, w):
        return jnp.sum(attack(jax.random.key(0), x, labels, lambda rows: rows @ w))

    for gradient in jax.jit(jax.grad(total, argnums=(0, 1)))(x, w):
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.slow
def test_accuracy_under_attack_equals_numpy():
    """Eleven images in batches of four; the last one is padded."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (11, D), dtype=np.uint8)
    _, _, w, b = problem()
    x = images / 255
    labels = (x @ w + b).argmax(1)
    labels[3] = (labels[3] + 1) % C
    attack = pgd(0.15, 0.05, 5, random_start=False)

    @jax.jit
    def measure(sign, key):
        def logits_of(rows):
            return sign * linear(rows)

        return adversarial_accuracy(
            logits_of, images, labels, key, attack, batch_size=4
        )

    def by_hand(sign):
        def logits_of(rows):
            return sign * linear(rows)

        moved = run(attack, x.astype(np.float32), labels, logits_of=logits_of)
        return (np.asarray(logits_of(moved)).argmax(1) == labels).mean()

    clean = ((x @ w + b).argmax(1) == labels).mean()
    assert 0 < by_hand(1.0) < clean < 1
    np.testing.assert_allclose(measure(1.0, jax.random.key(0)), by_hand(1.0), rtol=1e-6)
    # Repeats are mapped over.
    both = jax.vmap(measure)(
        jnp.array([1.0, -1.0]), jax.random.split(jax.random.key(0))
    )
    np.testing.assert_allclose(both, [by_hand(1.0), by_hand(-1.0)], rtol=1e-6)
    harmless = adversarial_accuracy(
        linear, images, labels, jax.random.key(0), pgd(0.0), batch_size=100
    )
    np.testing.assert_allclose(harmless, clean, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": -0.1}, "radius: got -0.1"),
        ({"step_size": 0.0}, "step_size: got 0"),
        ({"steps": 0}, "steps: got 0"),
        ({"clip": (1.0, 0.0)}, r"clip: got \(1.0, 0.0\), expected two increasing"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        pgd(**options)


def test_bad_inputs():
    key, (x, labels, _, _) = jax.random.key(0), problem()
    with pytest.raises(ValueError, match="inputs: got uint8, expected floats"):
        pgd()(key, jnp.zeros((2, D), jnp.uint8), jnp.zeros(2, int), linear)
    with pytest.raises(ValueError, match="lengths differ"):
        adversarial_accuracy(linear, x, labels[:3], key, pgd())
    with pytest.raises(ValueError, match="batch_size: got 0"):
        adversarial_accuracy(linear, x, labels, key, pgd(), batch_size=0)
    with pytest.raises(ValueError, match="inputs: got 0"):
        adversarial_accuracy(linear, x[:0], labels[:0], key, pgd())
    # 0 … 255 in wider integers would be cut off at 1.
    with pytest.raises(ValueError, match="inputs: got int32, expected uint8 images or"):
        adversarial_accuracy(linear, (255 * x).astype(int), labels, key, pgd())
    wrong = np.array(labels)
    wrong[0] = -1
    with pytest.raises(ValueError, match="labels: 1 .*out of range .first: -1 at row"):
        adversarial_accuracy(linear, x, wrong, key, pgd())
