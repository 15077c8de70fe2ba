"""Prune4ReL's printed rule: the gain of a candidate's own term of the objective."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import conditioning
from robustjax.placement import Placement
from robustjax.row_source import RowSource, row_blocks
from robustjax.selection import _ahead as ahead
from robustjax.selection._ahead_examples import Examples, Resident
from robustjax.selection._ahead_of_file import OfFile
from robustjax.selection._cosine_kernel import (
    cosines,
    one_where_equal,
    placed_inverse_norms,
    thresholded,
)
from robustjax.selection._equal_rows import first_equal_rows
from robustjax.selection._projection_bound import coarse_rows, members, within_reach

# Float32 values of tanh are right to a few units in the last place.
_TANH_ROUNDING = 5e-7
# Stands for the logarithm of a gain of zero; a pick of such examples is possible.
_LOG_ZERO = -1e30
# Examples within reach of picks whose similarities are made together.
_AT_ONCE = 256


def _log_cosh(x: jax.Array) -> jax.Array:
    """Log cosh of x >= 0, accurate near zero and for large x."""
    return x + jnp.log1p(jnp.expm1(-2 * x) / 2)


@dataclasses.dataclass(frozen=True)
class OwnGain(ahead.Rule):
    """Levels are NN; scores the gain of a candidate's own term of the objective."""

    similarity: str
    ranking: str

    def relate(
        self, picked: ahead.Rows, rows: ahead.Rows, shared: ahead.Rows
    ) -> jax.Array:
        cosine = cosines(
            picked["points"],
            rows["points"],
            picked["inverse_norm"],
            rows["inverse_norm"],
        )
        cosine = one_where_equal(cosine, picked["first"], rows["first"])
        return thresholded(cosine, shared["threshold"], self.similarity)

    def absorb(
        self, level: jax.Array, relation: jax.Array, picked: ahead.Rows
    ) -> jax.Array:
        return level + relation * picked["confidence"]

    def score(
        self, level: jax.Array, rows: ahead.Rows, shared: ahead.Rows
    ) -> jax.Array:
        after = (level + rows["confidence"]) / shared["temperature"]
        before = level / shared["temperature"]
        if self.ranking == "float32":
            return jnp.tanh(after) - jnp.tanh(before)
        # tanh(a + c) - tanh(a) = sinh(c) / (cosh(a + c) cosh(a)).
        return rows["log_sinh"] - (_log_cosh(after) + _log_cosh(before))

    def tell(
        self,
        level: jax.Array,
        rows: ahead.Rows,
        shared: ahead.Rows,
        picked: ahead.Rows,
        count: jax.Array,
    ) -> jax.Array:
        """With projections only of examples that they do not exclude."""
        if "coarse" not in rows:
            return super().tell(level, rows, shared, picked, count)
        size = level.shape[0]
        made = jnp.arange(picked["coarse"].shape[0]) < count
        coarse = jnp.where(made[:, None], picked["coarse"], 0.0)
        reach = within_reach(rows["coarse"], coarse, shared["cosine"])

        def some(block: jax.Array, level: jax.Array) -> jax.Array:
            near = members(reach, block * _AT_ONCE, _AT_ONCE, size)
            few = ahead.take_rows(rows, jnp.minimum(near, size - 1))
            relation = self.relation(picked, few, shared).T
            after = ahead.absorb_in_order(self, level[near], relation, picked, count)
            return level.at[near].set(after, mode="drop")

        return jax.lax.fori_loop(0, -(-reach.ends[-1] // _AT_ONCE), some, level)

    def margin(
        self, level: jax.Array, rows: ahead.Rows, shared: ahead.Rows
    ) -> jax.Array | float:
        if self.ranking == "stable":
            return 0.0
        # Differences of rounded values may rise where exact ones fall.
        largest = jnp.max(level) + jnp.max(rows["confidence"])
        return _TANH_ROUNDING * jnp.tanh(largest / shared["temperature"])


def own_examples(
    place: Placement,
    features: Any,
    confidence: np.ndarray,
    temperature: float,
    cosine: float | None,
) -> Examples:
    """What the rule needs of every example, in a file if features are rows of one.

    Args:
      place: where they are to lie.
      features: (N, d), no row zero.
      confidence: (N,) float32.
      temperature: eta.
      cosine: above which examples are neighbours, to leave out others before their
        products are made; None to make all.
    """
    log_sinh = functools.partial(_log_sinh, temperature=np.float32(temperature))
    given = conditioning.scaled_source("features", features)
    first = first_equal_rows(given)
    if isinstance(given, RowSource) and place.mesh is None:
        at = row_blocks(given)
        norms = [np.asarray(placed_inverse_norms(given[here], place)) for here in at]
        light = {
            "inverse_norm": np.concatenate(norms),
            "first": first,
            "confidence": confidence,
            "log_sinh": np.asarray(log_sinh(confidence)),
        }
        return OfFile(given, light)
    points = place.rows(given)
    inverse = placed_inverse_norms(points, place)
    sure = place.rows(confidence)
    coarse = None
    # An accelerator has made all products before it has found out which to leave out,
    # and so have devices together.
    if place.mesh is None and cosine is not None and jax.default_backend() == "cpu":
        coarse = coarse_rows(points, inverse, cosine)
    rows = {
        **({} if coarse is None else {"coarse": coarse}),
        "points": points,
        "inverse_norm": inverse,
        "first": place.rows(first),
        "confidence": sure,
        "log_sinh": log_sinh(sure),
    }
    return Resident(place, rows)


@jax.jit
def _log_sinh(confidence: jax.Array, temperature: jax.Array) -> jax.Array:
    c = confidence / temperature
    return jnp.maximum(c + jnp.log(-jnp.expm1(-2 * c) / 2), _LOG_ZERO)


def own_shared(threshold: float, temperature: float, similarity: str) -> ahead.Rows:
    """The numbers of the rule, the threshold as a cosine among them."""
    cosine = 2 * threshold - 1 if similarity == "shifted" else threshold
    return {
        "cosine": jnp.float32(cosine),
        "threshold": jnp.float32(threshold),
        "temperature": jnp.float32(temperature),
    }
