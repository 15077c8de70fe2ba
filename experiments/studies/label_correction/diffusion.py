"""When does entropy diffusion pay? Everything equal but how a batch is picked."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import noise, optimizer_flags
from experiments.studies.label_correction import diffusion_report as report
from experiments.studies.label_correction import setup
from experiments.studies.label_correction.config import RoundFlags
from experiments.studies.label_correction.presets import DIFFUSION_PRESETS
from experiments.studies.label_correction.runner import (
    Outcome,
    Watcher,
    make_runs,
    run_method,
)
from experiments.study.examples import known_labels
from experiments.study.journal import Journal
from experiments.study.presets import preset_of
from experiments.study.run import Plan, Ready, Request, Study
from robustjax import checks, graph, methods
from robustjax.methods.label_correction import GRAPH_SPACES
from robustjax.selection import MODES
from robustjax.tools.command.fields import option
from robustjax.tools.method_choice import Choice, choose
from robustjax.training import StopRequest

Variants = dict[str, tuple[report.Variant, methods.ActiveLabelCorrection]]


# The options of ALC that the sweep sets -> by which of its flags.
_SWEPT = {
    "diffusion_mode": "modes",
    "graph_space": "spaces",
    "candidates_per_query": "sizes",
}


@dataclasses.dataclass(frozen=True)
class DiffusionConfig(RoundFlags):
    """The flags of a label-correction study, and what is swept instead of methods."""

    options: tuple[str, ...] = option(
        (), "Of ALC in all variants, such as alc.weight_step=0.2."
    )

    modes: tuple[str, ...] = option(("none", *MODES), "Readings of the diffusion.")
    spaces: tuple[str, ...] = option(GRAPH_SPACES, "Where the graph lives.")
    sizes: tuple[float, ...] = option((2.0, 5.0, 10.0, 0.0), "|C| / Q; 0 is everyone.")


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
      config: every flag.
      choice: of ALC, and its options.
    """

    config: DiffusionConfig
    choice: Choice


class Parts(NamedTuple):
    """What is trained.

    Attributes:
      data: that all variants share.
      variants: by name.
      runs: of all variants, none of them begun.
      trainer: that they share.
      watcher: of the trainer.
    """

    data: setup.Data
    variants: Variants
    runs: list[methods.CorrectionRun]
    trainer: methods.RoundTrainer
    watcher: Watcher


def variants_of(
    base: methods.ActiveLabelCorrection, config: DiffusionConfig
) -> Variants:
    """The variants of the sweep by name."""
    for mode in config.modes:
        checks.one_of("modes", mode, ("none", *MODES))
    for space in config.spaces:
        checks.one_of("spaces", space, GRAPH_SPACES)
    assert base.propagation is not None
    found = {}
    sweep = itertools.product(config.sizes, config.modes, config.spaces)
    for size, mode, space in sweep:
        # Without diffusion there is no graph, and nothing to vary about it.
        if mode == "none" and space != config.spaces[0]:
            continue
        where = "" if mode == "none" else space
        shown = f"{size:g}Q" if size else "all"
        name = "-".join(part for part in (mode, where, shown) if part)
        propagation = None
        if mode != "none":
            propagation = dataclasses.replace(base.propagation, mode=mode, space=space)
        method = dataclasses.replace(
            base,
            name=name,
            propagation=propagation,
            candidates_per_query=size or None,
        )
        found[name] = (report.Variant(mode, where, shown), method)
    return found


def _option(text: str) -> str:
    """The option's name in "method.name=value"."""
    return text.partition("=")[0].rpartition(".")[2]


def _plan(request: Request) -> Plan[Settings]:
    given = request.given
    dataset = given.get("dataset", DiffusionConfig.dataset)
    preset, base = preset_of(DIFFUSION_PRESETS, request.preset, dataset)
    options = given.get("options", ())
    for text in options:
        name = _option(text)
        if name in _SWEPT:
            raise ValueError(f"options: got {text!r}, expected --{_SWEPT[name]}")
    preset_options = [t for t in base.get("options", ()) if _option(t) not in _SWEPT]
    choice = choose(
        ("alc",), methods.entries("label_correction"), preset_options, options
    )
    own = {name: value for name, value in base.items() if name != "methods"}
    fields = {**own, **given, "options": choice.options}
    config = DiffusionConfig(**fields)
    noise.check_given(given, config)
    optimizer_flags.check_given_drops(given, config)
    return Plan(
        dataclasses.asdict(config),
        setup.default_name(config, preset),
        Settings(config, choice),
    )


def _prepare(plan: Plan[Settings], stop: StopRequest) -> Ready[Parts]:
    config, choice = plan.settings
    ((label, alc),) = choice.make().items()
    assert isinstance(alc, methods.ActiveLabelCorrection)
    assert alc.propagation is not None
    variants = variants_of(alc, config)
    data = setup.prepare(config, [alc])
    watcher = Watcher()
    trainer = setup.make_trainer(data, on_epoch=watcher, stop=stop)
    made = [method for _, method in variants.values()]
    runs = make_runs(made, data, trainer, lambda name: choice.errors(label))
    return Ready(
        data.title,
        list(variants),
        setup.digested(data),
        (data.title,),
        Parts(data, variants, runs, trainer, watcher),
        known_labels(data.train.ids, data.task.labels, data.train.labels),
        {"neighbors": alc.propagation.neighbors},
    )


def _rows(
    outcome: Outcome, variant: report.Variant, data: setup.Data, neighbors: np.ndarray
) -> Sequence[tuple[Mapping[str, Any], Mapping[str, np.ndarray]]]:
    return list(report.measure(variant, outcome, data, neighbors))


def _run(ready: Ready[Parts], journal: Journal, stop: StopRequest) -> None:
    data, variants, runs, trainer, watcher = ready.parts
    nearest, _ = graph.nearest_neighbors(trainer.points(), ready.facts["neighbors"])
    for (variant, _), run in zip(variants.values(), runs, strict=True):
        rows = functools.partial(
            _rows, variant=variant, data=data, neighbors=np.asarray(nearest)
        )
        run_method(run, data, journal.cell(run.method.name), rows, watcher, stop)


STUDY = Study("diffusion_study", report.MEASURES, _plan, _prepare, _run, report.report)
