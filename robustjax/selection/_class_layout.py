"""The best few of every class among many scores, without sorting them all."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_GROUP = 64


class ClassLayout(NamedTuple):
    """Examples in groups of one class each, classes one after the other.

    The position of an example in the layout is its rank among equal scores.

    Attributes:
      order: (G * 64,) int32 examples; N where a group is not full. None where they
        stand in order: of devices each then looks for the best among its own.
      group_class: (G,) int32, ascending.
      first_group: (C,) int32, the first group of every class.
      num_groups: (C,) int32, the number of groups of every class.
    """

    order: jax.Array | np.ndarray | None
    group_class: jax.Array | np.ndarray
    first_group: jax.Array | np.ndarray
    num_groups: jax.Array | np.ndarray


def one_class(size: int) -> ClassLayout:
    """Of so many examples, equal scores in order of index, on the host."""
    groups = -(-size // _GROUP)
    return ClassLayout(
        None,
        np.zeros(groups, np.int32),
        np.zeros(1, np.int32),
        np.full(1, groups, np.int32),
    )


def examples_at(layout: ClassLayout, positions: jax.Array, size: int) -> jax.Array:
    """The examples at positions of a layout of `size`; `size` where there is none."""
    if layout.order is None:
        return jnp.minimum(positions, size).astype(jnp.int32)
    return jnp.append(layout.order, size)[positions]


def class_layout(labels: np.ndarray, ranks: np.ndarray | None = None) -> ClassLayout:
    """Arranges examples by class, on the host.

    Args:
      labels: (N,) int32 classes from 0; all zero for a selection without classes.
      ranks: (N,) distinct numbers, smaller ones go first among equal scores; by
        default the index.
    """
    size = len(labels)
    ranks = np.arange(size) if ranks is None else ranks
    sizes = np.bincount(labels)
    groups = -(-sizes // _GROUP)
    first = np.cumsum(groups) - groups
    by_class = np.lexsort((ranks, labels))
    within = np.arange(size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order = np.full(groups.sum() * _GROUP, size, np.int32)
    order[first[labels[by_class]] * _GROUP + within] = by_class
    return ClassLayout(
        order,
        np.repeat(np.arange(len(sizes), dtype=np.int32), groups),
        first.astype(np.int32),
        groups.astype(np.int32),
    )


def best_of_classes(
    scores: jax.Array, layout: ClassLayout, classes: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
    """The `count` largest scores of some classes, ties to the lower position.

    They lie in the `count` groups of the class with the largest maxima; finding those
    first replaces a long partial sort by two short ones.

    Args:
      scores: (N,) floats; -inf for examples that are not available.
      layout: of the N examples.
      classes: (K,) int32.
      count: of each class, static.

    Returns:
      (K, count) scores, largest first, and the (K, count) int32 positions in the
      layout. Beyond the last available example of a class the score is -inf; the
      position may then be one past the end of the layout.
    """
    total = layout.group_class.shape[0]
    if layout.order is None:
        # What fills up the devices may be more than groups have room for.
        held = scores[: total * _GROUP]
        fill = (0, total * _GROUP - held.shape[0])
        held = jnp.pad(held, fill, constant_values=-jnp.inf)
    else:
        held = jnp.append(scores, -jnp.inf)[layout.order]
    grouped = held.reshape(total, _GROUP)
    # Stable: groups of equal maxima stay in order.
    ranked = jnp.lexsort((-jnp.max(grouped, axis=1), layout.group_class))
    place = jnp.arange(count)[None]
    there = place < layout.num_groups[classes][:, None]
    run = jnp.minimum(layout.first_group[classes][:, None] + place, total - 1)
    # In ascending order, so that equal scores keep their order among positions.
    groups = jnp.sort(jnp.where(there, ranked[run], total), axis=1)
    grouped = jnp.pad(grouped, ((0, 1), (0, 0)), constant_values=-jnp.inf)
    values = grouped[groups].reshape(classes.shape[0], -1)
    best, column = jax.lax.top_k(values, count)
    # Where only parts of these are used, XLA's CPU would else sort all the values. One
    # by one: its compiler fails where a barrier is for both.
    best, column = map(jax.lax.optimization_barrier, (best, column))
    group = jnp.take_along_axis(groups, column // _GROUP, axis=1)
    position = jnp.minimum(group * _GROUP + column % _GROUP, total * _GROUP)
    return best, position.astype(jnp.int32)
