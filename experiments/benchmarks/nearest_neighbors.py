"""Blocked exact nearest neighbours against scikit-learn's brute force.

    python -m experiments.benchmarks.nearest_neighbors
    python -m experiments.benchmarks.nearest_neighbors --examples=100000 \
        --dimensions=512 --rounds=1 --memory

`--memory` runs robustjax alone and prints the peak of the process's memory.
"""

from __future__ import annotations

import resource

import jax
import numpy as np
from absl import app, flags
from sklearn.neighbors import NearestNeighbors

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import graph

_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "N.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 64, "d.")
_NEIGHBORS = flags.DEFINE_integer("neighbors", 10, "k.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds.")
_MEMORY = flags.DEFINE_bool("memory", False, "Measure memory instead of comparing.")


def main(argv: list[str]) -> None:
    """Times both, and compares their answers."""
    del argv
    rng = np.random.default_rng(0)
    points = rng.normal(size=(_EXAMPLES.value, _DIMENSIONS.value)).astype(np.float32)
    k = _NEIGHBORS.value

    def ours() -> graph.Neighbors:
        return jax.block_until_ready(graph.nearest_neighbors(points, k))

    if _MEMORY.value:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = interleaved({"robustjax": lambda: (ours(), None)[1]}, _ROUNDS.value, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        square = points.shape[0] ** 2 * 4 / 2**30
        print(
            f"N = {_EXAMPLES.value:,}, d = {_DIMENSIONS.value}: "
            f"{times['robustjax'][0]:.1f} s; peak memory of the process "
            f"{peak / 2**20:.2f} GiB, {before / 2**20:.2f} GiB of it before; an N x N "
            f"array would take {square:.1f} GiB"
        )
        return

    def theirs() -> np.ndarray:
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points)
        return search.kneighbors(return_distance=False)

    agree = np.mean(np.sort(ours().indices) == np.sort(theirs()))
    print(f"N = {_EXAMPLES.value:,}, d = {_DIMENSIONS.value}: {agree:.4%} agree")
    times = interleaved(
        {
            "scikit-learn, brute": lambda: (theirs(), None)[1],
            "robustjax": lambda: (ours(), None)[1],
        },
        _ROUNDS.value,
        warmup=0,
    )
    report("nearest_neighbors", times, "scikit-learn, brute", OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
