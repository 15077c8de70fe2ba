"""Training under label noise: one method, or several side by side.

    python -m experiments.label_noise --preset=mnist --methods=ce,elr --noise_rate=0.5
    python -m experiments.label_noise --dataset=cifar10_n --label_set=worse \
        --methods=sop_plus

Without --preset, the one that is named like the data set is taken, if there is one. A
run that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.common.config_flags import define_flags, given_flags
from experiments.common.launch import launch
from experiments.studies.label_noise.config import PRESETS, NoisyLabelsConfig
from experiments.studies.label_noise.study import run_study
from robustjax.methods import entries
from robustjax.training import StopRequest

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_METHODS = flags.DEFINE_list(
    "methods",
    ["ce"],
    f"all, or of {', '.join(e.name for e in entries('label_noise'))}; label=method "
    "gives one another name.",
)
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
define_flags(NoisyLabelsConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    run_study(
        _METHODS.value,
        _PRESET.value,
        given_flags(NoisyLabelsConfig, flags.FLAGS),
        run_dir=_RUNS.value,
        name=_NAME.value,
        stop=stop,
    )


if __name__ == "__main__":
    launch(main)
