r"""Active learning in a pool that holds examples of foreign classes.

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

from experiments.studies.active_learning.config import OpenSetConfig
from experiments.studies.active_learning.presets import PRESETS
from experiments.studies.active_learning.study import STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.methods import entries
from robustjax.training import StopRequest

_METHODS = flags.DEFINE_list(
    "methods",
    ["all"],
    f"all, or of {', '.join(e.name for e in entries('active_learning', 'strategy'))}; "
    "label=method gives one another name.",
)
define_run_flags(PRESETS)
define_flags(OpenSetConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    request = Request.of(read_given(OpenSetConfig), _METHODS.value)
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main, OpenSetConfig, PRESETS, entries("active_learning", "strategy"))
