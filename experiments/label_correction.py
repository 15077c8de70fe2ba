"""Active label correction: which labels to fix next, and how to train meanwhile.

Compares methods of active label correction on a data set whose labels are corrupted
on purpose and corrected by an oracle that knows the truth (Kim, ECCV 2022). Try

    python -m experiments.label_correction --preset=digits

A run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.common.config_flags import define_flags, given_flags
from experiments.common.launch import launch
from experiments.studies.label_correction.config import PRESETS, CorrectionConfig
from experiments.studies.label_correction.study import STUDY
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
define_flags(CorrectionConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    given = given_flags(CorrectionConfig, flags.FLAGS)
    request = Request((), _PRESET.value, given, run_dir=_RUNS.value, name=_NAME.value)
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main)
