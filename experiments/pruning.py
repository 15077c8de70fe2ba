r"""Data pruning under label noise: which part to keep, and what is learned from it.

    python -m experiments.pruning --preset=mnist_small
    python -m experiments.pruning --preset=cifar10_n --fractions=0.2,0.6 \
        --methods=full,uniform,prune4rel_balanced --relabeler=sop_plus --dtype=bfloat16

A classifier warms up on everything; by what it says, every method keeps a part of the
examples; a re-labelling model is trained on each part from scratch. Without --preset,
the one that is named like the data set is taken, if there is one. A run that was killed
continues where it was when the same command is given again. Here `forgetting` counts
what was never learned as least forgotten, as Prune4ReL's comparison does, unless
--options=forgetting.never_learned=most is given; by itself it does the opposite.
"""

from __future__ import annotations

from experiments.studies.pruning.config import DataPruningConfig
from experiments.studies.pruning.presets import PRESETS
from experiments.studies.pruning.setup import RELABELERS
from experiments.studies.pruning.study import STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.methods import entries, entry
from robustjax.training import StopRequest

define_run_flags(PRESETS)
define_flags(DataPruningConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    request = Request.of(read_given(DataPruningConfig))
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    relabelers = [entry(name, "label_noise") for name in RELABELERS]
    launch(main, DataPruningConfig, PRESETS, [*entries("pruning"), *relabelers])
