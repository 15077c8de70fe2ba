r"""Training under label noise: one method, or several side by side.

    python -m experiments.label_noise --preset=mnist --methods=ce,elr --noise_rate=0.5
    python -m experiments.label_noise --dataset=cifar10_n --label_set=worse \
        --methods=sop_plus

Without --preset, the one that is named like the data set is taken, if there is one. A
run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.studies.label_noise.config import NoisyLabelsConfig
from experiments.studies.label_noise.presets import PRESETS
from experiments.studies.label_noise.study import STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.methods import entries
from robustjax.training import StopRequest

_METHODS = flags.DEFINE_list(
    "methods",
    ["ce"],
    f"all, or of {', '.join(e.name for e in entries('label_noise'))}; label=method "
    "gives one another name.",
)
define_run_flags(PRESETS)
define_flags(NoisyLabelsConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    request = Request.of(read_given(NoisyLabelsConfig), _METHODS.value)
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main, NoisyLabelsConfig, PRESETS, entries("label_noise"))
