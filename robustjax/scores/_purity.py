"""Purity: how likely an example belongs to the task's own classes (IN).

Every score is larger for what is more likely IN, so it is minus a score of
`ood_detection`. They are raw: open-set active learning standardises them over the
unlabelled pool before it weighs them against informativeness.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks, conditioning
from robustjax.scores._ood_detection import (
    energy_uncertainty,
    max_softmax_uncertainty,
)

# The error of a float32 product of d terms, in units of eps sqrt(d), is well below it,
# as that of the rounded points is.
_ROUNDING = 5.0
# What it may be of a squared distance.
_TOLERANCE = 1e-3


def max_softmax_purity(logits: jax.Array) -> jax.Array:
    """The largest class probability (MSP; Hendrycks and Gimpel, ICLR 2017).

    Args:
      logits: (..., C) floats.

    Returns:
      (...) values in [1/C, 1].
    """
    return -max_softmax_uncertainty(logits)


def energy_purity(
    logits: jax.Array, *, temperature: jax.Array | float = 1.0
) -> jax.Array:
    """The negative free energy, `T logsumexp(z / T)` (Liu et al., NeurIPS 2020).

    Args:
      logits: (..., C) floats.
      temperature: T in [1e-30, 1e30], possibly traced.

    Returns:
      (...) values, unbounded.

    Raises:
      ValueError: a temperature out of range, or several.
    """
    return -energy_uncertainty(logits, temperature=temperature)


def react_threshold(features: Any, *, percentile: float = 90.0) -> np.float32:
    """The level at which ReAct clips activations, computed on the host.

    Args:
      features: (m, d) penultimate activations of IN examples; in active learning the
        labelled ones. All m d entries count alike.
      percentile: in [0, 100]; 90 is published. Between two entries it is linear.

    Returns:
      A number for `react_purity`.

    Raises:
      ValueError: no features, a wrong rank, NaN or infinity, or a percentile outside
        its range.
    """
    checks.in_range("percentile", percentile, 0, 100)
    array = arrays.numbers("features", features, 2)
    if array.size == 0:
        raise ValueError(
            f"features: got shape {array.shape}, expected activations of at least "
            "one IN example"
        )
    checks.finite("features", array)
    # float16 would interpolate in float16; wider floats keep their precision.
    wide = array if arrays.is_wide(array) else array.astype(np.float32)
    found = np.asarray(np.percentile(wide, percentile))
    return np.float32(arrays.cast("features", found))


def react_purity(
    features: jax.Array,
    kernel: jax.Array,
    bias: jax.Array | None = None,
    *,
    threshold: jax.Array | float,
    temperature: jax.Array | float = 1.0,
) -> jax.Array:
    """`energy_purity` of the logits of clipped features, `min(h, c) W + b`.

    Sun, Guo, Li, "ReAct: Out-of-distribution Detection With Rectified Activations"
    (NeurIPS 2021): OOD examples have a few very large activations.

    Args:
      features: (B, d) inputs of a classifier's last layer.
      kernel: (d, C), its weights.
      bias: (C,); None for a layer without.
      threshold: c, see `react_threshold`; possibly traced. Infinity gives
        `energy_purity` of the network's own logits.
      temperature: T in [1e-30, 1e30], possibly traced.

    Returns:
      (B,) float32.

    Raises:
      ValueError: shapes that do not match, several thresholds, numbers beyond float32,
        or a temperature out of range.
    """
    checks.rank("features", features, 2)
    checks.rank("kernel", kernel, 2)
    width, num_classes = np.shape(kernel)
    if np.shape(features)[1] != width:
        raise ValueError(
            f"kernel: got {width} rows, expected as many as the features' "
            f"{np.shape(features)[1]} columns"
        )
    if bias is not None and np.shape(bias) != (num_classes,):
        raise ValueError(f"bias: got shape {np.shape(bias)}, expected ({num_classes},)")
    checks.rank("threshold", threshold, 0)
    clipped = jnp.minimum(arrays.float32("features", features), threshold)
    logits = jnp.matmul(
        clipped,
        arrays.float32("kernel", kernel),
        precision=jax.lax.Precision.HIGHEST,
    )
    if bias is not None:
        logits = logits + arrays.float32("bias", bias)[None]
    return energy_purity(logits, temperature=temperature)


def _unit(rows: jax.Array) -> jax.Array:
    # The largest entry out of the square: tiny and huge rows have a norm, too.
    scale = jnp.max(jnp.abs(rows), axis=1, keepdims=True)
    rows = rows / jnp.where(scale > 0, scale, 1.0)
    norm = jnp.linalg.norm(rows, axis=1, keepdims=True)
    return rows / jnp.where(norm > 0, norm, 1.0)


@functools.partial(jax.jit, static_argnames=("block_rows",))
def _best_reference(
    points: jax.Array, references: jax.Array, offset: jax.Array, *, block_rows: int
) -> tuple[jax.Array, jax.Array]:
    """Largest `x · r_j + offset_j` of every point x, and its j, both (n,).

    Blocks of both sides: beside the inputs, memory holds block_rows^2 numbers.
    """
    size, width = references.shape
    points_rows = min(block_rows, points.shape[0])
    rows = min(block_rows, size)
    padding = -size % rows
    padded = jnp.pad(references, ((0, padding), (0, 0))).reshape(-1, rows, width)
    offsets = jnp.pad(offset, (0, padding), constant_values=-jnp.inf).reshape(-1, rows)
    starts = jnp.arange(padded.shape[0], dtype=jnp.int32) * rows

    def of_block(block: jax.Array) -> tuple[jax.Array, jax.Array]:
        def absorb(
            best: tuple[jax.Array, jax.Array],
            part: tuple[jax.Array, jax.Array, jax.Array],
        ) -> tuple[tuple[jax.Array, jax.Array], None]:
            some, extra, start = part
            product = jnp.matmul(block, some.T, precision=jax.lax.Precision.HIGHEST)
            value = product + extra[None]
            index = jnp.argmax(value, axis=1).astype(jnp.int32)
            largest = jnp.max(value, axis=1)
            better = largest > best[0]
            chosen = jnp.where(better, index + start, best[1])
            return (jnp.where(better, largest, best[0]), chosen), None

        count = block.shape[0]
        none = (jnp.full(count, -jnp.inf), jnp.zeros(count, jnp.int32))
        return jax.lax.scan(absorb, none, (padded, offsets, starts))[0]

    count = points.shape[0]
    missing = -count % points_rows
    blocks = jnp.pad(points, ((0, missing), (0, 0))).reshape(-1, points_rows, width)
    found = jax.lax.map(of_block, blocks)
    value, index = (x.reshape(-1)[:count] for x in found)
    return value, index


def _checked(
    features: Any, references: Any, mask: Any, block_rows: int
) -> tuple[Any, Any, jax.Array]:
    """Checked rows, NumPy arrays unless traced, and what leaves out references."""
    checks.at_least("block_rows", block_rows, 1)
    rows = {"features": features, "references": references}
    for name, array in rows.items():
        checks.rank(name, array, 2)
        if np.shape(array)[0] == 0:
            raise ValueError(f"{name}: got no rows, expected at least one")
        if not checks.is_traced(array):
            rows[name] = arrays.numbers(name, array)
            checks.finite(name, rows[name])
    if np.shape(features)[1] != np.shape(references)[1]:
        raise ValueError(
            f"references: got {np.shape(references)[1]} columns, expected those of "
            f"the features, {np.shape(features)[1]}"
        )
    valid = jnp.ones(np.shape(references)[0], bool) if mask is None else mask
    checks.rank("mask", valid, 1)
    checks.same_length(references=references, mask=valid)
    valid = checks.truths("mask", valid)
    if not checks.is_traced(valid) and not valid.any():
        raise ValueError("mask: got no reference, expected at least one")
    offset = jnp.where(jnp.asarray(valid, bool), 0.0, -jnp.inf)
    return rows["features"], rows["references"], offset


def nearest_in_cosine(
    features: Any,
    references: Any,
    *,
    mask: Any = None,
    block_rows: int = 2048,
) -> jax.Array:
    """The largest cosine similarity to any labelled IN example.

    With features from a contrastive network this is the purity of MQNet's public code
    (Park et al., NeurIPS 2022) and the semantic score of CCAL (Du et al., ICCV 2021).
    The cosine of a zero row is 0.

    Args:
      features: (n, d) finite floats.
      references: (m, d) finite floats, of labelled IN examples.
      mask: (m,) bool, False on padding; a static m spares a compilation per round.
      block_rows: at most this many rows of either side meet at a time; of influence
        on time and memory only.

    Returns:
      (n,) float32 in [-1, 1]; minus infinity if a traced mask is all False.

    Raises:
      ValueError: no rows or no reference, wrong ranks, columns or lengths, NaN, or a
        mask of other numbers than 0 and 1.
    """
    points, others, offset = _checked(features, references, mask, block_rows)
    unit = {}
    for name, rows in (("features", points), ("references", others)):
        if not checks.is_traced(rows):
            rows = conditioning.scaled_rows(name, rows)
        unit[name] = _unit(arrays.float32(name, rows))
    value, _ = _best_reference(
        unit["features"], unit["references"], offset, block_rows=block_rows
    )
    return jnp.minimum(value, 1.0)


def nearest_ood_distance(
    features: Any,
    references: Any,
    *,
    mask: Any = None,
    block_rows: int = 2048,
) -> jax.Array:
    """The Euclidean distance to the closest labelled OOD example.

    The paper of MQNet names this distance as the OOD score, of which purity would be
    the negative: then what is near to known OOD examples would be pure. The sign here
    is the one that makes sense.

    Where float32 products cannot tell which reference is closest (tight clusters far
    apart), rows are looked at again in float64. Traced ones are not: of these a
    reference may be taken that is farther by some thousandths of the features' size.

    Args:
      features: (n, d) finite floats.
      references: (m, d) finite floats, of labelled OOD examples.
      mask: (m,) bool, False on padding.
      block_rows: see `nearest_in_cosine`.

    Returns:
      (n,) float32 >= 0; infinity if a traced mask is all False.

    Raises:
      ValueError: as `nearest_in_cosine`.
    """
    points, others, offset = _checked(features, references, mask, block_rows)
    given = points, others
    # The expanded square finds the nearest; near the origin it loses fewer digits.
    if checks.is_traced(given):
        points = arrays.float32("features", points)
        others = arrays.float32("references", others)
        origin = jnp.mean(points, axis=0, keepdims=True)
        points, others, scale = points - origin, others - origin, jnp.float32(1)
    else:
        points, others, scale = _centred(points, others)
    half_square = jnp.sum(others**2, axis=1) / 2
    value, index = _best_reference(
        points, others, offset - half_square, block_rows=block_rows
    )
    distance = jnp.linalg.norm(points - others[index], axis=1)
    found = jnp.where(jnp.isneginf(value), jnp.inf, scale * distance)
    if checks.is_traced((*given, offset)):
        return found
    there = np.asarray(jnp.isfinite(offset))
    largest = jnp.sqrt(2 * jnp.max(jnp.where(there, half_square, 0.0)))
    error = _ROUNDING * np.sqrt(points.shape[1]) * float(jnp.finfo(jnp.float32).eps)
    error = error * (jnp.linalg.norm(points, axis=1) + largest) ** 2
    doubtful = np.flatnonzero(np.asarray(error > _TOLERANCE * distance**2))
    if not doubtful.size:
        return found
    exact = np.array(found)
    exact[doubtful] = _nearest_in_double(*given, doubtful, np.flatnonzero(there))
    return jnp.asarray(exact)


def _nearest_in_double(
    points: np.ndarray, others: np.ndarray, rows: np.ndarray, there: np.ndarray
) -> np.ndarray:
    """Distances of some rows to the nearest of the others that are there."""
    near, far = (conditioning.Rows(each, points[0]) for each in (points, others))
    references = far(there)
    origin = references.mean(axis=0)
    references -= origin
    half = np.sum(references**2, axis=1) / 2
    found = np.empty(len(rows))
    for here in arrays.blocks(len(rows), max(len(there), points.shape[1])):
        block = near(rows[here]) - origin
        nearest = np.argmin(half[None] - block @ references.T, axis=1)
        found[here] = np.linalg.norm(block - references[nearest], axis=1)
    return found


def _centred(
    points: np.ndarray, others: np.ndarray
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Both as float32 less an offset and by a scale, and the scale."""
    found = conditioning.centred("features", points, others)
    return (
        jnp.asarray(found.points),
        jnp.asarray(found.others[0]),
        jnp.float32(found.scale),
    )
