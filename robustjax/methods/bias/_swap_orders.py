"""Which images meet in a step of BiaSwap."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax.methods.bias._draws import in_batches, weighted_draws


def draw_from(key: jax.Array, chosen: jax.Array, count: int) -> jax.Array:
    """(count,) independent draws of the chosen of (N,), of all where none is."""
    chosen = chosen | ~jnp.any(chosen)
    return weighted_draws(key, chosen.astype(jnp.float32), count)


def draw_of_class(
    key: jax.Array,
    chosen: jax.Array,
    labels: jax.Array,
    wanted: jax.Array,
    classes: int,
) -> jax.Array:
    """A draw of the chosen with the wanted label, of any label where there is none.

    Args:
      key: PRNG key.
      chosen: (N,) bool.
      labels: (N,) integers in 0 … C-1.
      wanted: (M,) integers.
      classes: C.

    Returns:
      (M,) int32 positions.
    """
    own_key, any_key = jax.random.split(key)
    place = jnp.where(chosen, labels, classes)
    grouped = jnp.argsort(place, stable=True)
    count = jnp.bincount(place, length=classes + 1)
    start = jnp.cumsum(count) - count
    draw = jax.random.uniform(own_key, wanted.shape)
    step = jnp.floor(draw * count[wanted]).astype(start.dtype)
    step = jnp.minimum(step, jnp.maximum(count[wanted] - 1, 0))
    found = grouped[start[wanted] + step]
    other = draw_from(any_key, chosen, wanted.shape[0])
    return jnp.where(count[wanted] > 0, found, other).astype(jnp.int32)


def swap_order(key: jax.Array, conflicting: jax.Array, batch_size: int) -> jax.Array:
    """Pairs of images (content, style) for the translator's training.

    Every second pair of a step's two halves is (aligned, conflicting), the others are
    any two different images. Even pairs are for the translator, odd ones for the
    critic.

    Args:
      key: PRNG key.
      conflicting: (N,) bool, N >= 2.
      batch_size: images a step, a multiple of 4.

    Returns:
      (ceil(N / B), B / 2, 2) int32, all of them examples.
    """
    size, pairs = conflicting.shape[0], batch_size // 2
    steps = -(-size // batch_size)
    total = steps * pairs
    keys = jax.random.split(key, 4)
    content = jax.random.randint(keys[0], (total,), 0, size)
    style = (content + jax.random.randint(keys[1], (total,), 1, size)) % size
    across = jnp.arange(total) % pairs // 2 % 2 == 0
    aligned = draw_from(keys[2], ~conflicting, total)
    contrary = draw_from(keys[3], conflicting, total)
    # Of one kind alone, a pair could be of an image and itself.
    across = across & jnp.any(conflicting) & ~jnp.all(conflicting)
    both = jnp.stack(
        [jnp.where(across, aligned, content), jnp.where(across, contrary, style)],
        axis=-1,
    )
    return both.reshape(steps, pairs, 2).astype(jnp.int32)


def partner_order(
    key: jax.Array,
    conflicting: jax.Array,
    labels: jax.Array,
    batch_size: int,
    padding_index: int,
    *,
    classes: int,
    same_class: bool,
) -> jax.Array:
    """All examples in random order, each with a conflicting one beside it.

    Args:
      key: PRNG key.
      conflicting: (N,) bool.
      labels: (N,) integers in 0 … C-1.
      batch_size: B.
      padding_index: stands for "no example".
      classes: C.
      same_class: whether partners have the example's label, where there are such.

    Returns:
      (ceil(N / B), B, 2) int32; padding stands in both places.
    """
    order_key, draw_key = jax.random.split(key)
    size = conflicting.shape[0]
    own = jax.random.permutation(order_key, size)
    if same_class:
        partner = draw_of_class(draw_key, conflicting, labels, labels[own], classes)
    else:
        partner = draw_from(draw_key, conflicting, size)
    batches = [in_batches(each, batch_size, padding_index) for each in (own, partner)]
    return jnp.stack(batches, axis=-1)
