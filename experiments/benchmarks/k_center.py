"""k-center (farthest-first) against plain PyTorch.

    python -m experiments.benchmarks.k_center
    python -m experiments.benchmarks.k_center --published --ratio=0.02
    python -m experiments.benchmarks.k_center --deepcore=200
    python -m experiments.benchmarks.k_center --examples=1000000 --ratio=0.01 --memory

`--published` adds the loop of published code, which keeps the distances to all picks
and takes their minimum again at every pick; at a ratio of 0.2 that takes minutes.
`--deepcore=200` adds that of DeepCore (Guo, Zhao, Bai, 2022), which copies all rows
that are left at every pick, squares them again and keeps their distances; only its
first 200 picks are timed, of which nearly N rows are left. Later ones copy fewer.
`--memory` runs robustjax alone and prints the peak of the process's memory. Sums of
512 float32 products differ in their last digits with the shape of the product, and that
decides between farthest examples that are equally far: how many picks are the same is
printed.
"""

from __future__ import annotations

import resource

import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import selection
from robustjax.training import progress_bar

_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "N.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 512, "d.")
_RATIO = flags.DEFINE_float("ratio", 0.2, "The share of the examples to pick.")
_CLUSTERS = flags.DEFINE_integer("clusters", 10, "Gaussian clusters; 1 has none.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds.")
_PUBLISHED = flags.DEFINE_bool("published", False, "Time the published loop, too.")
_DEEPCORE = flags.DEFINE_integer(
    "deepcore", 0, "Time so many picks of DeepCore's loop, too.", lower_bound=0
)
_SINGLE = flags.DEFINE_bool("single", True, "Time robustjax pick by pick, too.")
_MEMORY = flags.DEFINE_bool("memory", False, "Measure memory instead of comparing.")


def _pytorch(features: np.ndarray, budget: int, *, keep: bool) -> np.ndarray:
    """One pick after the other, from example 0; ties to the lowest index.

    Args:
      features: (N, d) float32.
      budget: the number of picks.
      keep: whether all distances are kept, as published, or only the smallest.
    """
    import torch

    x = torch.from_numpy(features)
    square = (x**2).sum(dim=1)
    picked = torch.zeros(len(x), dtype=torch.bool)
    nearest = torch.full((len(x),), torch.inf)
    kept = torch.zeros(budget, len(x)) if keep else None
    picks = np.zeros(budget, np.int64)
    with torch.no_grad():
        for i in range(budget):
            if i:
                far = nearest.masked_fill(picked, -1)
                picks[i] = int(torch.argmax(far))
            pick = picks[i]
            picked[pick] = True
            distance = square + square[pick] - 2 * (x @ x[pick])
            distance = distance.clamp(min=1e-12).sqrt()
            if kept is None:
                nearest = torch.minimum(nearest, distance)
            else:
                kept[i] = distance
                nearest = kept[: i + 1].min(dim=0).values
    return picks


def _deepcore(features: np.ndarray, budget: int) -> np.ndarray:
    """DeepCore's way, from example 0, with room for the distances of so many picks."""
    import torch

    x = torch.from_numpy(features)
    left = torch.ones(len(x), dtype=torch.bool)
    kept = torch.full((budget, len(x)), -1.0)
    nearest = torch.full((len(x),), torch.inf)
    picks = np.zeros(budget, np.int64)
    with torch.no_grad():
        for i in range(budget):
            if i:
                picks[i] = int(torch.argmax(nearest))
            left[picks[i]] = False
            row, rest = x[[picks[i]]], x[left]
            square = (row**2).sum(dim=1, keepdim=True) + (rest**2).sum(dim=1)[None]
            distance = torch.addmm(square, row, rest.T, alpha=-2)
            kept[i, left] = distance.clamp(min=1e-12).sqrt()[0]
            # Of what is picked the kept distance is -1, so it is not picked again.
            nearest = torch.minimum(nearest, kept[i])
    return picks


def main(argv: list[str]) -> None:
    """Compares picks, then times."""
    del argv
    rng = np.random.default_rng(0)
    size, width = _EXAMPLES.value, _DIMENSIONS.value
    budget = selection.budget_from_fraction(_RATIO.value, size)
    features = rng.standard_normal((size, width), np.float32)
    centres = rng.standard_normal((_CLUSTERS.value, width), np.float32)
    features += 2 * centres[rng.integers(_CLUSTERS.value, size=size)]
    features -= features.mean(axis=0)

    def ours(candidates: int = 256) -> selection.Selection:
        return selection.k_center(features, budget, candidates=candidates)

    if _MEMORY.value:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with progress_bar(budget, "k-center", unit="pick") as bar:
            times = interleaved(
                {
                    "robustjax": lambda: (
                        selection.k_center(
                            features,
                            budget,
                            on_progress=lambda made, _: bar.update(made - bar.n),
                        ),
                        None,
                    )[1]
                },
                1,
                0,
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"N = {size:,}, d = {width}, {budget:,} picks: "
            f"{times['robustjax'][0]:.1f} s; peak memory of the process "
            f"{peak / 2**20:.2f} GiB, {before / 2**20:.2f} GiB of it before"
        )
        return

    found = ours()
    theirs = _pytorch(features, budget, keep=False)
    same = np.mean(found.indices == theirs)
    shared = len(np.intersect1d(found.indices, theirs)) / budget
    print(
        f"N = {size:,}, d = {width}, {budget:,} picks; of PyTorch's {same:.2%} are the "
        f"same place by place, {shared:.2%} are picked by both; radius "
        f"{found.objective:.6g}"
    )
    single = ours(candidates=2)
    same = np.mean(found.indices == single.indices)
    shared = len(np.intersect1d(found.indices, single.indices)) / budget
    print(
        f"of a loop over single picks {same:.2%} are the same place by place, "
        f"{shared:.2%} are picked by both"
    )
    baseline = "PyTorch, a product per pick"
    cases = {
        baseline: lambda: (_pytorch(features, budget, keep=False), None)[1],
        "robustjax": lambda: (ours(), None)[1],
    }
    if _SINGLE.value:
        cases["robustjax, a product per pick"] = lambda: (ours(2), None)[1]
    if _PUBLISHED.value:
        cases["PyTorch, published loop"] = lambda: (
            _pytorch(features, budget, keep=True),
            None,
        )[1]
    few, theirs_few = min(_DEEPCORE.value, budget), "DeepCore's loop"
    if few:
        same = np.mean(found.indices[:few] == _deepcore(features, few))
        print(f"of the first {few:,} of DeepCore's loop {same:.2%} are the same")
        cases[theirs_few] = lambda: (_deepcore(features, few), None)[1]
    times = interleaved(cases, _ROUNDS.value, warmup=0)
    if few:
        # Of every case a time per pick is reported.
        times[theirs_few] = [each * budget / few for each in times[theirs_few]]
    report(
        "k_center",
        times,
        baseline,
        OUT_DIR.value,
        units=budget,
    )


if __name__ == "__main__":
    app.run(main)
