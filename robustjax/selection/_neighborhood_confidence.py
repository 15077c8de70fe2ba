"""How confident an example's neighbours are: what Prune4ReL relies on."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robustjax import arrays, checks, conditioning
from robustjax.placement import Placement, on_host, per_example
from robustjax.selection._cosine_kernel import (
    SIMILARITIES,
    cosines,
    inverse_norms,
    thresholded,
)
from robustjax.selection._greedy import check_rows
from robustjax.sharded_rows import everywhere, placed

# Similarities held at once, in numbers.
_BLOCK_NUMBERS = 4_000_000


@functools.partial(jax.jit, static_argnames=("place", "similarity", "rows"))
def _levels(
    points: jax.Array,
    others: jax.Array,
    confidence: jax.Array,
    threshold: jax.Array,
    *,
    place: Placement,
    similarity: str,
    rows: int,
) -> jax.Array:
    """Of divided points, by the others and their confidence, which all devices have."""
    near = functools.partial(_levels_of, similarity=similarity, rows=rows)
    found: jax.Array = place.on_rows(near, 3)(points, others, confidence, threshold)
    return found


def _levels_of(
    points: jax.Array,
    others: jax.Array,
    confidence: jax.Array,
    threshold: jax.Array,
    *,
    similarity: str,
    rows: int,
) -> jax.Array:
    inverse, inverse_others = inverse_norms(points), inverse_norms(others)

    def one(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        point, norm = row
        cosine = cosines(point[None], others, norm[None], inverse_others)
        near = thresholded(cosine[0], threshold, similarity)
        return jnp.dot(near, confidence, precision=jax.lax.Precision.HIGHEST)

    return jax.lax.map(one, (points, inverse), batch_size=rows)


def neighborhood_confidence(
    features: Any,
    confidence: Any,
    subset: Any = None,
    *,
    threshold: float = 0.975,
    similarity: str = "shifted",
    mesh: Mesh | None = None,
) -> jax.Array:
    """The reduced neighbourhood confidence of every example, block by block.

    Park et al., NeurIPS 2023 (thesis, Eq. 5.3, and inside the tanh of 5.8):

        NN_i = sum over j in the subset with s_ij > threshold of s_ij C_j,

    where an example of the subset counts as its own neighbour. High means that many
    confident neighbours were kept, from which the example is re-labelled well. Of any
    subset, `sum(tanh(NN / temperature))` is the objective that `prune4rel` raises.

    Args:
      features: (N, d) finite floats, no row zero. Of a JAX array that devices hold in
        parts of rows these stay there; where several processes have them, all call.
      confidence: (N,) non-negative floats, C.
      subset: (M,) distinct indices; by default all examples.
      threshold: tau in [0, 1]; see `prune4rel` for published values.
      similarity: "shifted", (1 + cos) / 2, or "cosine".
      mesh: devices among which the examples are divided, one axis of kind Auto; by
        default those that hold them, or one that has all. Each has the subset whole.

    Returns:
      (N,) float32 in [0, inf), on one device.

    Raises:
      ValueError: a wrong rank, NaN, different lengths, a zero row, negative
        confidence, an index out of range or repeated, a threshold out of range,
        a mesh of other axes, or of other devices than hold the rows, features that
        processes divide otherwise than by rows.
    """
    place, features = placed("features", features, mesh)
    confidence = per_example(confidence)
    checks.one_of("similarity", similarity, SIMILARITIES)
    checks.in_range("threshold", threshold, 0, 1)
    given = check_rows("features", features, nonzero=True)
    confidence = arrays.numbers("confidence", confidence, 1)
    size = checks.same_length(features=features, confidence=confidence)
    if size == 0:
        raise ValueError("features: got no rows, expected at least one")
    checks.finite("confidence", confidence)
    arrays.check_resolved("confidence", confidence)
    checks.in_range("confidence", np.min(confidence), 0)
    if subset is None:
        chosen = np.arange(size)
    else:
        chosen = checks.labels("subset", subset, size)
        if np.unique(chosen).size < chosen.size:
            raise ValueError("subset: got an index twice, expected distinct indices")
    points = conditioning.scaled_source("features", given)
    sure = arrays.cast("confidence", confidence)
    found = _levels(
        place.rows(points),
        everywhere(place, points, chosen),
        *place.whole((sure[chosen], np.float32(threshold))),
        place=place,
        similarity=similarity,
        rows=max(1, min(size, _BLOCK_NUMBERS // len(chosen))),
    )
    return found if place.mesh is None else jnp.asarray(on_host(found)[:size])
