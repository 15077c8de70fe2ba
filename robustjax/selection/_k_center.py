"""k-center: the example farthest from all picked so far, again and again."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robustjax import arrays, checks, conditioning
from robustjax import storage as stored
from robustjax.placement import Placement, on_host
from robustjax.row_source import RowSource, row_blocks
from robustjax.selection import _ahead as ahead
from robustjax.selection._ahead_examples import Examples, Resident
from robustjax.selection._ahead_of_file import OfFile
from robustjax.selection._class_layout import one_class
from robustjax.selection._equal_rows import first_equal_rows
from robustjax.selection._greedy import (
    Progress,
    Selection,
    check_budget,
    check_rows,
    selection,
)
from robustjax.selection._row_blocks import by_blocks
from robustjax.sharded_rows import placed

# Examples whose distances to the picks of a round are in a CPU's cache together.
_BLOCK = 1_024
# Numbers of a row that are added up together at least, and such parts at most.
_SUMMED, _PARTS = 128, 8


@dataclasses.dataclass(frozen=True)
class _FarthestFirst(ahead.Rule):
    """Levels and scores are squared distances to the nearest pick.

    Attributes:
      place: where the examples lie.
    """

    place: Placement

    def relate(
        self, picked: ahead.Rows, rows: ahead.Rows, shared: ahead.Rows
    ) -> jax.Array:
        del shared
        product = _products(picked["points"], rows["points"])
        square = picked["square"][:, None] + rows["square"][None]
        same = picked["first"][:, None] == rows["first"][None]
        return jnp.where(same, 0.0, jnp.maximum(square - 2 * product, 0.0))

    def absorb(
        self, level: jax.Array, relation: jax.Array, picked: ahead.Rows
    ) -> jax.Array:
        del picked
        return jnp.minimum(level, relation)

    def score(
        self, level: jax.Array, rows: ahead.Rows, shared: ahead.Rows
    ) -> jax.Array:
        del rows, shared
        return level

    def tell(
        self,
        level: jax.Array,
        rows: ahead.Rows,
        shared: ahead.Rows,
        picked: ahead.Rows,
        count: jax.Array,
    ) -> jax.Array:
        """In blocks of rows on a CPU, whose relations never leave its cache."""
        del shared

        def of_device(
            own: tuple[jax.Array, ahead.Rows], picked: ahead.Rows, count: jax.Array
        ) -> jax.Array:
            made = jnp.arange(picked["square"].shape[0]) < count

            def nearest(level: jax.Array, some: ahead.Rows) -> jax.Array:
                relation = self.relation(picked, some, {})
                relation = jnp.where(made, relation, jnp.inf)
                return jnp.minimum(level, jnp.min(relation, axis=1))

            return by_blocks(nearest, *own, _BLOCK)

        # By itself XLA would divide the loop over blocks of rows, and send them.
        mapped = self.place.on_rows(of_device, 2)
        found: jax.Array = mapped((level, rows), picked, count)
        return found


def _products(a: jax.Array, b: jax.Array) -> jax.Array:
    """Products (A, B) of kept rows (A, d) and (B, d)."""
    if b.dtype != jnp.float32 or jax.default_backend() != "cpu":
        return stored.products(a, b)
    # XLA's CPU kernel for blocks adds up a row in one go, which rounds three times as
    # much as sums of parts do; distances are differences of large numbers.
    width = max(_SUMMED, -(-a.shape[1] // _PARTS))
    parts = [
        stored.products(a[:, at : at + width], b[:, at : at + width])
        for at in range(0, a.shape[1], width)
    ]
    return functools.reduce(jnp.add, parts)


@functools.partial(jax.jit, static_argnames="place")
def _squares(points: jax.Array, place: Placement) -> jax.Array:
    found: jax.Array = place.on_rows(stored.squares, 0)(points)
    return found


@jax.jit
def _farthest(level: jax.Array, taken: jax.Array) -> jax.Array:
    return jnp.max(jnp.where(taken, 0.0, level))


def k_center(
    features: Any,
    budget: int,
    *,
    initial: Any = None,
    key: jax.Array | None = None,
    candidates: int = ahead.CANDIDATES,
    storage: Any = jnp.float32,
    mesh: Mesh | None = None,
    on_progress: Progress | None = None,
) -> Selection:
    """Farthest-first traversal under the Euclidean distance, exactly.

    Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
    Approach" (ICLR 2018), greedy version (Gonzalez, 1985): its radius is at most twice
    the smallest possible. Every pick is the example with the largest distance to its
    nearest pick; equal distances go to the lowest index, and the distance of equal
    rows is exactly 0. Points are centred and scaled in their own precision; distances
    are computed in float32 by expanding the square, so examples whose distances agree
    to about six digits of the squared norms may change places.

    Beside the points and a centred copy, memory holds `candidates / 4 × N` distances,
    on a CPU those of some rows at a time; there is no N × N and no budget × N array.
    See `ahead` for why it is fast.

    Rows of a file stay there: they are read five times at first, and then once for
    every round of up to `candidates / 4` picks. With a mesh each device holds its part.

    In a narrow storage the traversal is that of the centred rows, rounded: with norms
    `|a|`, `|b|` (of rows less the mean) a distance is off by at most `u (|a| + |b|)`,
    u = 2⁻⁸ for bfloat16 and 2⁻¹¹ for float16 (there beside 2⁻²³ √d of the largest
    entry, below which its numbers are coarser). So is the radius, by as much for the
    largest norm; picks may be others, and rows that become equal are copies.

    Args:
      features: (N, d) finite floats, rows of a file (`data.open_rows`), or a JAX array
        that devices hold in parts of rows, which stay there; where several processes
        have these, all call.
      budget: the number of new picks.
      initial: (M,) distinct indices of examples that are picked already, such as
        labelled ones; they are not picked again and not part of the answer. Without
        them the first pick is not determined by distances.
      key: draws that first pick uniformly; without it the first pick is example 0.
      candidates: looked at together; of influence on time and memory only.
      storage: float32, bfloat16 or float16, in which devices keep the rows; products
        are summed in float32. The latter two halve the memory.
      mesh: devices among which the examples are divided, one axis of kind Auto; by
        default those that hold them, or one that has all. Each gets its own part from
        the host.
      on_progress: called now and then with the picks made and the budget.

    Returns:
      `Selection`: the gains are the distances at which examples were picked (infinite
      for a first pick without `initial`), which never increase; the objective is the
      radius, the largest distance of any example to its nearest pick.

    Raises:
      ValueError: features of a wrong rank, not finite or of differences that float32
        cannot hold; initial indices out of range or repeated; a budget that is not
        between 1 and the number of other examples; another storage, or a narrow one of
        rows that stay in a file; a mesh of other axes, or of other devices than hold
        the rows; features that processes divide otherwise than by rows.

    Example:
      >>> import numpy as np
      >>> from robustjax import selection
      >>> points = np.array([[0.0], [1.0], [5.0], [9.0]])
      >>> selection.k_center(points, 2, initial=[0]).indices.tolist()
      [3, 2]
    """
    place, features = placed("features", features, mesh)
    in_file = place.mesh is None and isinstance(features, RowSource)
    kind = stored.check_storage("storage", storage, in_file=in_file)
    points = check_rows("features", features)
    checks.at_least("candidates", candidates, 2)
    size = len(points)
    given = np.zeros(0, np.int32) if initial is None else _indices(initial, size)
    check_budget(budget, size - given.size)

    rule = _FarthestFirst(place)
    shared: ahead.Rows = {}
    examples, scale = _examples(place, points, kind)
    del points  # Memory: on most devices the points have been copied.
    drawn = given.size == 0
    if drawn:
        given = np.zeros(1, np.int32)
        if key is not None:
            given = np.asarray(jax.random.randint(key, (1,), 0, size))
    taken = np.zeros(size, bool)
    taken[given] = True
    state = ahead.start(place, np.full(size, np.inf, np.float32), taken, budget)
    state = examples.absorb(rule, shared, state, given, 1 if drawn else 64)
    if drawn:
        picks, scores = np.zeros(budget, np.int32), np.zeros(budget, np.float32)
        picks[0], scores[0] = given[0], np.inf
        picks, scores, made = place.whole((picks, scores, np.int32(1)))
        state = state._replace(picks=picks, scores=scores, made=made)
    state = examples.advance(
        rule,
        shared,
        one_class(len(state.level)),
        np.zeros(budget, np.int32),
        state,
        budget,
        candidates=candidates,
        on_progress=on_progress,
    )
    # Products of different shapes round differently; distances cannot increase.
    gains = np.minimum.accumulate(np.sqrt(on_host(state.scores)))
    radius = float(np.sqrt(on_host(_farthest(state.level, state.taken))))
    # A power of two: no digit of a usual gain changes.
    gains = (gains * scale).astype(np.float32)
    return selection(on_host(state.picks), gains, radius * scale, size)


def _examples(
    place: Placement, points: np.ndarray | RowSource, kind: str
) -> tuple[Examples, float]:
    """Checked points as the rule wants them, and by what they were divided."""
    # Distances do not change; cancellation in the expanded square does.
    near, scale, _ = conditioning.centred_source("features", points, kind)
    first = first_equal_rows(near)
    if isinstance(near, RowSource) and place.mesh is None:
        at = row_blocks(near)
        squares = [np.asarray(_squares(near[here], place)) for here in at]
        light = {"square": np.concatenate(squares), "first": first}
        return OfFile(near, light), scale
    on_device = place.rows(near)
    rows = {"points": on_device, "square": _squares(on_device, place)}
    return Resident(place, {**rows, "first": place.rows(first)}), scale


def _indices(initial: Any, size: int) -> np.ndarray:
    """Checked int32 indices of examples that are picked already."""
    indices = arrays.numbers("initial", initial, 1)
    if indices.size == 0:
        return indices.astype(np.int32)
    indices = checks.labels("initial", indices, size)
    if np.unique(indices).size < indices.size:
        raise ValueError("initial: got an index twice, expected distinct indices")
    return indices
