"""Chooses which examples to keep: the verb `keep`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from robustjax import checks, scores, selection
from robustjax.data import check_text
from robustjax.output_paths import check_output_file
from robustjax.selection import Progress, budget_from_fraction
from robustjax.tools.array_files import NamedRows, in_order_of, read_rows
from robustjax.tools.command.fields import (
    need_options,
    refuse_fields,
    refuse_options,
)
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load_labeled
from robustjax.tools.options.groups import (
    MlpFlags,
    OwnLabelFlags,
    StandardizeFlags,
    TrainingFlags,
)
from robustjax.tools.options.keep import KeepConfig
from robustjax.tools.row_files import check_format, write_rows
from robustjax.tools.warm_up import missing_inputs, warm_up
from robustjax.training import LateBar, StopRequest

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


def _check(config: KeepConfig) -> tuple[str, dict[str, Any]]:
    """The balance and the method's options; raises `ValueError` for a bad option."""
    need_options(config, "fraction", "out")
    assert config.out is not None
    checks.in_range("fraction", config.fraction, 0, 1, low_open=True)
    given = {name: getattr(config, name) for name in _OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    shares = {None: None, True: "even", False: "none"}
    with checks.errors_name(balance="balanced"):
        balance = selection.check_pruning(
            config.method, balance=shares[config.balanced], options=options
        )
    if config.dataset is not None and config.ids is not None:
        raise ValueError("ids: got a file beside --dataset, which has its own")
    inputs = {name: getattr(config, name) for name in (*_INPUTS, "ids", "dataset")}
    check_output_file("out", config.out, inputs=inputs)
    return balance, options


def _read(config: KeepConfig) -> dict[str, NamedRows]:
    """The arrays that options name, with what their files say of their rows."""
    given = {name: getattr(config, name) for name in (*_INPUTS, "ids")}
    if config.dataset is not None:
        # Of a data set these are its own, or joined to it.
        given |= {"labels": None, "ids": None}
    files = {
        name: read_rows(path, name) for name, path in given.items() if path is not None
    }
    if files:
        checks.same_length(**{name: rows.array for name, rows in files.items()})
    return files


def _ids_in(files: dict[str, NamedRows]) -> np.ndarray | None:
    """The ids that `--ids` names, after comparing them with those of the other files.

    Raises:
      ValueError: ids that repeat, or files whose rows are in different orders.
    """
    first: tuple[str, np.ndarray] | None = None
    for name, rows in sorted(files.items(), key=lambda item: item[0] != "ids"):
        ids = rows.array if name == "ids" else rows.ids
        if ids is None:
            continue
        # As everywhere, a number is the id that prints like it.
        text = np.asarray(ids).astype(str)
        first = first or (name, text)
        if not np.array_equal(text, first[1]):
            raise ValueError(
                f"{name}: its file has other ids than that of {first[0]}, or in "
                "another order; expected the same rows in the same order, or --dataset "
                "to join them to"
            )
    if "ids" not in files:
        return None
    ids = checks.unique_ids("ids", files.pop("ids").array)
    check_text("ids", ids)
    return ids


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _report_estimate(
    config: KeepConfig, arrays: dict[str, np.ndarray], options: dict[str, Any]
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
    with LateBar(description, unit="pick") as bar:

        def report(made: int, budget: int) -> None:
            stop.check()
            bar.move_to(made, budget)

        yield report


def _rows(
    chosen: selection.Selection,
    labels: np.ndarray | None,
    ids: np.ndarray | None,
    names: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """The table, row by row; labels by name where classes have one."""
    columns: dict[str, Callable[[int, int], Any]] = {
        "order": lambda place, index: place,
        "index": lambda place, index: index,
    }
    if ids is not None:
        columns["id"] = lambda place, index: ids[index]
    columns["gain"] = lambda place, index: float(chosen.gains[place])
    if labels is not None:
        columns["label"] = lambda place, index: (
            names[labels[index]] if names else labels[index]
        )
    for place, index in enumerate(chosen.indices.tolist()):
        yield {name: value(place, index) for name, value in columns.items()}


def main(config: KeepConfig, stop: StopRequest) -> None:
    """Selects, and writes the table."""
    balance, options = _check(config)
    assert config.out is not None
    form = check_format(config.out, config.format)
    files = _read(config)
    ids = None
    if config.dataset is None:
        ids = _ids_in(files)
        why = "without --dataset, and so without a training"
        refuse_options(config, (TrainingFlags, MlpFlags), why)
        # The labels are a file's, then.
        own = {field.name for field in dataclasses.fields(OwnLabelFlags)} - {"labels"}
        refuse_fields(config, dict.fromkeys(sorted(own), why))
    elif files and not missing_inputs(config.method, {*files, "labels"}):
        why = "with files of all that the method asks for, and so without a training"
        refuse_options(config, (TrainingFlags, MlpFlags, StandardizeFlags), why)
    names: tuple[str, ...] = ()
    arrays = {name: rows.array for name, rows in files.items()}
    if config.dataset is not None:
        dataset = load_labeled(config, say)
        checks.same_length(dataset=dataset.inputs, **arrays)
        arrays = {
            name: in_order_of(dataset, rows, path=getattr(config, name), name=name)
            for name, rows in files.items()
        }
        arrays["labels"], ids, names = dataset.labels, dataset.ids, dataset.class_names
        wanted = missing_inputs(config.method, arrays)
        if wanted:
            trained = warm_up(config, dataset, stop)
            arrays |= {name: trained[name] for name in wanted}
    _report_estimate(config, arrays, options)
    assert config.fraction is not None
    assert config.out is not None
    given: dict[str, Any] = {name: arrays.get(name) for name in _INPUTS}
    with _progress(config.method, stop) as report:
        chosen = selection.select(
            fraction=config.fraction,
            method=config.method,
            balance=balance,
            balance_labels=None,
            key=jax.random.key(config.seed),
            on_progress=report,
            **given,
            **options,
        )
    write_rows(config.out, _rows(chosen, arrays.get("labels"), ids, names), form)
    kept, size = len(chosen.indices), len(next(iter(arrays.values())))
    say(
        f"kept {kept:,} of {size:,} examples ({kept / size:.1%}); {config.out} lists "
        "them in order of selection"
    )
