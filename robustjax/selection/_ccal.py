"""CCAL: known-looking examples that no class has seen the like of, class by class.

Du, Zhao, Chen, Chang, Li, Zhang, "Contrastive Coding for Active Learning under Class
Distribution Mismatch" (ICCV 2021). Two contrastive networks give features: a semantic
one, whose similarity to labelled IN examples tells whether an example is of the task's
classes, and a distinctive one, trained to tell rotations, whose similarity tells how
much like labelled examples it is.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks, conditioning
from robustjax.scores._mixture import min_max_normalize
from robustjax.selection._cosine_kernel import inverse_norms
from robustjax.selection._greedy import (
    Selection,
    check_budget,
    check_features,
    selection,
)


class Distinctive(NamedTuple):
    """How much unlabelled examples are like the labelled ones of every class.

    Attributes:
      scores: (n, k) float32, before any normalisation.
      nearest: (n,) int32, the class of the nearest labelled example.
    """

    scores: jax.Array
    nearest: jax.Array


def semantic_gate(
    semantic: Any,
    *,
    slope: jax.Array | float = 100.0,
    threshold: jax.Array | float = 0.9,
) -> jax.Array:
    """Semantic scores, scaled to [0, 1] over the pool, through a steep step.

    `(1 - exp(-a (s - t))) / (1 + exp(-a (s - t)))`, which is `tanh(a (s - t) / 2)`.

    Args:
      semantic: (n,) floats, such as `scores.nearest_in_cosine`; larger is purer.
      slope: a > 0, possibly traced.
      threshold: t, possibly traced.

    Returns:
      (n,) float32 in [-1, 1].

    Raises:
      ValueError: scores of another rank, or a slope that is not positive.
    """
    checks.rank("semantic", semantic, 1)
    checks.in_range("slope", slope, 0, low_open=True)
    scaled = min_max_normalize(semantic)
    return jnp.tanh(slope * (scaled - threshold) / 2)


@functools.partial(jax.jit, static_argnames=("block_rows",))
def _distinctive(
    features: jax.Array, members: jax.Array, valid: jax.Array, *, block_rows: int
) -> Distinctive:
    """Of unit rows (R, n, d) and, by class and padded, (R, k, m, d), with (k, m)."""

    def of_class(
        block: jax.Array, own: jax.Array, real: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        cosine = jnp.matmul(block, own.T, precision=jax.lax.Precision.HIGHEST)
        best, index = jax.lax.top_k(jnp.where(real[None], cosine, -jnp.inf), 2)
        between = jnp.sum(own[index[:, 0]] * own[index[:, 1]], axis=1)
        return (best[:, 0] - best[:, 1]) + between + best[:, 0], best[:, 0]

    def of_block(block: jax.Array) -> tuple[jax.Array, jax.Array]:
        def of_rotation(
            part: tuple[jax.Array, jax.Array],
        ) -> tuple[jax.Array, jax.Array]:
            rows, classes = part
            return jax.lax.map(lambda one: of_class(rows, *one), (classes, valid))

        values, closest = jax.lax.map(of_rotation, (block, members))
        nearest = jnp.argmax(closest[0], axis=0).astype(jnp.int32)
        return jnp.mean(values, axis=0).T, nearest

    rotations, size, width = features.shape
    rows = min(block_rows, size)
    padded = jnp.pad(features, ((0, 0), (0, -size % rows), (0, 0)))
    blocks = padded.reshape(rotations, -1, rows, width).swapaxes(0, 1)
    scores, nearest = jax.lax.map(of_block, blocks)
    return Distinctive(
        scores.reshape(-1, valid.shape[0])[:size], nearest.reshape(-1)[:size]
    )


def distinctive_scores(
    features: Any,
    references: Any,
    labels: Any,
    num_classes: int,
    *,
    block_rows: int = 2048,
) -> Distinctive:
    """Likeness to the two nearest labelled examples A and B of every class.

    With cosines c1 >= c2 to them it is `(c1 - c2) + cos(A, B) + c1`, averaged over
    rotations, each of which has its own A and B. Memory beside the features is some
    arrays of block_rows by the size of the largest class.

    Args:
      features: (R, n, d) finite floats of the unlabelled pool, no row zero; R rotated
        versions, the first of them not rotated.
      references: (R, m, d) finite floats of labelled IN examples, no row zero.
      labels: (m,) integers in 0 … k-1, of each class at least two.
      num_classes: k.
      block_rows: of influence on time and memory only.

    Returns:
      `Distinctive`; the nearest labelled example is that of the first rotation.

    Raises:
      ValueError: wrong ranks or lengths, NaN, zero rows, labels out of range, or a
        class with fewer than two examples.
    """
    checks.at_least("block_rows", block_rows, 1)
    features = arrays.numbers("features", features, 3)
    references = arrays.numbers("references", references, 3)
    for name, array in (("features", features), ("references", references)):
        if array.size == 0:
            raise ValueError(f"{name}: got shape {array.shape}, expected examples")
        check_features(name, array.reshape(-1, array.shape[2]), nonzero=True)
    kinds = [(np.shape(x)[0], np.shape(x)[2]) for x in (features, references)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"references: got {kinds[1][0]} rotations of {kinds[1][1]} features, "
            f"expected {kinds[0][0]} of {kinds[0][1]}"
        )
    given = checks.labels("labels", labels, num_classes)
    if given.size != np.shape(references)[1]:
        raise ValueError(
            f"labels: got {given.size}, expected one of each of the "
            f"{np.shape(references)[1]} references"
        )
    sizes = np.bincount(given, minlength=num_classes)
    if sizes.min() < 2:
        few = int(np.argmin(sizes))
        raise ValueError(
            f"labels: class {few} has {sizes[few]} labelled example(s), expected at "
            "least two of every class"
        )
    index = np.zeros((num_classes, sizes.max()), np.int32)
    for number, size in enumerate(sizes):
        index[number, :size] = np.flatnonzero(given == number)
    valid = np.arange(sizes.max())[None] < sizes[:, None]

    def unit(name: str, array: np.ndarray) -> jax.Array:
        rows = conditioning.scaled_rows(name, array.reshape(-1, array.shape[2]))
        return (rows * inverse_norms(rows)[:, None]).reshape(array.shape)

    return _distinctive(
        unit("features", features),
        unit("references", references)[:, index],
        jnp.asarray(valid),
        block_rows=block_rows,
    )


def ccal(
    semantic: Any,
    distinctive: Distinctive,
    budget: int,
    *,
    slope: float = 100.0,
    threshold: float = 0.9,
    nearest_only: bool = True,
) -> Selection:
    """The best examples of every class in turn, by gate plus informativeness.

    The score of an example for a class is `semantic_gate` plus one minus the
    distinctive score of that class, scaled to [0, 1] over the pool. Class by class,
    the `ceil(budget / k)` best that are left are picked, until there are enough; equal
    scores go to the lowest index.

    Published settings: slope 100 and threshold 0.9.

    Args:
      semantic: (n,) finite floats, see `semantic_gate`.
      distinctive: of the same pool.
      budget: 1 … n.
      slope: of the gate.
      threshold: of the gate.
      nearest_only: an example can be picked with its score only for the class of its
        nearest labelled example and has -1 for the others, as in the original; the
        code of MQNet's comparison has dropped that.

    Returns:
      `Selection`: the gains are the scores of the picks, the objective their sum.

    Raises:
      ValueError: wrong ranks or lengths, NaN, or a number out of range.
    """
    known = arrays.numbers("semantic", semantic, 1)
    checks.finite("semantic", known)
    each = arrays.numbers("distinctive.scores", distinctive.scores, 2)
    checks.finite("distinctive.scores", each)
    num_classes = each.shape[1]
    near = checks.labels("distinctive.nearest", distinctive.nearest, num_classes)
    size = checks.same_length(semantic=known, distinctive=each, nearest=near)
    check_budget(budget, size)
    gate = semantic_gate(known, slope=slope, threshold=threshold)
    scaled = jnp.stack([min_max_normalize(column) for column in each.T], axis=1)
    scores = np.array(gate[:, None] + 1 - scaled)
    if nearest_only:
        own = near[:, None] == np.arange(num_classes)
        scores = np.where(own, scores, np.float32(-1))
    quota = -(-budget // num_classes)
    left = np.ones(size, bool)
    picks: list[np.ndarray] = []
    gains: list[np.ndarray] = []
    for number in range(num_classes):
        count = min(quota, budget - sum(map(len, picks)))
        ranked = np.where(left, scores[:, number], -np.inf)
        best = np.argsort(-ranked, kind="stable")[:count]
        left[best] = False
        picks.append(best.astype(np.int32))
        gains.append(scores[best, number])
    values = np.concatenate(gains).astype(np.float32)
    return selection(np.concatenate(picks), values, float(values.sum()), size)
