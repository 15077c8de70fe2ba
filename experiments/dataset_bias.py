r"""Training under dataset bias: one method, or several side by side.

    python -m experiments.dataset_bias --preset=colored_mnist_99 --methods=vanilla,lff
    python -m experiments.dataset_bias --dataset=images.npz --bias=file \
        --train_bias=train.csv --test_bias=test.csv --methods=vanilla,lff,jtt

What is measured on the test set are means over all pairs of label and bias: of all
(unbiased), of those that go together (aligned) and of the others (conflicting). A run
that was killed continues where it was when the same command is given again.
"""

from __future__ import annotations

from experiments.studies.dataset_bias.config import DatasetBiasConfig
from experiments.studies.dataset_bias.presets import PRESETS
from experiments.studies.dataset_bias.study import STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.methods import entries
from robustjax.training import StopRequest

define_run_flags(PRESETS)
define_flags(DatasetBiasConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    run_study(STUDY, Request.of(read_given(DatasetBiasConfig)), stop)


if __name__ == "__main__":
    launch(main, DatasetBiasConfig, PRESETS, entries("bias"))
