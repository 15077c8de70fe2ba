"""Prune4ReL's greedy selection against the published loop, rendered in PyTorch.

    python -m experiments.benchmarks.prune4rel
    python -m experiments.benchmarks.prune4rel --balanced --rounds=1
    python -m experiments.benchmarks.prune4rel --examples=1000000 --memory

How many picks are those of a loop over single picks (one product of the features with a
vector per pick) is printed, and how many PyTorch agrees with. Sums of 512 float32
products differ in their last digits with the shape of the product, which decides
between near-ties; and PyTorch ranks by differences of rounded tanh.
`--memory` runs robustjax alone, with the estimate made up front, a progress bar and the
peak of the process's memory.
"""

from __future__ import annotations

import resource

import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import selection
from robustjax.selection import even_turns
from robustjax.training import progress_bar

_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "N.")
_DIMENSIONS = flags.DEFINE_integer("dimensions", 512, "d.")
_RATIO = flags.DEFINE_float("ratio", 0.2, "The share of the examples to pick.")
_CLASSES = flags.DEFINE_integer("classes", 10, "C.")
_NEIGHBORS = flags.DEFINE_integer("neighbors", 25, "Mean neighbours of an example.")
_BALANCED = flags.DEFINE_bool("balanced", False, "Pick from the classes in turn.")
_OBJECTIVE = flags.DEFINE_enum(
    "objective", "own", ["own", "coverage"], "Of robustjax; PyTorch has the first."
)
_TEMPERATURE = flags.DEFINE_float("temperature", 1.0, "eta.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds.")
_SINGLE = flags.DEFINE_bool("single", True, "Time robustjax pick by pick, too.")
_MEMORY = flags.DEFINE_bool("memory", False, "Measure memory instead of comparing.")

_THRESHOLD = 0.975


def _problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features in small clusters of cosines around 0.97, confidences, labels."""
    rng = np.random.default_rng(0)
    size, width = _EXAMPLES.value, _DIMENSIONS.value
    centres = rng.standard_normal((max(1, size // _NEIGHBORS.value), width), np.float32)
    points = rng.standard_normal((size, width), np.float32)
    points *= rng.uniform(0.1, 0.25, size=(size, 1)).astype(np.float32)
    cluster = rng.integers(len(centres), size=size)
    points += centres[cluster]
    confidence = rng.beta(4, 1, size=size).astype(np.float32)
    return points, confidence, (cluster % _CLASSES.value).astype(np.int32)


def _pytorch(
    features: np.ndarray, confidence: np.ndarray, budget: int, labels: np.ndarray | None
) -> np.ndarray:
    """One pick after the other: all gains, an arg-max, all similarities to the pick."""
    import torch

    x, c = torch.from_numpy(features), torch.from_numpy(confidence)
    eta = _TEMPERATURE.value
    nearby, picked = torch.zeros(len(c)), torch.zeros(len(c), dtype=torch.bool)
    members: list[torch.Tensor] = []
    if labels is not None:
        turns = even_turns(np.bincount(labels), budget)
        members = [torch.from_numpy(np.flatnonzero(labels == k)) for k in set(turns)]
    picks = np.empty(budget, np.int64)
    with torch.no_grad():
        for i in range(budget):
            gains = torch.tanh((nearby + c) / eta) - torch.tanh(nearby / eta)
            gains[picked] = -1
            if labels is None:
                pick = int(torch.argmax(gains))
            else:
                among = members[turns[i]]
                pick = int(among[torch.argmax(gains[among])])
            picks[i], picked[pick] = pick, True
            row = x[[pick]]
            norms = x.norm(dim=1, keepdim=True) * row.norm(dim=1)
            similarity = 0.5 + 0.5 * (x @ row.T) / norms
            similarity = similarity * (similarity > _THRESHOLD)
            nearby += similarity[:, 0] * c[pick]
    return picks


def main(argv: list[str]) -> None:
    """Compares picks, then times."""
    del argv
    features, confidence, labels = _problem()
    size = len(confidence)
    budget = selection.budget_from_fraction(_RATIO.value, size)
    classes = labels if _BALANCED.value else None

    def ours(candidates: int = 256, bar: bool = False) -> selection.Selection:
        line = progress_bar(budget, "selection", unit="pick") if bar else None

        def on_progress(made: int, total: int) -> None:
            assert line is not None
            line.update(made - line.n)

        return selection.prune4rel(
            features,
            confidence,
            budget,
            threshold=_THRESHOLD,
            temperature=_TEMPERATURE.value,
            objective=_OBJECTIVE.value,
            labels=classes,
            candidates=candidates,
            on_progress=on_progress if bar else None,
        )

    if _MEMORY.value:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        estimate = selection.prune4rel_estimate(
            features,
            confidence,
            budget,
            threshold=_THRESHOLD,
            temperature=_TEMPERATURE.value,
        )
        print(
            f"estimate: {estimate.seconds:.0f} s, {estimate.bytes / 2**30:.2f} GiB "
            "beside the given features"
        )
        times = interleaved({"robustjax": lambda: (ours(bar=True), None)[1]}, 1, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"N = {size:,}, d = {_DIMENSIONS.value}, {budget:,} picks: "
            f"{times['robustjax'][0]:.1f} s; peak memory of the process "
            f"{peak / 2**20:.2f} GiB, {before / 2**20:.2f} GiB of it before"
        )
        return

    found = ours()
    theirs = _pytorch(features, confidence, budget, classes)
    same = np.mean(found.indices == theirs)
    shared = len(np.intersect1d(found.indices, theirs)) / budget
    print(
        f"N = {size:,}, d = {_DIMENSIONS.value}, {budget:,} picks; of PyTorch's "
        f"{same:.2%} are the same place by place, {shared:.2%} are picked by both; "
        f"objective {found.objective:.6g}"
    )
    cases = {
        "PyTorch, published loop": lambda: (
            _pytorch(features, confidence, budget, classes),
            None,
        )[1],
        "robustjax": lambda: (ours(), None)[1],
    }
    if _OBJECTIVE.value == "own":
        single = ours(candidates=2)
        same = np.mean(found.indices == single.indices)
        shared = len(np.intersect1d(found.indices, single.indices)) / budget
        print(
            f"of a loop over single picks {same:.2%} are the same place by place, "
            f"{shared:.2%} are picked by both"
        )
        if _SINGLE.value:
            cases["robustjax, a product per pick"] = lambda: (ours(2), None)[1]
    # Everything has run once by now.
    times = interleaved(cases, _ROUNDS.value, warmup=0)
    name = "prune4rel_balanced" if _BALANCED.value else "prune4rel"
    if _OBJECTIVE.value == "coverage":
        name += "_coverage"
    report(name, times, "PyTorch, published loop", OUT_DIR.value, units=budget)


if __name__ == "__main__":
    app.run(main)
