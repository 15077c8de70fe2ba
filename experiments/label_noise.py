"""Training under label noise: one method, or several side by side.

    python -m experiments.label_noise --preset=mnist --method=ce,elr --noise_rate=0.5
    python -m experiments.label_noise --dataset=cifar10_n --label_set=worse \
        --method=sop_plus

Without --preset, the one that is named like the data set is taken, if there is one. A
run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.studies.label_noise.config import NoisyLabelsConfig
from experiments.studies.label_noise.methods import METHODS
from experiments.studies.label_noise.presets import PRESETS
from experiments.studies.label_noise.study import STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest

_METHOD = flags.DEFINE_list(
    "method", ["ce"], f"One or several, or all: {', '.join(METHODS)}."
)
define_run_flags(PRESETS)
define_flags(NoisyLabelsConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    request = Request.of(read_given(NoisyLabelsConfig), _METHOD.value)
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main, NoisyLabelsConfig, PRESETS)
