"""Active learning in a pool that holds examples of foreign classes.

    python -m experiments.active_learning --preset=mnist_small
    python -m experiments.active_learning --preset=cifar10_small \
        --methods=random,conf,mqnet --noise_ratio=0.2,0.6 --repeats=3
    python -m experiments.active_learning --preset=cifar10_small \
        --methods=mqnet,mqnet_conf=mqnet --options=mqnet_conf.informativeness=conf

Every method runs on every noise ratio and repeat, with the same pool, initial set
and initial network. A run that was killed continues where it was when the same command
is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.common.config_flags import define_flags, given_flags
from experiments.common.launch import launch
from experiments.studies.active_learning.config import PRESETS, OpenSetConfig
from experiments.studies.active_learning.study import run_study
from robustjax.methods import entries
from robustjax.training import StopRequest

_PRESET = flags.DEFINE_string("preset", "mnist_small", f"One of {', '.join(PRESETS)}.")
_METHODS = flags.DEFINE_list(
    "methods",
    ["all"],
    f"all, or of {', '.join(e.name for e in entries('active_learning'))}; "
    "label=method gives one another name.",
)
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; the preset's by default.")
define_flags(OpenSetConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    run_study(
        _METHODS.value,
        _PRESET.value,
        given_flags(OpenSetConfig, flags.FLAGS),
        run_dir=_RUNS.value,
        name=_NAME.value,
        stop=stop,
    )


if __name__ == "__main__":
    launch(main)
