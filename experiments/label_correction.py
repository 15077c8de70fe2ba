r"""Active label correction: which labels to fix next, and how to train meanwhile.

Compares methods of active label correction on a data set whose labels are corrupted
on purpose and corrected by an oracle that knows the truth (Kim, ECCV 2022). Try

    python -m experiments.label_correction --preset=digits
    python -m experiments.label_correction --preset=digits --methods=alc,mild=alc \
        --options=mild.weight_step=0.02

A run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

from experiments.studies.label_correction.config import CorrectionConfig
from experiments.studies.label_correction.presets import PRESETS
from experiments.studies.label_correction.study import STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.methods import entries
from robustjax.training import StopRequest

define_run_flags(PRESETS)
define_flags(CorrectionConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    request = Request.of(read_given(CorrectionConfig))
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main, CorrectionConfig, PRESETS, entries("label_correction"))
