"""When does entropy diffusion pay? A sweep of the propagation's choices.

Kim (ECCV 2022) spreads entropies over a neighbourhood graph while a batch of queries
is picked. This study trains with contribution weights in all variants and varies
only how the batch is picked: no diffusion, the two readings of it ("literal" and
"delta"), the space of the graph, and the size of the candidate set. Try

    python -m experiments.diffusion_study --preset=digits

`summary.csv` has accuracy, wrong labels and redundancy of the queries, also by their
position in the batch.
"""

from __future__ import annotations

from absl import flags

from experiments.common.config_flags import define_flags, given_flags
from experiments.common.launch import launch
from experiments.studies.label_correction.config import PRESETS
from experiments.studies.label_correction.diffusion import STUDY, DiffusionConfig
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest

_PRESET = flags.DEFINE_string("preset", None, f"One of {', '.join(PRESETS)}.")
_RUNS = flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
_NAME = flags.DEFINE_string("name", None, "Name of the run; made up by default.")
define_flags(DiffusionConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    given = given_flags(DiffusionConfig, flags.FLAGS)
    request = Request((), _PRESET.value, given, run_dir=_RUNS.value, name=_NAME.value)
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main)
