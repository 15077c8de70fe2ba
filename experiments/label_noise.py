"""Training under label noise: one method, or several side by side.

    python -m experiments.label_noise --preset=mnist --method=ce,elr --noise_rate=0.5
    python -m experiments.label_noise --dataset=cifar10_n --label_set=worse \
        --method=sop_plus

Without --preset, the one that is named like the data set is taken, if there is one. A
run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.common.config_flags import define_flags, given_flags
from experiments.common.launch import launch
from experiments.studies.label_noise.config import PRESETS, NoisyLabelsConfig
from experiments.studies.label_noise.methods import METHODS
from experiments.studies.label_noise.study import STUDY
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_METHOD = flags.DEFINE_list(
    "method", ["ce"], f"One or several, or all: {', '.join(METHODS)}."
)
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
define_flags(NoisyLabelsConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    given = given_flags(NoisyLabelsConfig, flags.FLAGS)
    request = Request(
        _METHOD.value, _PRESET.value, given, run_dir=_RUNS.value, name=_NAME.value
    )
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main)
