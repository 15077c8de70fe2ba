"""When does entropy diffusion pay? A sweep of the propagation's choices.

Kim (ECCV 2022) spreads entropies over a neighbourhood graph while a batch of queries
is picked. This study trains with contribution weights in all variants and varies
only how the batch is picked: no diffusion, the two readings of it ("literal" and
"delta"), the space of the graph, and the size of the candidate set. Try

    python -m experiments.diffusion_study --preset=digits

It writes `study.csv` (accuracy, wrong labels and redundancy of the queries, also by
their position in the batch) and `study.png`.
"""

from __future__ import annotations

import dataclasses
import itertools
import os

from absl import flags

from experiments.common import config_flags, run_folder
from experiments.common.config_flags import option
from experiments.common.launch import launch
from experiments.common.repeat_values import Setting
from experiments.studies.label_correction import diffusion_report as report
from experiments.studies.label_correction import setup
from experiments.studies.label_correction.config import PRESETS, CorrectionConfig
from experiments.studies.label_correction.runner import Watcher, make_runs, run_method
from robustjax import checks, graph, methods
from robustjax.methods.label_correction import GRAPH_SPACES
from robustjax.selection import MODES
from robustjax.training import MetricLog, StopRequest

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")


@dataclasses.dataclass(frozen=True)
class StudyConfig(CorrectionConfig):
    """The flags of a label-correction study, and what is swept."""

    modes: tuple[str, ...] = option(("none", *MODES), "Readings of the diffusion.")
    spaces: tuple[str, ...] = option(GRAPH_SPACES, "Where the graph lives.")
    sizes: tuple[float, ...] = option((2.0, 5.0, 10.0, 0.0), "|C| / Q; 0 is everyone.")


config_flags.define_flags(StudyConfig)


def _variants(
    base: methods.ActiveLabelCorrection, config: StudyConfig
) -> dict[str, tuple[report.Variant, methods.ActiveLabelCorrection]]:
    """The methods of the sweep by name."""
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


def main(stop: StopRequest) -> None:
    """Runs every variant and reports."""
    config = config_flags.read_config(StudyConfig, PRESETS, _PRESET.value, flags.FLAGS)
    # The sweep takes the place of the preset's methods.
    config = dataclasses.replace(config, methods=())
    where = (
        os.path.join(_RUNS.value, "diffusion_study"),
        _NAME.value or setup.default_name(config, _PRESET.value),
        config,
    )
    run_folder.check_run_folder(*where)
    study = setup.prepare(config)
    variants = _variants(study.options.alc, config)
    watcher = Watcher()
    trainer = setup.make_trainer(study, on_epoch=watcher, stop=stop)
    runs = make_runs([method for _, method in variants.values()], study, trainer)
    folder = run_folder.open_run_folder(*where)
    print(f"{study.title}\nrun folder {folder}")
    log = MetricLog(folder)
    neighbors, _ = graph.nearest_neighbors(trainer.points(), config.neighbors)
    settings: list[Setting] = []
    for (variant, _), run in zip(variants.values(), runs, strict=True):
        result = run_method(run, study, folder, log, watcher, stop)
        settings += report.measure(variant, result, study, neighbors)
        # The variants so far can be looked at while the others run.
        report.write(folder, settings, study.title)
    log.close()
    print(f"\n{report.table(report.summarize(settings))}")
    print(f"\nplot: {folder / 'study.png'}   table: {folder / 'study.csv'}")


if __name__ == "__main__":
    launch(main)
