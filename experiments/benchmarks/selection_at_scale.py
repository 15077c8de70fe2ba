"""k-center, Prune4ReL and entropy diffusion at N = 50,000, robustjax alone.

    python -m experiments.benchmarks.selection_at_scale
    python -m experiments.benchmarks.selection_at_scale --cases=k_center --ratio=0.1

One timed call each after one that compiles, on whatever device JAX takes; a file per
case as soon as it is there. Against other libraries: `k_center`, `prune4rel`,
`entropy_selection`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import graph, selection

CASES = ("k_center", "prune4rel", "diffusion")
_CASES = flags.DEFINE_multi_enum("cases", CASES, CASES, "What is timed.")
_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "N.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 512, "d; diffusion has an eighth.")
_RATIO = flags.DEFINE_float("ratio", 0.2, "The share of the examples to pick.")
_QUERIES = flags.DEFINE_integer("queries", 1000, "Labels of diffusion.")
_ROUNDS = flags.DEFINE_integer("rounds", 1, "Timed rounds.")


def _clusters(rng: np.random.Generator, width: int, per_cluster: int) -> np.ndarray:
    size = _EXAMPLES.value
    centres = rng.standard_normal((max(1, size // per_cluster), width), np.float32)
    points = rng.standard_normal((size, width), np.float32)
    points *= rng.uniform(0.1, 0.25, (size, 1)).astype(np.float32)
    return points + centres[rng.integers(len(centres), size=size)]


def _k_center(rng: np.random.Generator, budget: int) -> Callable[[], object]:
    points = jnp.asarray(_clusters(rng, _DIMENSIONS.value, _EXAMPLES.value // 10))
    return lambda: selection.k_center(points, budget)


def _prune4rel(rng: np.random.Generator, budget: int) -> Callable[[], object]:
    points = jnp.asarray(_clusters(rng, _DIMENSIONS.value, 25))
    confidence = rng.beta(4, 1, len(points)).astype(np.float32)
    return lambda: selection.prune4rel(points, confidence, budget, threshold=0.975)


def _diffusion(rng: np.random.Generator, budget: int) -> Callable[[], object]:
    del budget
    points = _clusters(rng, max(1, _DIMENSIONS.value // 8), _EXAMPLES.value // 10)
    queries = min(_QUERIES.value, len(points) // 10)
    walk = graph.neighbor_graph(points, 10)
    diffusion = graph.clamped_diffusion(walk.laplacian, step_size=0.1, steps=10)
    entropies = jnp.asarray(rng.gamma(2.0, size=len(points)), jnp.float32)
    candidates = jnp.asarray(rng.permutation(len(points))[: len(points) // 10])
    select = jax.jit(
        lambda e, c, d: selection.propagate_entropy(
            e, c, jnp.ones(c.shape, bool), d, num_queries=queries
        )
    )
    return lambda: select(entropies, candidates.astype(jnp.int32), diffusion)


_MAKERS = {"k_center": _k_center, "prune4rel": _prune4rel, "diffusion": _diffusion}


def main(argv: list[str]) -> None:
    """Times case after case."""
    del argv
    budget = selection.budget_from_fraction(_RATIO.value, _EXAMPLES.value)
    for case in _CASES.value:
        run = _MAKERS[case](np.random.default_rng(0), budget)
        name = f"{case}_{jax.default_backend()}"
        timed = {"robustjax": lambda run=run: (jax.block_until_ready(run()), None)[1]}
        report(name, interleaved(timed, _ROUNDS.value), None, OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
