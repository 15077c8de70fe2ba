"""When does entropy diffusion pay? A sweep of the propagation's choices.

Kim (ECCV 2022) spreads entropies over a neighbourhood graph while a batch of queries
is picked. This study trains with contribution weights in all variants and varies
only how the batch is picked: no diffusion, the two readings of it ("literal" and
"delta"), the space of the graph, and the size of the candidate set. Try

    python -m experiments.diffusion_study --preset=digits

It writes `summary.csv` (accuracy, wrong labels and redundancy of the queries, also by
their position in the batch), `accuracy.png`, and what `label_correction` writes.
"""

from __future__ import annotations

from experiments.studies.label_correction.diffusion import STUDY, DiffusionConfig
from experiments.studies.label_correction.presets import DIFFUSION_PRESETS
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.methods import entry
from robustjax.training import StopRequest

define_run_flags(DIFFUSION_PRESETS)
define_flags(DiffusionConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    request = Request.of(read_given(DiffusionConfig))
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    launch(main, DiffusionConfig, DIFFUSION_PRESETS, [entry("alc")])
