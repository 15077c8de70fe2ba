r"""Training that unlearns the features of out-of-distribution images: TAUFE and OAT.

    python -m experiments.features --task=classification
    python -m experiments.features --preset=composed_boxes --box_loss=d_iou
    python -m experiments.features --preset=cifar10 --num_examples=500,0
    python -m experiments.features --training=adversarial \
        --options=adversarial.radius=4/255,taufe.weight=1
    python -m experiments.features --training=mix_match --num_examples=250,1000
    python -m experiments.features --training=pretrained --fine_tune=all

Every method is trained on every number of examples. Without --preset and --dataset,
the preset of the task and the training for CPUs is taken. A run that was killed
continues where it was when the same command is given again.
"""

from __future__ import annotations

from absl import flags

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.options import TRAINED_BY
from experiments.studies.features.presets import PRESETS
from experiments.studies.features.study import STUDY
from experiments.study.flags import define_flags, define_run_flags, read_given
from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from robustjax.methods import entries, entry
from robustjax.training import StopRequest

_METHODS = flags.DEFINE_list(
    "methods",
    ["all"],
    "Of standard, oat, taufe, and joint with training=pretrained; or all that the task "
    "and the training allow.",
)
define_run_flags(PRESETS)
define_flags(FeatureDebiasingConfig)


def main(stop: StopRequest) -> None:
    """Runs the study that the flags describe."""
    request = Request.of(read_given(FeatureDebiasingConfig), _METHODS.value)
    run_study(STUDY, request, stop)


if __name__ == "__main__":
    parts = [entry(name, "features") for name in TRAINED_BY.values()]
    methods = [*entries("features", "penalty"), *parts]
    launch(main, FeatureDebiasingConfig, PRESETS, methods)
