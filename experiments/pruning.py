"""Data pruning under label noise: which part to keep, and what is learned from it.

    python -m experiments.pruning --preset=mnist_small
    python -m experiments.pruning --preset=cifar10_n --fractions=0.2,0.6 \
        --methods=full,uniform,prune4rel_balanced --relabeler=sop_plus --dtype=bfloat16

A classifier warms up on everything; by what it says, every method keeps a part of the
examples; a re-labelling model is trained on each part from scratch. Without --preset,
the one that is named like the data set is taken, if there is one. A run that was killed
continues where it was when the same command is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.common.config_flags import define_flags, given_flags
from experiments.common.launch import launch
from experiments.studies.pruning.config import PRESETS, DataPruningConfig
from experiments.studies.pruning.study import STUDY
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
define_flags(DataPruningConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    given = given_flags(DataPruningConfig, flags.FLAGS)
    request = Request((), _PRESET.value, given, run_dir=_RUNS.value, name=_NAME.value)
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main)
