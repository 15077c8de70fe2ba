"""Named presets of feature debiasing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.studies.features import combinations
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.ood_sources import check_split_flags
from experiments.studies.features.options import join_options, published
from experiments.study.presets import NOT_RUN, Preset, preset_of
from robustjax import checks

# For a CPU; all values are ours. Without BatchNorm: its running statistics, moved by
# both passes, are those of neither after a few hundred steps.
_SMALL: dict[str, Any] = {
    "network": "small_cnn",
    "channels": (32, 64, 128),
    "downsampling": "stride",
    "pooling": "average",
    "epochs": 40,
    "learning_rate": 0.05,
    "watch_every_epochs": 20,
    "checkpoint_every_epochs": 20,
    "repeats": 5,
    # On CPU five as one program take 1.4 times as long as one after another.
    "parallel_repeats": 0,
    "ood_count": 10_000,
}

_CIFAR_SMALL: dict[str, Any] = {
    **_SMALL,
    "task": "classification",
    "dataset": "cifar10",
    "augment": "crop_flip",
    "picture_examples": 1000,
}

_COMPOSED: dict[str, Any] = {
    **_SMALL,
    "dataset": "composed",
    "image_size": 32,
    "ood": ("backgrounds",),
    "watch_every_epochs": 50,
}

# The thesis; for accelerators, and never run here. Everything else is the default.
_THESIS: dict[str, Any] = {
    "dtype": "float32",
    "learning_rate": 0.1,
    "repeats": 5,
    "watch_every_epochs": 10,
}

_THESIS_CIFAR: dict[str, Any] = {
    **_THESIS,
    "task": "classification",
    "network": "resnet18",
    "augment": "crop_flip",
    "epochs": 200,
    # SVHN's classes are digits. The thesis has LSUN, too, by random parts.
    "ood": ("svhn_cropped",),
    "options": published("taufe", "cifar"),
    "num_examples": (500, 1000, 2500, 5000, 0),
    "picture_examples": 2000,
}

# For a CPU: three repeats of all methods in an estimated ten minutes of one core, from
# the time of single runs.
_COMBINED_SMALL: dict[str, Any] = {
    **_CIFAR_SMALL,
    "ood": ("textures", "mnist"),
    "num_examples": (1000,),
    "repeats": 3,
}

# Boxes and localisation: 256 pixels resized, 224 cut out in training.
_THESIS_LOCATED: dict[str, Any] = {
    **_THESIS,
    "network": "resnet50",
    "image_size": 224,
    "train_image_size": 256,
    "augment": "window",
    "ood_augment": "resized_crop",
    "epochs": 100,
    "options": published("taufe", "boxes"),
    "num_examples": (2000, 4000, 0),
    # A folder of images by class. Of ImageNet the thesis leaves birds and vehicles
    # out, which class names alone do not tell.
    "ood": ("places365",),
    "ood_count": 20_000,
    # Boxes of 224-pixel maps at 100 thresholds take minutes.
    "watch_every_epochs": 100,
}

PRESETS: dict[str, Preset] = {
    "cifar10_few_shot": Preset(
        {
            **_CIFAR_SMALL,
            "ood": ("textures", "mnist"),
            "detection_ood": ("mirrored_textures",),
        },
        about="CIFAR-10 with textured crops of its own images and digits as OOD; ours",
        expect=(
            "accuracy at N = 500: 35.3 ±1.2 (standard), 32.9 ±1.8 (oat), "
            "35.7 ±0.9 (taufe)"
        ),
        flags="--seed=1",
    ),
    # Photographs as `experiments.debian_photographs` writes them. The network, its rate
    # and BatchNorm are the thesis', a width of 8 and 60 epochs a CPU's.
    "cifar10_photographs": Preset(
        {
            **_CIFAR_SMALL,
            "network": "resnet18",
            "channels": (8,),
            "learning_rate": 0.1,
            "epochs": 60,
            "watch_every_epochs": 20,
            "num_examples": (500,),
            "ood": ("photographs",),
            "photographs": "photographs",
        },
        about="CIFAR-10 with parts of photographs as OOD, a narrow ResNet-18; ours",
        expect="accuracy 39.2 ±1.2 (standard), 34.8 ±2.0 (oat), 37.2 ±0.7 (taufe)",
        flags="--seed=7",
    ),
    "cifar10_held_out": Preset(
        {
            **_CIFAR_SMALL,
            "target_classes": ("airplane", "bird", "cat", "frog", "ship", "truck"),
            "ood": ("held_out",),
            "detection_ood": ("mnist",),
        },
        about="six classes of CIFAR-10, the four others as OOD; ours",
        expect=(
            "accuracy at N = 500: 51.1 ±0.5 (standard), 49.4 ±1.6 (oat), "
            "50.8 ±0.5 (taufe)"
        ),
        flags="--seed=1 --options=taufe.weight=1 --num_examples=500,1000",
    ),
    # The background tells the quadrant of the digit in training, and not at test.
    "composed_boxes": Preset(
        {
            **_COMPOSED,
            "task": "boxes",
            "position_correlation": 0.9,
            "options": published("taufe", "boxes"),
            "box_scale": 4.0,
            "learning_rate": 0.01,
            "num_examples": (2000,),
            "epochs": 40,
            "watch_every_epochs": 20,
        },
        about="digits on backgrounds that mislead about their place; ours",
        expect="mean IoU 46.7 ±0.3 (standard), 46.8 ±0.5 (taufe)",
        flags="--seed=1",
    ),
    # The background tells the digit in training, and not at test.
    "composed_localization": Preset(
        {
            **_COMPOSED,
            "task": "localization",
            "class_correlation": 0.7,
            # No weight is published for this task.
            "options": (*published("taufe", "boxes"), "taufe.weight=1"),
            # With fewer images this network learns the backgrounds alone.
            "num_examples": (8000,),
            "epochs": 15,
            "watch_every_epochs": 15,
        },
        about="digits on backgrounds that mislead about their class; ours",
        expect="GT-known Loc 10.1 ±1.2 (standard), 11.3 ±0.7 (oat), 11.1 ±1.6 (taufe)",
        flags="--seed=1",
    ),
    # Half the published radius and fewer steps, to be affordable. One run of TAUFE at
    # the published ones was near chance after five epochs; more were not tried.
    "cifar10_adversarial_small": Preset(
        {
            **_COMBINED_SMALL,
            "training": "adversarial",
            "options": ("adversarial.radius=4/255", "adversarial.steps=3"),
            "test_attack_steps": 20,
            "attack_test_count": 500,
            "epochs": 25,
        },
        about="adversarial training for a CPU; ours",
        expect=(
            "accuracy 28.1 ±2.7 (standard), 27.9 ±1.4 (taufe); "
            "under attack 22.4 ±2.3 (standard), 21.2 ±1.7 (taufe)"
        ),
        flags="--seed=1",
    ),
    # The published rise of the weight, which then ends early. With the weight risen in
    # 400 steps, one run of TAUFE ended at chance.
    "cifar10_mix_match_small": Preset(
        {
            **_COMBINED_SMALL,
            "training": "mix_match",
            # The images without labels; an epoch goes once through them.
            "train_split": "train[:10000]",
            "options": (
                *published("taufe", "mix_match"),
                # The published average is over more steps than there are here.
                "mix_match.average_decay=0.99",
            ),
            "stratified": True,
            "epochs": 5,
            "optimizer": "adam",
            "learning_rate": 0.002,
            "schedule": "constant",
            "weight_decay": 0.0,
            "checkpoint_every_epochs": 1,
        },
        about="MixMatch for a CPU; ours",
        expect="accuracy 40.8 ±0.6 (standard), 39.3 ±1.4 (oat), 40.7 ±0.5 (taufe)",
        flags="--seed=1",
    ),
    "cifar10_pretrained_small": Preset(
        {
            **_COMBINED_SMALL,
            "training": "pretrained",
            "train_split": "train[:10000]",
            "pretraining_epochs": 5,
            "pretraining_batch_size": 128,
            "epochs": 40,
            "weight_decay": 0.0,
        },
        about="SimCLR, then few labelled images, for a CPU; ours",
        expect="accuracy 34.9 ±1.4 (standard), 35.2 ±1.7 (joint), 33.6 ±2.5 (oat)",
        flags="--seed=1",
    ),
    "cifar10": Preset(
        {**_THESIS_CIFAR, "dataset": "cifar10"},
        about="the thesis' few-shot CIFAR-10",
        expect=NOT_RUN,
    ),
    # The thesis' tables 3.6, 3.5 and 3.8.
    "cifar10_adversarial": Preset(
        {
            **_THESIS_CIFAR,
            "dataset": "cifar10",
            "training": "adversarial",
            "num_examples": (0,),
        },
        about="the thesis' table 3.6",
        expect=NOT_RUN,
    ),
    # 64 labelled, 64 unlabelled and 64 OOD examples; 1024 times 1024 steps.
    "cifar10_mix_match": Preset(
        {
            **_THESIS_CIFAR,
            "dataset": "cifar10",
            "training": "mix_match",
            "network": "wrn28_2",
            "options": published("taufe", "mix_match"),
            "num_examples": (250,),
            "stratified": True,
            "epochs": 2682,
            "batch_size": 128,
            "optimizer": "adam",
            "learning_rate": 0.002,
            "schedule": "constant",
            "weight_decay": 0.0,
            "kernel_decay": 0.02,
        },
        about="the thesis' table 3.5",
        expect=NOT_RUN,
    ),
    # Chen et al.; fine_tune=all is the other reading of the thesis.
    "cifar10_pretrained": Preset(
        {
            **_THESIS_CIFAR,
            "dataset": "cifar10",
            "training": "pretrained",
            "pretraining_epochs": 1000,
            "pretraining_batch_size": 512,
            "pretraining_optimizer": "lars",
            "pretraining_learning_rate": 2.0,
            "pretraining_warmup_epochs": 10,
            "pretraining_weight_decay": 1e-6,
            "options": ("simclr.projection=512:128",),
            "epochs": 100,
            # 512 target examples in a step.
            "batch_size": 1024,
            "schedule": "cosine",
            "nesterov": True,
            "weight_decay": 0.0,
        },
        about="the thesis' table 3.8",
        expect=NOT_RUN,
    ),
    "cifar100": Preset(
        {**_THESIS_CIFAR, "dataset": "cifar100"},
        about="the thesis' few-shot CIFAR-100",
        expect=NOT_RUN,
    ),
    # Folders of images, one sub-folder per class; the ten classes are one's own draw.
    "imagenet10": Preset(
        {
            **_THESIS_CIFAR,
            "dataset": "imagenet10",
            "test_split": "val",
            "network": "resnet50",
            "image_size": 224,
            "train_image_size": 256,
            "augment": "resized_crop",
            "ood": ("places365",),
            "ood_test_split": "val",
            "options": published("taufe", "imagenet10"),
            "picture_examples": 0,
        },
        about="the thesis' ten classes of ImageNet, as folders of images",
        expect=NOT_RUN,
    ),
    # Pass --task: boxes (with --box_loss) or localization.
    "cub200": Preset(
        {**_THESIS_LOCATED, "task": "boxes", "dataset": "cub200"},
        about="the thesis' birds: boxes, or --task=localization",
        expect=NOT_RUN,
    ),
    # Its tfds set has labels, so that maps of the true class are possible.
    "cars": Preset(
        {**_THESIS_LOCATED, "task": "boxes", "dataset": "cars"},
        about="the thesis' cars: boxes, or --task=localization",
        expect=NOT_RUN,
    ),
}

TASK_PRESETS = {
    "classification": "cifar10_few_shot",
    "boxes": "composed_boxes",
    "localization": "composed_localization",
}
"""What is taken without a preset and a data set."""

TRAINING_PRESETS = {
    "adversarial": "cifar10_adversarial_small",
    "mix_match": "cifar10_mix_match_small",
    "pretrained": "cifar10_pretrained_small",
}
"""The same for classification that is not trained plainly."""


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
      preset: its name, or None.
      config: every flag.
      methods: in order.
    """

    preset: str | None
    config: FeatureDebiasingConfig
    methods: tuple[str, ...]


def resolve(
    preset: str | None, given: Mapping[str, Any], methods: Sequence[str] = ()
) -> Settings:
    """The settings of a study.

    Args:
      preset: as given. If None, it is that of the data set's name or, where no data set
        is given, that of the task and the training for CPUs.
      given: the fields that were given as flags.
      methods: names; of none or "all", all that task and training allow.

    Raises:
      ValueError: an unknown preset, task, training, method or option, or a flag of
        another training.
    """
    if preset is None and "dataset" not in given:
        task = given.get("task", FeatureDebiasingConfig.task)
        training = given.get("training", FeatureDebiasingConfig.training)
        checks.one_of("task", task, TASK_PRESETS)
        checks.one_of("training", training, combinations.TRAININGS)
        preset = TASK_PRESETS[task]
        if task == "classification":
            preset = TRAINING_PRESETS.get(training, preset)
    preset, fields = preset_of(PRESETS, preset, given.get("dataset"))
    config = FeatureDebiasingConfig(**{**fields, **given})
    names = combinations.check_methods(methods, config)
    combinations.check_given(given, config, names)
    check_split_flags(given, config)
    options = join_options(
        names, config.training, fields.get("options", ()), given.get("options", ())
    )
    return Settings(preset, dataclasses.replace(config, options=options), names)
