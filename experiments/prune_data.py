r"""Choose which part of your own data set to keep, best first.

    python -m experiments.prune_data --features=features.npy \
        --probabilities=predicted.npy --fraction=0.2 --out=kept.csv
    python -m experiments.prune_data --features=all.npz --probabilities=all.npz \
        --labels=all.npz --ids=all.npz --method=prune4rel --balanced \
        --fraction=0.2 --out=kept.csv

Features (N, d) and probabilities (N, C) are those of a classifier that was trained on
the noisy labels for a few epochs; some methods need one of them only, or the given
labels (N,), or what training has recorded (`transforms.learning_record`). Every file is
an .npy file, or an .npz file that holds an array by the name of the flag. The table has
a row per example to keep, in order of selection: its place, its index, its id and label
if given, and what it was worth when it was picked.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from experiments.common.array_files import read_array
from experiments.study.flag_groups import SeedFlags
from experiments.study.flags import define_flags, errors_name_flags, option, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax import checks, scores, selection
from robustjax.data import check_text
from robustjax.output_paths import check_output_file
from robustjax.selection import Progress, budget_from_fraction
from robustjax.training import StopRequest, progress_bar, write_csv

_INPUTS = (
    "features",
    "probabilities",
    "labels",
    "losses",
    "el2n",
    "grand",
    "forgetting",
    "learned",
    "hardness",
)
_OPTIONS = (
    "confidence",
    "threshold",
    "temperature",
    "objective",
    "clusters",
    "keep",
    "strata",
    "hard_cutoff",
    "never_learned",
)


@dataclasses.dataclass(frozen=True)
class PruneConfig(SeedFlags):
    """The flags. Those of one method alone are None unless given."""

    features: str | None = option(None, "File of features (N, d).")
    probabilities: str | None = option(None, "File of predictions (N, C).")
    labels: str | None = option(None, "File of given labels (N,), integers from 0.")
    ids: str | None = option(None, "File of ids (N,), for the table.")
    losses: str | None = option(None, "File of recorded losses (N,), for small_loss.")
    el2n: str | None = option(None, "File of recorded error norms (N,).")
    grand: str | None = option(None, "File of gradient norms (N,).")
    forgetting: str | None = option(None, "File of forgetting events (N,).")
    learned: str | None = option(None, "File of bool (N,): ever correct? Forgetting.")
    hardness: str | None = option(None, "File of scores (N,) for ccs, high is hard.")
    method: str = option("prune4rel", f"One of {', '.join(selection.PRUNING_METHODS)}.")
    fraction: float | None = option(None, "Of the examples to keep, in (0, 1].")
    balanced: bool | None = option(
        None, "Keep equally many of every given class; --nobalanced looks at none."
    )
    out: str | None = option(None, "The CSV file to write.")
    confidence: str | None = option(None, "Prune4ReL: max_prob or diff_prob.")
    threshold: float | None = option(
        None, "Prune4ReL: neighbours have (1 + cos) / 2 above it; 0.975 if not given."
    )
    temperature: float | None = option(None, "Prune4ReL: of tanh; 1 if not given.")
    objective: str | None = option(None, "Prune4ReL: own (as published) or coverage.")
    clusters: int | None = option(None, "ssp: prototypes; by default the classes.")
    keep: str | None = option(None, "ssp: hard or easy examples; hard if not given.")
    strata: int | None = option(None, "ccs: parts of the range; 50 if not given.")
    hard_cutoff: float | None = option(
        None, "ccs: share of the hardest to drop first; 0.1 if not given."
    )
    never_learned: str | None = option(
        None, "forgetting: never-learned examples count as most or least forgotten."
    )
    seed: int = option(
        0,
        "Of random draws, and of the order among equal scores.",
        low=0,
        high=2**32 - 1,
    )


define_flags(PruneConfig)


def _check(config: PruneConfig) -> tuple[str, dict[str, Any]]:
    """The balance and the method's options; raises `ValueError` for a bad flag."""
    for name in ("fraction", "out"):
        if getattr(config, name) is None:
            raise ValueError(f"{name}: got nothing, expected --{name}=…")
    assert config.out is not None
    checks.in_range("fraction", config.fraction, 0, 1, low_open=True)
    given = {name: getattr(config, name) for name in _OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    shares = {None: None, True: "even", False: "none"}
    with errors_name_flags(balance="balanced"):
        balance = selection.check_pruning(
            config.method, balance=shares[config.balanced], options=options
        )
    inputs = {name: getattr(config, name) for name in (*_INPUTS, "ids")}
    check_output_file("out", config.out, inputs=inputs)
    return balance, options


def _read(config: PruneConfig) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """The arrays that flags name, and the ids."""
    given = {name: getattr(config, name) for name in (*_INPUTS, "ids")}
    arrays = {
        name: read_array(path, name) for name, path in given.items() if path is not None
    }
    if arrays:
        checks.same_length(**arrays)
    if "ids" not in arrays:
        return arrays, None
    ids = checks.unique_ids("ids", arrays.pop("ids"))
    check_text("ids", ids)
    return arrays, ids


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _report_estimate(
    config: PruneConfig, arrays: dict[str, np.ndarray], options: dict[str, Any]
) -> None:
    """Says how long Prune4ReL will take and what memory, where that can be told."""
    there = "features" in arrays and "probabilities" in arrays
    own = options.get("objective", "own") == "own"
    if not (config.method.startswith("prune4rel") and there and own):
        return
    assert config.fraction is not None
    probabilities = scores.check_probabilities(
        arrays["probabilities"], name="probabilities"
    )
    kind = options.get("confidence", "max_prob")
    size = len(probabilities)
    budget = budget_from_fraction(config.fraction, size)
    estimate = selection.prune4rel_estimate(
        arrays["features"],
        selection.confidence_of(probabilities, kind),
        budget,
        **{key: options[key] for key in ("threshold", "temperature") if key in options},
    )
    say(
        f"{config.method}: {budget:,} of {size:,} examples, about "
        f"{_duration(estimate.seconds)} and {estimate.bytes / 2**30:.2f} GiB",
        error=True,
    )


@contextlib.contextmanager
def _progress(description: str, stop: StopRequest) -> Iterator[Progress]:
    """A bar from the first report on: bad arguments end in one line."""
    bar: Any = None

    def report(made: int, budget: int) -> None:
        nonlocal bar
        stop.check()
        if bar is None:
            bar = progress_bar(budget, description, unit="pick")
        bar.update(made - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


def _rows(
    chosen: selection.Selection, labels: np.ndarray | None, ids: np.ndarray | None
) -> Iterator[dict[str, Any]]:
    """The table, row by row."""
    columns: dict[str, Callable[[int, int], Any]] = {
        "order": lambda place, index: place,
        "index": lambda place, index: index,
    }
    if ids is not None:
        columns["id"] = lambda place, index: ids[index]
    columns["gain"] = lambda place, index: f"{chosen.gains[place]:.9g}"
    if labels is not None:
        columns["label"] = lambda place, index: labels[index]
    for place, index in enumerate(chosen.indices.tolist()):
        yield {name: value(place, index) for name, value in columns.items()}


def main(stop: StopRequest) -> None:
    """Selects, and writes the table."""
    config = read_config(PruneConfig)
    balance, options = _check(config)
    arrays, ids = _read(config)
    _report_estimate(config, arrays, options)
    assert config.fraction is not None
    assert config.out is not None
    given = {name: arrays.get(name) for name in _INPUTS}
    with _progress(config.method, stop) as report:
        chosen = selection.select(
            fraction=config.fraction,
            method=config.method,
            balance=balance,
            key=jax.random.key(config.seed),
            on_progress=report,
            **given,
            **options,
        )
    write_csv(config.out, _rows(chosen, arrays.get("labels"), ids))
    kept, size = len(chosen.indices), len(next(iter(arrays.values())))
    say(
        f"kept {kept:,} of {size:,} examples ({kept / size:.1%}); {config.out} lists "
        "them in order of selection"
    )


if __name__ == "__main__":
    launch(main, PruneConfig)
