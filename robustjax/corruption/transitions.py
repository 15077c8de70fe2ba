"""Transition matrices of label noise: `T[i, j] = P(given = j | true = i)`."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

# Class maps of asymmetric noise, true -> given, for the usual class order.
CIFAR10_MAP = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}
"""Patrini et al. (CVPR 2017): truck to automobile, bird to airplane, deer to horse,
cat and dog to each other. Five source classes: nominal 40 % is 20 % overall."""

CIFAR10_PAIRS = {0: 2, 2: 0, 4: 7, 7: 4, 1: 9, 9: 1, 3: 5, 5: 3, 6: 8, 8: 6}
"""Park et al. (NeurIPS 2023): every class has a partner, so the nominal rate is the
overall rate."""

MNIST_MAP = {7: 1, 2: 7, 3: 8, 5: 6, 6: 5}
"""Patrini et al. (CVPR 2017)."""


def class_map(num_classes: int, mapping: Mapping[int, int]) -> np.ndarray:
    """Returns a map as a (C,) array in which unnamed classes stay themselves.

    Raises:
      ValueError: a class outside 0 … C-1, or that is no integer.
    """
    targets = np.arange(num_classes)
    for source, target in mapping.items():
        for each in (source, target):
            if isinstance(each, bool) or not isinstance(each, int | np.integer):
                raise ValueError(f"mapping: got {each!r}, expected integers")
        checks.in_range("mapping", source, 0, num_classes - 1)
        checks.in_range("mapping", target, 0, num_classes - 1)
        targets[source] = target
    return targets


def next_in_block(num_classes: int, block: int) -> np.ndarray:
    """Maps each class to the next in its block of contiguous indices, cyclically.

    With `block=num_classes` this is the pair-flip map. With `block=5` on CIFAR-100
    it is the "superclass" noise of several repositories, although fine labels are
    alphabetical, so that these blocks are not the superclasses.

    Raises:
      ValueError: blocks that do not divide the classes.
    """
    checks.in_range("block", block, 2, num_classes)
    if num_classes % block:
        raise ValueError(
            f"block: got {block}, expected a divisor of num_classes = {num_classes}"
        )
    classes = np.arange(num_classes)
    return classes // block * block + (classes + 1) % block


def random_pair_in_block(key: jax.Array, num_classes: int, block: int) -> jax.Array:
    """Swaps one random pair of classes in each block, leaving the others alone.

    The CIFAR-100 noise of the SOP and SCE repositories (`block=5`), where nominal
    40 % is 16 % overall.

    Args:
      key: PRNG key.
      num_classes: C, a multiple of `block`.
      block: the number of contiguous classes in a block.

    Returns:
      (C,) int32 targets.
    """
    next_in_block(num_classes, block)  # Checks the arguments.
    blocks = num_classes // block
    keys = jax.random.split(key, blocks)
    order = jax.vmap(lambda k: jax.random.permutation(k, block))(keys)
    starts = jnp.arange(blocks) * block
    first, second = starts + order[:, 0], starts + order[:, 1]
    targets = jnp.arange(num_classes)
    return targets.at[first].set(second).at[second].set(first)


def symmetric_transition(
    num_classes: int, rate: float, *, include_true: bool
) -> jax.Array:
    """Symmetric noise of the given rate.

    Args:
      num_classes: C.
      rate: share of labels that are *redrawn*, in [0, 1].
      include_true: whether the redraw may give the true class. If so, only a share
        `rate (1 - 1/C)` of the labels ends up wrong.

    Returns:
      (C, C) float32, rows sum to 1.

    Example:
      >>> from robustjax.corruption import transitions
      >>> matrix = transitions.symmetric_transition(3, 0.3, include_true=False)
      >>> [round(share, 2) for share in matrix[0].tolist()]
      [0.7, 0.15, 0.15]
    """
    checks.in_range("rate", rate, 0, 1)
    same = jnp.eye(num_classes)
    if include_true:
        return (1 - rate) * same + rate / num_classes
    return (1 - rate) * same + rate / (num_classes - 1) * (1 - same)


def map_transition(targets: np.ndarray | jax.Array, rate: float) -> jax.Array:
    """Moves a share `rate` of each class to `targets[class]`.

    Args:
      targets: (C,) integers; a class that maps to itself stays clean.
      rate: in [0, 1].

    Returns:
      (C, C) float32, rows sum to 1.

    Raises:
      ValueError: a rate outside its range, or targets that are no classes.
    """
    checks.in_range("rate", rate, 0, 1)
    num_classes = targets.shape[0]
    if not checks.is_traced(targets):
        targets = checks.labels("targets", targets, num_classes)
    moved = jax.nn.one_hot(targets, num_classes)
    return (1 - rate) * jnp.eye(num_classes) + rate * moved


def random_transition(key: jax.Array, num_classes: int) -> jax.Array:
    """Rows of uniform random numbers, normalised (Kim, ECCV 2022, section 4).

    The paper calls it class-symmetric flipping although T is not symmetric; every
    entry has mean 1/C, so that for many classes it is nearly uniform noise.

    Args:
      key: PRNG key.
      num_classes: C.

    Returns:
      (C, C) float32, rows sum to 1.
    """
    entries = jax.random.uniform(key, (num_classes, num_classes))
    return entries / jnp.sum(entries, axis=1, keepdims=True)


def sibling_transition(superclass: np.ndarray, rate: float) -> jax.Array:
    """Moves a share `rate` of each class evenly to the others of its superclass.

    Args:
      superclass: (C,) integers, the superclass of each class (CIFAR-100: the
        `coarse_label` of its `label`).
      rate: in [0, 1].

    Returns:
      (C, C) float32, rows sum to 1.

    Raises:
      ValueError: a superclass with one class only, or numbers of another rank.
    """
    checks.in_range("rate", rate, 0, 1)
    superclass = np.asarray(superclass)
    checks.rank("superclass", superclass, 1)
    siblings = (superclass[:, None] == superclass[None]) & ~np.eye(
        len(superclass), dtype=bool
    )
    count = siblings.sum(1, keepdims=True)
    if (count == 0).any():
        alone = int(np.flatnonzero(count[:, 0] == 0)[0])
        raise ValueError(
            f"superclass: class {alone} is alone in superclass {superclass[alone]}, "
            "expected at least two classes in each"
        )
    moved = siblings / count
    return jnp.asarray((1 - rate) * np.eye(len(superclass)) + rate * moved, jnp.float32)


def empirical_transition(
    true: np.ndarray, given: np.ndarray, num_classes: int
) -> np.ndarray:
    """Row-normalised counts of (true, given) pairs; an absent class keeps its own.

    Args:
      true: (N,) integers.
      given: (N,) integers.
      num_classes: C.

    Returns:
      (C, C) float64, rows sum to 1.
    """
    true = checks.labels("true", true, num_classes)
    given = checks.labels("given", given, num_classes)
    checks.same_length(true=true, given=given)
    counts = np.zeros((num_classes, num_classes))
    np.add.at(counts, (true, given), 1)
    absent = counts.sum(1) == 0
    counts[absent, absent] = 1
    return counts / counts.sum(1, keepdims=True)


def noise_rate(
    transition: np.ndarray | jax.Array, class_frequencies: np.ndarray | None = None
) -> float:
    """The share of labels that a transition matrix is expected to make wrong.

    Args:
      transition: (C, C), rows sum to 1.
      class_frequencies: (C,) shares of the true classes, or their numbers of examples;
        uniform by default.

    Raises:
      ValueError: another matrix, or frequencies of another number, that are negative,
        not finite or all zero.
    """
    checks.rank("transition", transition, 2)
    checks.stochastic("transition", transition)
    wrong = 1 - np.diagonal(np.asarray(transition))
    if class_frequencies is None:
        return float(wrong.mean())
    shares = arrays.numbers("class_frequencies", class_frequencies, 1)
    checks.same_length(class_frequencies=shares, transition=wrong)
    checks.in_range("class_frequencies", shares, 0, high_open=True)
    if not shares.any():
        raise ValueError("class_frequencies: got zeros alone, expected one above 0")
    return float(wrong @ (shares / np.sum(shares)))
