"""Facility location that covers a pool, is like one set and unlike another.

The functions of SIMILAR (Kothawade, Beck, Killamsetty, Iyer, NeurIPS 2021) for active
learning when the pool holds out-of-distribution examples. With similarities s_ij in
the pool U, `q_i` the largest one of i to a query set Q (labelled, in-distribution) and
`p_i` to a private set P (labelled, out-of-distribution):

    FLCMI(A; Q | P) = sum_i max(min(max_{j in A} s_ij, eta q_i) - nu p_i, 0)
    FLCG(A | P)     = sum_i max(max_{j in A} s_ij - nu p_i, 0)

Both are one facility location, whose largest similarity is confined to [low_i, high_i]:
`low = nu p`, and `high = max(eta q, nu p)` or infinite. Examples with low = high take
no part at all.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robustjax import checks
from robustjax.placement import Placement, on_host
from robustjax.row_source import JoinedRows, RowSource
from robustjax.selection._cosine_kernel import SIMILARITIES, similarity_of
from robustjax.selection._coverage_of_file import blocks_of, is_of_file
from robustjax.selection._equal_rows import first_equal_rows
from robustjax.selection._factored_pool import (
    Factors,
    Pool,
    factor_cosines,
    take_rows,
)
from robustjax.selection._greedy import (
    Progress,
    Selection,
    check_budget,
    selection,
)
from robustjax.selection._placed_factors import (
    GivenFactors,
    check_factors,
    divided,
    left_there,
    on_all,
    placed_sets,
)
from robustjax.selection._similar_coverage import Coverage, greedy_coverage

# Candidates whose similarities to the whole pool are held at once.
CANDIDATES = 64
# Rows of Q or P compared with the pool at once.
_BLOCK = 256
# Bytes up to which all similarities are computed once and kept.
KEEP_BYTES = 2**29
# The number of examples that take part is rounded up, so that programs are compiled
# for few of them.
_ROUND_UP = 256


@functools.partial(jax.jit, static_argnames="similarity")
def _largest(pool: Factors, *, others: Factors, similarity: str) -> jax.Array:
    """The largest similarity of every pool example to others (M), at least 0: (N,)."""
    size, number = pool[0][0].shape[0], others[0][0].shape[0]

    def block(index: jax.Array, largest: jax.Array) -> jax.Array:
        rows = jnp.minimum(index * _BLOCK + jnp.arange(_BLOCK), number - 1)
        here = similarity_of(factor_cosines(take_rows(others, rows), pool), similarity)
        return jnp.maximum(largest, jnp.max(here, axis=0))

    return jax.lax.fori_loop(0, -(-number // _BLOCK), block, jnp.zeros(size))


class _Given(NamedTuple):
    """A pool.

    Attributes:
      host: (N, d) rows of every factor, on the host, in a file or in parts on devices.
      pool: the same, divided among devices, or left in the file without a mesh.
      low: (N,) float32, nu times the largest similarities to the private set.
    """

    host: GivenFactors
    pool: Factors
    low: np.ndarray


def _maximise(
    place: Placement,
    given: _Given,
    high: np.ndarray | None,
    budget: int,
    similarity: str,
    candidates: int,
    keep_bytes: int,
    on_progress: Progress | None,
) -> Selection:
    """Greedy for coverage of the pool itself, confined to [low, high]."""
    low = given.low
    size = len(low)
    high = np.full_like(low, np.inf) if high is None else high
    useful = np.flatnonzero(high > low)
    if useful.size == 0:
        # Every gain is zero, now and later: in order of index.
        return selection(np.arange(budget), np.zeros(budget, np.float32), 0.0, size)
    first = first_equal_rows(*given.host)
    of_file = is_of_file(given.pool)
    pool = Pool(given.pool, first if of_file else place.rows(first))
    ground = None
    if useful.size < size and not of_file:
        fill = -useful.size % _ROUND_UP
        # What fills up takes no part: nothing is larger than its zero.
        low, high = (np.pad(end[useful], (0, fill)) for end in (low, high))
        useful = np.pad(useful, (0, fill))
        factors = divided(place, given.host, useful)
        ground = Pool(factors, place.rows(first[useful]))
    return greedy_coverage(
        place,
        Coverage(size, pool, ground, low, high),
        budget,
        similarity,
        candidates,
        keep_bytes,
        on_progress,
    )


def _check_like(name: str, others: GivenFactors, pool: GivenFactors) -> None:
    """Raises `ValueError` unless both have the same factors and widths."""
    got = [array.shape[1] for array in others]
    expected = [array.shape[1] for array in pool]
    if got != expected:
        raise ValueError(
            f"{name}: got rows of width {got}, expected those of the pool, {expected}"
        )


def facility_location_cmi(
    pool: Any,
    query: Any,
    private: Any,
    budget: int,
    *,
    eta: float = 1.0,
    nu: float = 1.0,
    similarity: str = "shifted",
    candidates: int = CANDIDATES,
    keep_bytes: int = KEEP_BYTES,
    mesh: Mesh | None = None,
    on_progress: Progress | None = None,
) -> Selection:
    """Greedy maximisation of FLCMI, the conditional mutual information.

    The picks are those of the plain greedy algorithm, equal gains to the lowest index.
    Gains of zero do not end the selection. Of few examples all similarities are kept,
    and the gains of all are brought up to date by what a pick newly covers. Of many,
    gains are evaluated lazily, a block of candidates at a time by one matrix product,
    and picks are made from a block while its best beats bounds on the gains of all
    others; memory beside the features is `candidates × N`.

    Rows of a file stay there: memory holds a block of them and some numbers per
    example. The file is read once for every block of candidates, once for every pick,
    and where bounds are brought up to date. With a mesh each device holds its part.

    Features may be a tuple of factors: the cosine of outer products `r (x) h`, such as
    the gradients of a last layer with `r = softmax - onehot` and `h = [1, features]`,
    is the product of those of `r` and of `h`, and the large vectors are never formed.

    Args:
      pool: (N, d) finite floats without zero rows, or a tuple of such factors; of
        each rows of a file (`data.open_rows`) will do. Of JAX arrays that devices hold
        in parts of rows these stay there, of all sets in the same devices; where
        several processes have them, all call.
      query: (|Q|, d), likewise, like the pool.
      private: (|P|, d), likewise, or None where nothing is private.
      budget: 1 … N.
      eta: >= 0, how far likeness to the query set counts.
      nu: >= 0, how strictly likeness to the private set is avoided.
      similarity: "shifted", (1 + cos) / 2, or "cosine", of which negative values count
        as 0.
      candidates: evaluated together; of influence on time and memory only.
      keep_bytes: up to so many bytes of similarities are kept, 4 N² if no example is
        excluded; of influence on time and memory only, up to rounding between
        near-ties.
      mesh: devices among which the pool is divided, one axis of kind Auto; by default
        those that hold it, or one that has all. Each gets its own part from the host,
        and similarities are not kept. Gains are summed in another order, which may be
        seen where two agree to six digits.
      on_progress: called now and then with the picks made and the budget.

    Returns:
      `Selection` with the gains, which never increase, and the value reached.

    Raises:
      ValueError: features of a wrong rank or width, not finite or with a zero row, a
        number outside its range, an unknown similarity, a mesh of other axes, or of
        other devices than hold the rows, features that processes divide otherwise than
        by rows.
    """
    checks.in_range("eta", eta, 0, np.inf, high_open=True)
    place, (pool, query, private) = placed_sets(
        mesh, pool=pool, query=query, private=private
    )
    given = _given(place, pool, private, budget, nu, similarity, candidates)
    asked = check_factors("query", query)
    _check_like("query", asked, given.host)
    high = np.maximum(
        np.float32(eta) * _likeness(place, given, asked, similarity), given.low
    )
    return _maximise(
        place, given, high, budget, similarity, candidates, keep_bytes, on_progress
    )


def facility_location_cg(
    pool: Any,
    private: Any,
    budget: int,
    *,
    nu: float = 1.0,
    similarity: str = "shifted",
    candidates: int = CANDIDATES,
    keep_bytes: int = KEEP_BYTES,
    mesh: Mesh | None = None,
    on_progress: Progress | None = None,
) -> Selection:
    """Greedy maximisation of FLCG, the conditional gain; facility location without P.

    Args:
      pool: as for `facility_location_cmi`, also for the rest.
      private: (|P|, d), or None.
      budget: 1 … N.
      nu: >= 0.
      similarity: "shifted" or "cosine".
      candidates: evaluated together.
      keep_bytes: of similarities that may be kept.
      mesh: devices that share the work.
      on_progress: called with the picks made and the budget.

    Returns:
      `Selection`.

    Raises:
      ValueError: see `facility_location_cmi`.
    """
    place, (pool, private) = placed_sets(mesh, pool=pool, private=private)
    given = _given(place, pool, private, budget, nu, similarity, candidates)
    return _maximise(
        place, given, None, budget, similarity, candidates, keep_bytes, on_progress
    )


def _likeness(
    place: Placement, given: _Given, others: GivenFactors, similarity: str
) -> np.ndarray:
    """(N,) the largest similarity of every example of the pool to others."""
    likeness = functools.partial(
        _largest, others=on_all(place, others), similarity=similarity
    )
    if is_of_file(given.pool):
        blocks = blocks_of(given.pool)
        found = [np.asarray(likeness(take_rows(given.pool, here))) for here in blocks]
        return np.concatenate(found)
    return on_host(likeness(given.pool))[: len(given.low)]


def _given(
    place: Placement,
    pool: Any,
    private: Any,
    budget: int,
    nu: float,
    similarity: str,
    candidates: int,
) -> _Given:
    """The checked pool, and nu times its largest similarities to the private set."""
    checks.one_of("similarity", similarity, SIMILARITIES)
    checks.in_range("nu", nu, 0, np.inf, high_open=True)
    checks.at_least("candidates", candidates, 1)
    points = check_factors("pool", pool)
    check_budget(budget, len(points[0]))
    there = place.mesh is None and any(isinstance(x, RowSource) for x in points)
    held = left_there(points) if there else divided(place, points)
    given = _Given(points, held, np.zeros(len(points[0]), np.float32))
    if private is None:
        return given
    hidden = check_factors("private", private)
    _check_like("private", hidden, points)
    low = np.float32(nu) * _likeness(place, given, hidden, similarity)
    return given._replace(low=low)


def facility_location_qmi(
    pool: Any,
    query: Any,
    budget: int,
    *,
    eta: float = 1.0,
    similarity: str = "shifted",
    candidates: int = CANDIDATES,
    keep_bytes: int = KEEP_BYTES,
    mesh: Mesh | None = None,
    on_progress: Progress | None = None,
) -> Selection:
    """Greedy maximisation of FLQMI, mutual information over the query set alone.

        FLQMI(A; Q) = sum_{i in Q} max_{j in A} s_ij
                      + eta sum_{j in A} max_{i in Q} s_ij

    The first part covers the query set, the second likes what is like any of it. Only
    similarities between both sets occur: |Q| N of them. Also known as FL2MI.

    Source: Kothawade et al., SIMILAR, NeurIPS 2021, Table 1.

    Args:
      pool: as for `facility_location_cmi`, also for the rest.
      query: (|Q|, d), or factors.
      budget: 1 … N.
      eta: >= 0, how far likeness counts beside coverage.
      similarity: "shifted" or "cosine".
      candidates: evaluated together.
      keep_bytes: of similarities that may be kept, 4 |Q| N.
      mesh: devices that share the work.
      on_progress: called with the picks made and the budget.

    Returns:
      `Selection`.

    Raises:
      ValueError: see `facility_location_cmi`.
    """
    checks.in_range("eta", eta, 0, np.inf, high_open=True)
    place, (pool, query) = placed_sets(mesh, pool=pool, query=query)
    given = _given(place, pool, None, budget, 0.0, similarity, candidates)
    asked = check_factors("query", query)
    _check_like("query", asked, given.host)
    first = first_equal_rows(*(JoinedRows(*each) for each in zip(given.host, asked)))
    size, number = len(given.low), len(asked[0])
    if is_of_file(given.pool):
        pool = Pool(given.pool, first[:size])
        ground = Pool(left_there(asked), first[size:])
    else:
        pool = Pool(given.pool, place.rows(first[:size]))
        ground = Pool(divided(place, asked), place.rows(first[size:]))
    low = np.zeros(number, np.float32)
    likeness = functools.partial(_likeness, place, given, asked, similarity)
    coverage = Coverage(
        size, pool, ground, low, np.full_like(low, np.inf), eta, likeness
    )
    return greedy_coverage(
        place, coverage, budget, similarity, candidates, keep_bytes, on_progress
    )
