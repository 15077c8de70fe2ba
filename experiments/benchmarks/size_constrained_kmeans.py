"""k-means with clusters of limited size against the library k-means-constrained.

    python -m experiments.benchmarks.size_constrained_kmeans --embeddings=e.npy
    python -m experiments.benchmarks.size_constrained_kmeans --embeddings=e.npy --full \
        --examples=52002 --clusters=10000 --max_size=10

The first compares (`pip install k-means-constrained`, no dependency of ours): inertia
and time of one start of the library, of ours, and of ours without its refinement, with
8 neighbors and stopped after two iterations. Times are of the clock and of the
process's CPU. The second runs ours alone and prints the memory at its peak. Without
embeddings, points are drawn around as many centres as there are clusters.
"""

from __future__ import annotations

import json
import pathlib
import resource
import time
from collections.abc import Callable
from importlib import metadata
from typing import NamedTuple

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR
from experiments.study.run_folder import versions
from robustjax import selection
from robustjax.files import write_atomically

_EMBEDDINGS = flags.DEFINE_string("embeddings", None, "An .npy file (M, d).")
_EXAMPLES = flags.DEFINE_integer("examples", 5000, "N; rows are drawn.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 256, "d, without embeddings.")
_CLUSTERS = flags.DEFINE_integer("clusters", 500, "k.")
_MAX_SIZE = flags.DEFINE_integer("max_size", 20, "r.")
_QUICK = flags.DEFINE_integer("quick_iterations", 2, "Of ours without refinement.")
_STARTS = flags.DEFINE_integer("starts", 1, "Of the library, whose default is 10.")
_FULL = flags.DEFINE_bool("full", False, "Ours alone, with its peak of memory.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the rows and the starts.")


class _Timed(NamedTuple):
    inertia: float
    largest: int
    seconds: float
    cpu_seconds: float


def _timed(run: Callable[[], np.ndarray], points: np.ndarray) -> _Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    labels = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sizes = np.bincount(labels)
    wide = points.astype(np.float64)
    sums = np.zeros((len(sizes), points.shape[1]))
    np.add.at(sums, labels, wide)
    means = sums / np.maximum(sizes, 1)[:, None]
    inertia = float(((wide - means[labels]) ** 2).sum())
    return _Timed(inertia, int(sizes.max()), wall, cpu)


def _points(rng: np.random.Generator) -> np.ndarray:
    size = _EXAMPLES.value
    if _EMBEDDINGS.value is None:
        shape = _CLUSTERS.value, _DIMENSIONS.value
        centres = rng.standard_normal(shape, np.float32)
        noise = rng.standard_normal((size, _DIMENSIONS.value), np.float32)
        return centres[rng.integers(_CLUSTERS.value, size=size)] + noise
    found = np.load(_EMBEDDINGS.value).astype(np.float32)
    if size <= len(found):
        return found[rng.permutation(len(found))[:size]]
    # More than there are: rows again, with a little noise of the rows' own size.
    rows = found[rng.integers(len(found), size=size)]
    noise = rng.standard_normal(rows.shape, np.float32)
    return rows + noise * np.float32(0.5 * found.std())


def main(argv: list[str]) -> None:
    """Runs and prints."""
    del argv
    points = _points(np.random.default_rng(_SEED.value))
    clusters, most = _CLUSTERS.value, _MAX_SIZE.value
    key = jax.random.key(_SEED.value)

    def ours() -> np.ndarray:
        return selection.size_constrained_kmeans(
            points, clusters, most, key=key
        ).assignments

    def quick() -> np.ndarray:
        return selection.size_constrained_kmeans(
            points,
            clusters,
            most,
            key=key,
            neighbors=8,
            iterations=_QUICK.value,
            refine=False,
        ).assignments

    def library() -> np.ndarray:
        from k_means_constrained import KMeansConstrained

        return (
            KMeansConstrained(
                clusters, size_max=most, n_init=_STARTS.value, random_state=_SEED.value
            )
            .fit(points.astype(np.float64))
            .labels_
        )

    runs = {"robustjax": ours}
    if not _FULL.value:
        quick()  # Compiled.
        runs |= {"robustjax, quick": quick, "k-means-constrained": library}
    print(f"N = {len(points)}, k = {clusters}, r = {most}, d = {points.shape[1]}")
    found = {}
    for name, run in runs.items():
        result = found[name] = _timed(run, points)
        print(
            f"{name}: inertia {result.inertia:.2f}, largest cluster {result.largest}, "
            f"{result.seconds:.2f} s, of CPU {result.cpu_seconds:.2f} s",
            flush=True,
        )
    peer = found.get("k-means-constrained")
    for name, result in found.items():
        if peer is not None and result is not peer:
            print(
                f"{name}: {result.inertia / peer.inertia:.4f} of its inertia, "
                f"{peer.seconds / result.seconds:.1f} times as fast by the clock, "
                f"{peer.cpu_seconds / result.cpu_seconds:.1f} times by CPU"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak of memory: {peak:.2f} GiB")
    known = dict(versions())
    if peer is not None:
        known["k-means-constrained"] = metadata.version("k-means-constrained")
    record = {
        "benchmark": "size_constrained_kmeans",
        "shape": [*points.shape, clusters, most],
        "results": {name: result._asdict() for name, result in found.items()},
        "peak_gib": peak,
        "versions": known,
    }
    folder = pathlib.Path(OUT_DIR.value)
    folder.mkdir(parents=True, exist_ok=True)
    kind = "_full" if _FULL.value else ""
    path = folder / f"size_constrained_kmeans{kind}.json"
    write_atomically(path, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
