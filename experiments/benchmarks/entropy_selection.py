"""One label's selection by entropy propagation, against a SciPy CSR loop.

    python -m experiments.benchmarks.entropy_selection

Kim (ECCV 2022) reports 3 ms per label at N = 50,000: an arg-max over the candidates
and ten clamped diffusion steps.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from absl import app, flags
from jax.experimental import sparse as jsparse

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import graph, selection

_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "N.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 64, "d.")
_CLUSTERS = flags.DEFINE_integer("clusters", 10, "Gaussian clusters; 1 has none.")
_QUERIES = flags.DEFINE_integer("queries", 100, "Labels per timed call.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Timed rounds.")

_STEP, _STEPS = 0.1, 10


def _scipy_loop(
    walk: sp.csr_matrix, entropies: np.ndarray, candidates: np.ndarray, queries: int
) -> np.ndarray:
    e, free = entropies.copy(), candidates.copy()
    picks = np.empty(queries, np.int64)
    step = walk.dtype.type(_STEP)
    for i in range(queries):
        place = int(np.argmax(e[free]))
        picks[i] = free[place]
        free = np.delete(free, place)
        for _ in range(_STEPS):
            e[picks[i]] = 0
            e = (1 - step) * e + step * (walk @ e)
    return picks


def _bcoo(
    laplacian: jsparse.BCOO, entropies: jax.Array, candidates: jax.Array, queries: int
) -> Callable[[], jax.Array]:
    """The plain formulation with `jax.experimental.sparse`."""

    @jax.jit
    def select(laplacian, e, candidates):  # type: ignore[no-untyped-def]
        def pick(i, carry):  # type: ignore[no-untyped-def]
            e, free, picks = carry
            place = jnp.argmax(jnp.where(free, e[candidates], -jnp.inf))
            node = candidates[place]

            def step(_, e):  # type: ignore[no-untyped-def]
                e = e.at[node].set(0.0)
                return e - _STEP * (laplacian @ e)

            e = jax.lax.fori_loop(0, _STEPS, step, e)
            return e, free.at[place].set(False), picks.at[i].set(node)

        start = (e, jnp.ones(candidates.shape, bool), jnp.zeros(queries, jnp.int32))
        return jax.lax.fori_loop(0, queries, pick, start)[2]

    return lambda: jax.block_until_ready(select(laplacian, entropies, candidates))


def main(argv: list[str]) -> None:
    """Builds the graph once and times the loops."""
    del argv
    size, queries = _EXAMPLES.value, _QUERIES.value
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(_CLUSTERS.value, _DIMENSIONS.value)) * 2
    points = rng.normal(size=(size, _DIMENSIONS.value))
    points = (points + centers[rng.integers(_CLUSTERS.value, size=size)]).astype("f4")
    built = graph.neighbor_graph(points, 10)
    indices = np.asarray(built.transition.indices)
    values = np.asarray(built.transition.data, np.float64)
    walk = sp.csr_matrix((values, (indices[:, 0], indices[:, 1])), (size, size))
    print(f"N = {size:,}, {walk.nnz:,} non-zeros, {queries} labels per call")

    entropies = rng.gamma(2.0, size=size).astype(np.float32)
    candidates = rng.permutation(size)[: size // 10].astype(np.int32)
    e, c = jnp.asarray(entropies), jnp.asarray(candidates)
    usable = jnp.ones(c.shape, bool)
    select = jax.jit(
        lambda e, c, diffusion: selection.propagate_entropy(
            e, c, usable, diffusion, num_queries=queries
        )[0]
    )

    def ours(solver: str) -> Callable[[], jax.Array]:
        diffusion = graph.clamped_diffusion(
            built.laplacian, step_size=_STEP, steps=_STEPS, solver=solver
        )
        return lambda: jax.block_until_ready(select(e, c, diffusion))

    walk32 = walk.astype(np.float32)
    cases: dict[str, Callable[[], object]] = {
        "SciPy CSR, float64": lambda: _scipy_loop(
            walk, entropies.astype(np.float64), candidates, queries
        ),
        "SciPy CSR, float32": lambda: _scipy_loop(
            walk32, entropies, candidates, queries
        ),
        "BCOO @ v": _bcoo(built.laplacian, e, c, queries),
        "robustjax, euler": ours("euler"),
        "robustjax, chebyshev": ours("chebyshev"),
    }
    same = np.mean(
        np.asarray(cases["robustjax, euler"]()) == cases["SciPy CSR, float64"]()
    )
    print(f"{same:.0%} of the picks are those of the float64 loop, place by place")
    times = interleaved(cases, _ROUNDS.value)  # type: ignore[arg-type]
    report(
        "entropy_selection", times, "SciPy CSR, float64", OUT_DIR.value, units=queries
    )


if __name__ == "__main__":
    app.run(main)
