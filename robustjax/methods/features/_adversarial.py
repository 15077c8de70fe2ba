"""Adversarial examples by projected gradient ascent, to train on and to test with.

Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to
Adversarial Attacks", ICLR 2018. `feature_debiasing` takes an attack for training;
`adversarial_accuracy` tells what is left of the accuracy under one.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, losses
from robustjax.training._forward import as_float

LogitsOf = Callable[[jax.Array], jax.Array]
"""`(inputs (B, ...)) -> logits (B, C)`, row by row: a network in prediction mode."""

Attack = Callable[[jax.Array, jax.Array, jax.Array, LogitsOf], jax.Array]
"""`(key, inputs, labels, logits_of) -> inputs`."""

# What an input may lie outside of the range by, as a share of it.
_ROUNDED = 1e-3

UNROLLED_STEPS = 10
"""Up to so many steps are written out one after another; see `pgd`."""


def pgd(
    radius: float = 8 / 255,
    step_size: float = 2 / 255,
    steps: int = 7,
    random_start: bool = True,
    clip: tuple[float, float] | None = (0.0, 1.0),
) -> Attack:
    """Ascends the cross-entropy within a ball around every input.

    From `x_0`, a uniformly random point of the ball or its centre x,

        x_(t+1) = clip(project(x_t + step_size sign(grad CE(logits_of(x_t), label)))),

    where `project` is onto `|x' - x| <= radius` in every entry. With one step of
    the radius' size and no random start this is FGSM (Goodfellow et al., ICLR 2015).

    Published settings (CIFAR-10, pixels in [0, 1]): as by default in training; 20
    steps at test time (authors), 100 (Park et al., NeurIPS 2021, section on
    adversarial robustness, whose radius is not said). `radius=0.3, step_size=0.01,
    steps=40` for MNIST.

    Up to `UNROLLED_STEPS` steps are written out: on CPU a native convolution is about
    ten times slower inside a loop. More steps are a loop, so that the program stays
    small; there, on CPU, prefer a network with convolutions as "patches".

    Args:
      radius: of the ball in the maximum norm, >= 0, in the inputs' unit.
      step_size: of a step, > 0.
      steps: how many, >= 1.
      random_start: whether to start at a random point rather than at the input.
      clip: the smallest and the largest value of an input; None for no bound. Inputs
        must lie within; entries farther out than the radius become NaN.

    Returns:
      An `Attack`: `(key, inputs (B, ...) floats, labels (B,), logits_of) -> (B, ...)`,
      of the inputs' dtype. Rows are attacked by themselves, and no gradient flows
      through it. A row of padding may have any label, even one that is no class.

    Raises:
      ValueError: a number outside its range, or an empty range to clip to; when
        called, inputs that are not floats.
    """
    checks.in_range("radius", radius, 0)
    checks.in_range("step_size", step_size, 0, low_open=True)
    checks.at_least("steps", steps, 1)
    if clip is not None and not clip[0] < clip[1]:
        raise ValueError(f"clip: got {clip}, expected two increasing numbers")

    def attack(
        key: jax.Array, inputs: jax.Array, labels: jax.Array, logits_of: LogitsOf
    ) -> jax.Array:
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise ValueError(f"inputs: got {inputs.dtype}, expected floats")
        inputs = jax.lax.stop_gradient(inputs)
        low, high = inputs - radius, inputs + radius
        if clip is not None:
            low, high = jnp.maximum(low, clip[0]), jnp.minimum(high, clip[1])
            # No point is within both, and what came out would not be near the input.
            slack = _ROUNDED * (clip[1] - clip[0])
            low = jnp.where(low > high + slack, jnp.nan, low)

        def total(x: jax.Array) -> jax.Array:
            # A sum: the gradient of a row does not depend on how many there are.
            return jnp.sum(losses.cross_entropy(logits_of(x), labels))

        def step(_: int | jax.Array, x: jax.Array) -> jax.Array:
            upwards = jnp.sign(jax.grad(total)(x))
            return jnp.clip(x + step_size * upwards, low, high)

        x = inputs
        if random_start:
            noise = jax.random.uniform(key, x.shape, x.dtype, -radius, radius)
            x = jnp.clip(x + noise, low, high)
        if steps <= UNROLLED_STEPS:
            for number in range(steps):
                x = step(number, x)
        else:
            x = jax.lax.fori_loop(0, steps, step, x)
        return jax.lax.stop_gradient(x)

    return attack


def adversarial_accuracy(
    logits_of: LogitsOf,
    inputs: np.ndarray | jax.Array,
    labels: np.ndarray | jax.Array,
    key: jax.Array,
    attack: Attack,
    *,
    batch_size: int = 256,
) -> jax.Array:
    """The share of examples that are still classified correctly under an attack.

    Traceable: put it under `jax.jit`, and under `jax.vmap` for repeats,

        def accuracy(params, model_state, key):
            logits_of = functools.partial(algorithm.predict, params, model_state)
            return adversarial_accuracy(logits_of, inputs, labels, key, pgd(steps=100))

    Args:
      logits_of: see `LogitsOf`; it gets floats.
      inputs: (M, ...), uint8 images or floats within the attack's range.
      labels: (M,) integers.
      key: PRNG key of the random starts.
      attack: such as `pgd(steps=100)`.
      batch_size: examples that are attacked at once.

    Returns:
      () float32 in [0, 1].

    Raises:
      ValueError: no example, lengths that differ, inputs of another type, labels below
        0 or that are no integers, or a batch size below one.
    """
    checks.at_least("batch_size", batch_size, 1)
    size = checks.same_length(inputs=inputs, labels=labels)
    checks.at_least("inputs", size, 1)
    if not checks.is_traced(labels):
        checks.labels("labels", labels)
    dtype = jnp.result_type(inputs)
    if dtype != jnp.uint8 and not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"inputs: got {dtype}, expected uint8 images or floats")
    batches = -(-size // min(batch_size, size))
    per_batch = -(-size // batches)

    def divided(array: np.ndarray | jax.Array) -> jax.Array:
        array = jnp.asarray(array)
        padding = [(0, batches * per_batch - size)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(batches, per_batch, *array.shape[1:])

    def correct(batch: tuple[jax.Array, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        key, images, labels, real = batch
        moved = attack(key, as_float(images), labels, logits_of)
        right = jnp.argmax(logits_of(moved), axis=-1) == labels
        return jnp.sum(right & real)

    counts = jax.lax.map(
        correct,
        (
            jax.random.split(key, batches),
            divided(inputs),
            divided(labels),
            divided(np.ones(size, bool)),
        ),
    )
    return jnp.sum(counts) / size
