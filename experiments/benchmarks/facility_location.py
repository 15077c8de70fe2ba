"""Facility location against apricot and submodlib, which hold all N x N similarities.

    python -m experiments.benchmarks.facility_location
    python -m experiments.benchmarks.facility_location --query=500
    python -m experiments.benchmarks.facility_location --query=500 --function=qmi
    python -m experiments.benchmarks.facility_location --examples=50000 --alone
    python -m experiments.benchmarks.facility_location --examples=50000 --query=500 \
        --memory

With `--query`, the function is FLCMI with a labelled set of that size, and one of half
the size to keep away from, or FLQMI; apricot has no such functions. Everybody starts
from features and is timed with the similarities. Needs `pip install apricot-select
submodlib-py`. At N = 50,000 their similarities alone would take 10 GB in float32:
`--alone` times robustjax, and `--memory` prints the peak of the process's memory, too.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import selection
from robustjax.training import progress_bar

_EXAMPLES = flags.DEFINE_integer("examples", 10_000, "N.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 512, "d.")
_PICKS = flags.DEFINE_integer("picks", 500, "How many to select.")
_CLUSTERS = flags.DEFINE_integer("clusters", 100, "Gaussian clusters.")
_QUERY = flags.DEFINE_integer("query", 0, "Labelled IN examples; 0: no FLCMI.")
_FUNCTION = flags.DEFINE_enum("function", "cmi", ["cmi", "qmi"], "With --query.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds.")
_ALONE = flags.DEFINE_bool("alone", False, "Time robustjax only.")
_MEMORY = flags.DEFINE_bool("memory", False, "Once, with a bar and the peak memory.")


def _features(rng: np.random.Generator, size: int, centres: np.ndarray) -> np.ndarray:
    """Rows around some of the centres, (size, d) float32."""
    points = rng.standard_normal((size, centres.shape[1]), np.float32)
    points += 1.5 * centres[rng.integers(len(centres), size=size)]
    return points


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """All (1 + cos) / 2, float32."""
    unit_a, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    product = unit_a @ unit_b.T
    product += 1
    product /= 2
    return product


def _apricot(pool: np.ndarray, picks: int) -> np.ndarray:
    from apricot import FacilityLocationSelection

    model = FacilityLocationSelection(picks, metric="precomputed", optimizer="lazy")
    return np.asarray(model.fit(_kernel(pool, pool)).ranking)


def _submodlib(
    pool: np.ndarray, query: np.ndarray | None, private: np.ndarray, picks: int
) -> np.ndarray:
    import submodlib

    size = len(pool)
    # FLQMI alone has no use for the similarities within the pool.
    similar = None if _FUNCTION.value == "qmi" else _kernel(pool, pool)
    if query is None:
        function = submodlib.FacilityLocationFunction(
            n=size, mode="dense", separate_rep=False, sijs=similar, pybind_mode="array"
        )
    elif _FUNCTION.value == "qmi":
        function = submodlib.FacilityLocationVariantMutualInformationFunction(
            n=size, num_queries=len(query), query_sijs=_kernel(pool, query)
        )
    else:
        function = submodlib.FacilityLocationConditionalMutualInformationFunction(
            n=size,
            num_queries=len(query),
            num_privates=len(private),
            data_sijs=similar,
            query_sijs=_kernel(pool, query),
            private_sijs=_kernel(pool, private),
        )
    found = function.maximize(
        budget=picks,
        optimizer="LazyGreedy",
        stopIfZeroGain=False,
        stopIfNegativeGain=False,
        show_progress=False,
    )
    return np.array([index for index, _ in found])


def main(argv: list[str]) -> None:
    """Compares picks, then times."""
    del argv
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((_CLUSTERS.value, _DIMENSIONS.value), np.float32)
    pool = _features(rng, _EXAMPLES.value, centres)
    picks, asked = _PICKS.value, _QUERY.value
    if _FUNCTION.value == "qmi" and not asked:
        raise app.UsageError("--function=qmi needs a set to ask for: --query=500")
    query = _features(rng, asked, centres[: len(centres) // 2]) if asked else None
    private = _features(rng, max(asked // 2, 1), centres[len(centres) // 2 :])

    def ours(on_progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        if query is None:
            found = selection.facility_location_cg(
                pool, None, picks, on_progress=on_progress
            )
        elif _FUNCTION.value == "qmi":
            found = selection.facility_location_qmi(
                pool, query, picks, on_progress=on_progress
            )
        else:
            found = selection.facility_location_cmi(
                pool, query, private, picks, on_progress=on_progress
            )
        return found.indices

    def once_with_bar() -> None:
        with progress_bar(picks, "facility location", unit="pick") as bar:
            ours(lambda made, _: bar.update(made - bar.n))

    name = f"facility_location_{_FUNCTION.value}" if asked else "facility_location"
    what = f"N = {len(pool):,}, d = {pool.shape[1]}, {picks:,} picks"
    if _MEMORY.value:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = interleaved({name: once_with_bar}, 1, 0)[name][0]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{what}: {seconds:.1f} s; peak memory of the process "
            f"{peak / 2**20:.2f} GiB, {before / 2**20:.2f} GiB of it before"
        )
        return

    peers: dict[str, Callable[[], np.ndarray]] = {}
    if not _ALONE.value:
        if query is None:
            peers["apricot, lazy"] = lambda: _apricot(pool, picks)
        peers["submodlib, lazy"] = lambda: _submodlib(pool, query, private, picks)
    mine = ours()
    print(what)
    for peer, select in peers.items():
        theirs = select()
        same = np.mean(mine == theirs)
        shared = len(np.intersect1d(mine, theirs)) / picks
        print(f"{peer}: {same:.2%} the same place by place, {shared:.2%} in both")

    def timed(select: Callable[[], np.ndarray]) -> Callable[[], None]:
        return lambda: (select(), None)[1]

    cases = {case: timed(run) for case, run in {**peers, "robustjax": ours}.items()}
    times = interleaved(cases, _ROUNDS.value, warmup=0)
    baseline = None if _ALONE.value else next(iter(peers))
    if _ALONE.value:
        name += f"_{len(pool)}"
    report(name, times, baseline, OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
