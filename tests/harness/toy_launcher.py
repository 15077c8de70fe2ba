"""The launcher of `toy_study`.

python -m tests.harness.toy_launcher --rate=0.2 --methods=ce,elr
"""

from __future__ import annotations

from absl import flags

from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest
from tests.harness.toy_study import PRESETS, STUDY, ToyConfig

_METHODS = flags.DEFINE_list("methods", ["ce"], "Of the label-noise family.")
define_run_flags(PRESETS)
define_flags(ToyConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    run_study(STUDY, Request.of(read_given(ToyConfig), _METHODS.value), stop)


if __name__ == "__main__":
    launch(main, ToyConfig, PRESETS)
