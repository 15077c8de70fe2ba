"""A study that computes next to nothing: for sweeps, which are about everything else.

An epoch is a record; the result says which repeat of which setting it is of. A rate of
0.13 fails.
"""

from __future__ import annotations

import dataclasses
import time
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.study.flag_groups import RunFlags
from experiments.study.journal import Journal
from experiments.study.numbers import Measure
from experiments.study.presets import Preset, preset_of
from experiments.study.run import Plan, Ready, Request, Study
from robustjax import checks
from robustjax.methods import entries
from robustjax.tools.command.fields import option
from robustjax.tools.method_options import (
    as_texts,
    choose_methods,
    read_options,
)
from robustjax.training import StopRequest

UNLUCKY = 0.13


@dataclasses.dataclass(frozen=True)
class ToyConfig(RunFlags):
    """Flags of the toy."""

    rate: float = option(0.5, "Any number but an unlucky one.")
    sizes: tuple[int, ...] = option((1,), "Rows per method.", low=1)
    fast: bool = option(True, "Whether an epoch takes no time.")
    epochs: int = option(3, "Records per method.", low=1)
    seconds: float = option(0.2, "Of an epoch that is not fast.")
    file: str | None = option(None, "A file that is read.")
    options: tuple[str, ...] = option((), "Of methods.")


PRESETS = {"toy": Preset({"epochs": 2}, "shorter", "nothing")}


class Parts(NamedTuple):
    """What is run."""

    config: ToyConfig
    options: Mapping[str, Any]


def _plan(request: Request) -> Plan[Parts]:
    _, fields = preset_of(PRESETS, request.preset, None)
    config = ToyConfig(**{**fields, **request.given})
    checks.in_range("rate", config.rate, 0, 1)
    chosen = choose_methods(request.methods, entries("label_noise"))
    options = read_options(config.options, chosen)
    shown = {label: as_texts(values) for label, values in options.items()}
    plain = {**dataclasses.asdict(config), "options": shown}
    return Plan({"methods": list(chosen), **plain}, "toy", Parts(config, options))


def _prepare(plan: Plan[Parts], stop: StopRequest) -> Ready[Parts]:
    del stop
    options = plan.settings.options
    return Ready("a toy", list(options), {}, (), plan.settings)


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    config, options = ready.parts
    for label, values in options.items():
        cell = journal.cell(label)
        if cell.finished:
            continue
        for epoch in range(len(cell.records), config.epochs):
            if config.rate == UNLUCKY:
                raise ValueError(f"rate: got {UNLUCKY}, expected more luck")
            time.sleep(0 if config.fast else config.seconds)
            held_out = {"validation_accuracy": [0.9 - config.rate] * config.repeats}
            cell.write(
                "epoch",
                epoch=epoch,
                method=label,
                repeats=config.repeats,
                of_repeats=held_out,
                seconds=0.0,
            )
            stop.check()
        for size in config.sizes:
            name = repr((label, sorted(values.items()), config.rate, size))
            last = [
                zlib.crc32(f"{name} {config.seed} {repeat}".encode()) / 2**32
                for repeat in range(config.repeats)
            ]
            cell.result(
                {"method": label, "size": size},
                {"last": np.array(last), "best_on_test": np.sqrt(last)},
                repeats=range(config.repeats),
            )
        cell.finish()


STUDY = Study(
    "toy",
    (Measure("last", "last"), Measure("best_on_test", "best on test")),
    _plan,
    _prepare,
    _run,
    lambda table: table.overview("method"),
)
