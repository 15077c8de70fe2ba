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
from experiments.common.launch import launch
from experiments.label_correction import diffusion_report as report
from experiments.label_correction import setup
from experiments.label_correction.runner import Watcher, run_arm
from experiments.presets.active_label_correction import PRESETS, CorrectionConfig
from robustjax import checks, graph, methods
from robustjax.methods.active_label_correction import GRAPH_SPACES
from robustjax.selection.entropy_propagation import MODES
from robustjax.training import MetricLog, StopRequest, as_float

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
_MODES = flags.DEFINE_list("modes", ["none", *MODES], "Readings of the diffusion.")
_SPACES = flags.DEFINE_list("spaces", list(GRAPH_SPACES), "Where the graph lives.")
_SIZES = flags.DEFINE_list("sizes", ["2", "5", "10", "0"], "|C| / Q; 0 is everyone.")
config_flags.define_flags(CorrectionConfig)


def _variants(
    base: methods.ActiveLabelCorrection,
) -> dict[str, tuple[report.Variant, methods.ActiveLabelCorrection]]:
    """The arms of the sweep by name."""
    for mode in _MODES.value:
        checks.one_of("modes", mode, ("none", *MODES))
    for space in _SPACES.value:
        checks.one_of("spaces", space, GRAPH_SPACES)
    try:
        sizes = [float(size) for size in _SIZES.value]
    except ValueError:
        raise ValueError(
            f"sizes: got {','.join(_SIZES.value)}, expected numbers"
        ) from None
    found = {}
    for size, mode, space in itertools.product(sizes, _MODES.value, _SPACES.value):
        # Without diffusion there is no graph, and nothing to vary about it.
        if mode == "none" and space != _SPACES.value[0]:
            continue
        where = "" if mode == "none" else space
        shown = f"{size:g}Q" if size else "all"
        name = "-".join(part for part in (mode, where, shown) if part)
        propagation = None
        if mode != "none":
            propagation = methods.Propagation(mode=mode, space=space)
        arm = dataclasses.replace(
            base,
            name=name,
            propagation=propagation,
            candidates_per_query=size or None,
        )
        found[name] = (report.Variant(mode, where, shown), arm)
    return found


def main(stop: StopRequest) -> None:
    """Runs every variant and reports."""
    config = config_flags.read_config(
        CorrectionConfig, PRESETS, _PRESET.value, flags.FLAGS
    )
    config = dataclasses.replace(config, methods=("diffusion_study",))
    study = setup.prepare(config)
    options = setup.arm_options(config, float(study.task.is_noisy.mean()))
    variants = _variants(options.alc)
    folder = run_folder.open_run_folder(
        os.path.join(_RUNS.value, "diffusion_study"),
        _NAME.value or setup.default_name(config, _PRESET.value),
        config,
    )
    print(f"{study.title}\nrun folder {folder}")
    log = MetricLog(folder)
    watcher = Watcher(log)
    trainer = setup.make_trainer(study, on_epoch=watcher, stop=stop)
    points = as_float(trainer.inputs).reshape(len(study.train), -1)
    neighbors, _ = graph.nearest_neighbors(points, config.neighbors)
    rows = []
    for variant, arm in variants.values():
        result = run_arm(arm, study, trainer, folder, log, watcher, stop)
        rows += report.measure(variant, result, study, neighbors)
        # The variants so far can be looked at while the others run.
        report.write(folder, rows, study.title)
    log.close()
    print(f"\n{report.table(rows)}")
    print(f"\nplot: {folder / 'study.png'}   table: {folder / 'study.csv'}")


if __name__ == "__main__":
    launch(main)
