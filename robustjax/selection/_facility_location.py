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
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, conditioning
from robustjax.selection._cosine_kernel import (
    SIMILARITIES,
    inverse_norms,
    similarity_of,
)
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
    check_features,
    selection,
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


def _factors(name: str, features: Any) -> Factors:
    """Checked factors as float32."""
    parts = features if isinstance(features, tuple) else (features,)
    for part in parts:
        if len(check_features(name, part, nonzero=True)) == 0:
            raise ValueError(f"{name}: got no rows, expected at least one")
    checks.same_length(**{f"{name}[{i}]": part for i, part in enumerate(parts)})
    rows = [conditioning.scaled_rows(name, part) for part in parts]
    return tuple((array, jax.jit(inverse_norms)(array)) for array in rows)


@functools.partial(jax.jit, static_argnames="similarity")
def _largest(pool: Factors, others: Factors, *, similarity: str) -> jax.Array:
    """The largest similarity of every pool example to others (M), at least 0: (N,)."""
    size, number = pool[0][0].shape[0], others[0][0].shape[0]

    def block(index: jax.Array, largest: jax.Array) -> jax.Array:
        rows = jnp.minimum(index * _BLOCK + jnp.arange(_BLOCK), number - 1)
        here = similarity_of(factor_cosines(take_rows(others, rows), pool), similarity)
        return jnp.maximum(largest, jnp.max(here, axis=0))

    return jax.lax.fori_loop(0, -(-number // _BLOCK), block, jnp.zeros(size))


def _maximise(
    factors: Factors,
    low: jax.Array,
    high: jax.Array,
    budget: int,
    similarity: str,
    candidates: int,
    keep_bytes: int,
    on_progress: Progress | None,
) -> Selection:
    """Greedy for coverage of the pool itself, confined to [low, high]."""
    size = low.shape[0]
    useful = np.flatnonzero(np.asarray(high > low))
    if useful.size == 0:
        # Every gain is zero, now and later: in order of index.
        return selection(np.arange(budget), np.zeros(budget, np.float32), 0.0, size)
    first = jnp.asarray(first_equal_rows(*(array for array, _ in factors)))
    pool = Pool(factors, first)
    extra = jnp.zeros(size, jnp.float32)
    if useful.size == size:
        coverage = Coverage(pool, None, low, high, extra)
    else:
        fill = -useful.size % _ROUND_UP
        ground = pool.take(jnp.asarray(np.pad(useful, (0, fill))))
        # What fills up takes no part: nothing is larger than its zero.
        low, high = (jnp.pad(end[useful], (0, fill)) for end in (low, high))
        coverage = Coverage(pool, ground, low, high, extra)
    return greedy_coverage(
        coverage, budget, similarity, candidates, keep_bytes, on_progress
    )


def _check_like(name: str, others: Factors, pool: Factors) -> None:
    """Raises `ValueError` unless both have the same factors and widths."""
    got = [array.shape[1] for array, _ in others]
    expected = [array.shape[1] for array, _ in pool]
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
    on_progress: Progress | None = None,
) -> Selection:
    """Greedy maximisation of FLCMI, the conditional mutual information.

    The picks are those of the plain greedy algorithm, equal gains to the lowest index.
    Gains of zero do not end the selection. Of few examples all similarities are kept,
    and the gains of all are brought up to date by what a pick newly covers. Of many,
    gains are evaluated lazily, a block of candidates at a time by one matrix product,
    and picks are made from a block while its best beats the old gains of all others;
    memory beside the features is `candidates × N`.

    Features may be a tuple of factors: the cosine of outer products `r (x) h`, such as
    the gradients of a last layer with `r = softmax - onehot` and `h = [1, features]`,
    is the product of those of `r` and of `h`, and the large vectors are never formed.

    Args:
      pool: (N, d) finite floats without zero rows, or a tuple of such factors.
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
      on_progress: called now and then with the picks made and the budget.

    Returns:
      `Selection` with the gains, which never increase, and the value reached.

    Raises:
      ValueError: features of a wrong rank or width, not finite or with a zero row, a
        number outside its range, an unknown similarity.
    """
    checks.in_range("eta", eta, 0, np.inf, high_open=True)
    points, low = _pool_and_low(pool, private, budget, nu, similarity, candidates)
    asked = _factors("query", query)
    _check_like("query", asked, points)
    high = jnp.maximum(eta * _largest(points, asked, similarity=similarity), low)
    return _maximise(
        points, low, high, budget, similarity, candidates, keep_bytes, on_progress
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
      on_progress: called with the picks made and the budget.

    Returns:
      `Selection`.

    Raises:
      ValueError: see `facility_location_cmi`.
    """
    points, low = _pool_and_low(pool, private, budget, nu, similarity, candidates)
    high = jnp.full_like(low, jnp.inf)
    return _maximise(
        points, low, high, budget, similarity, candidates, keep_bytes, on_progress
    )


def _pool_and_low(
    pool: Any, private: Any, budget: int, nu: float, similarity: str, candidates: int
) -> tuple[Factors, jax.Array]:
    """The checked pool, and nu times its largest similarities to the private set."""
    checks.one_of("similarity", similarity, SIMILARITIES)
    checks.in_range("nu", nu, 0, np.inf, high_open=True)
    checks.at_least("candidates", candidates, 1)
    points = _factors("pool", pool)
    size = points[0][0].shape[0]
    check_budget(budget, size)
    if private is None:
        return points, jnp.zeros(size, jnp.float32)
    hidden = _factors("private", private)
    _check_like("private", hidden, points)
    return points, nu * _largest(points, hidden, similarity=similarity)


def facility_location_qmi(
    pool: Any,
    query: Any,
    budget: int,
    *,
    eta: float = 1.0,
    similarity: str = "shifted",
    candidates: int = CANDIDATES,
    keep_bytes: int = KEEP_BYTES,
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
      on_progress: called with the picks made and the budget.

    Returns:
      `Selection`.

    Raises:
      ValueError: see `facility_location_cmi`.
    """
    checks.in_range("eta", eta, 0, np.inf, high_open=True)
    points, _ = _pool_and_low(pool, None, budget, 0.0, similarity, candidates)
    asked = _factors("query", query)
    _check_like("query", asked, points)
    every = tuple(
        (jnp.concatenate([x, y]), jnp.concatenate([inverse_x, inverse_y]))
        for (x, inverse_x), (y, inverse_y) in zip(points, asked)
    )
    both = Pool(every, jnp.asarray(first_equal_rows(*(array for array, _ in every))))
    size, total = points[0][0].shape[0], both.first.shape[0]
    number = total - size
    coverage = Coverage(
        both.take(jnp.arange(size)),
        both.take(jnp.arange(size, total)),
        jnp.zeros(number, jnp.float32),
        jnp.full(number, jnp.inf, jnp.float32),
        eta * _largest(points, asked, similarity=similarity),
    )
    return greedy_coverage(
        coverage, budget, similarity, candidates, keep_bytes, on_progress
    )
