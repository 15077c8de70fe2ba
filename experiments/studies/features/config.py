"""Flags of the feature-debiasing launcher.

The thesis (chapter 3) says "batch size 64" for all methods; its code gives TAUFE 32
target and 32 OOD examples in a step and the standard training 64 target examples, so
that at equal epochs TAUFE makes twice as many steps. Here all methods make the same
number of steps with equally many target examples in each, so that they differ in the
OOD term alone. It matters: with 64 target examples in as many steps, the standard
training of `composed_boxes` has 44.9 % mean IoU, with 32 it has 46.7 %.
"""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import EpochRunFlags, ParallelFlags
from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    DataFlags,
    NetworkFlags,
    OptimizerFlags,
)


@dataclasses.dataclass(frozen=True)
class FeatureDebiasingConfig(
    EpochRunFlags, ParallelFlags, OptimizerFlags, NetworkFlags, DataFlags
):
    """All settings of one study; the flags of the launcher."""

    dataset: str = option(
        "cifar10",
        "An .npz file, an image folder or a tfds name; with boxes: composed (digits "
        "on backgrounds), cub200, cars or an .npz file that has them.",
    )
    image_size: int = option(
        0,
        "Size of images of a folder, composed, cub200 or cars; 0: a folder's own.",
        low=0,
    )
    network: str = "small_cnn"
    hidden: tuple[int, ...] = ()
    downsampling: str = "stride"
    pooling: str = "average"
    augment: str = option(
        "none",
        "Of target images: none, crop, crop_flip, resized_crop (random part, resized, "
        "and flip) or window (random part of image_size).",
    )
    batch_size: int = option(64, "Examples per step, half of them OOD.", low=1)
    learning_rate: float = 0.05
    schedule: str = "steps"
    drop_at: tuple[float, ...] = (0.5, 0.75)
    weight_decay: float = 5e-4
    repeats: int = 5
    watch_every_epochs: int = 10
    checkpoint_every_epochs: int = 10

    task: str = option("classification", "classification, boxes or localization.")

    train_image_size: int = option(
        0, "The same of training images, larger, for the augmentations that cut.", low=0
    )
    target_classes: tuple[str, ...] = option(
        (), "Train on these classes (names or indices); the others are 'held_out'."
    )
    digits: str = option("mnist", "dataset=composed: the digits.")
    backgrounds: str = option("cifar10", "dataset=composed: the backgrounds.")
    train_count: int = option(
        20_000, "dataset=composed: training images to draw from.", low=1
    )
    test_count: int = option(2_000, "dataset=composed: test images.", low=1)
    class_correlation: float = option(
        0.9, "dataset=composed: how often a background tells the digit, in training."
    )
    position_correlation: float = option(
        0.0, "dataset=composed: how often it tells the quadrant, in training."
    )
    digit_scale: tuple[float, ...] = option(
        (0.35, 0.6), "dataset=composed: lowest and highest side of a digit, as a share."
    )
    contrast: float = option(0.7, "dataset=composed: of a digit with its background.")

    ood: tuple[str, ...] = option(
        ("textures",),
        "OOD sources in equal shares: a data set's name, held_out, textures, "
        "mirrored_textures (of the target's own images), backgrounds (composed) or "
        "photographs.",
    )
    photographs: str = option(
        "",
        "ood=photographs: a folder of image files, however deep, of which squares are "
        "cut; of every fifth to measure on, of the others to train.",
    )
    ood_split: str = option("train", "Split of OOD data sets to train on.")
    ood_test_split: str = option("test", "Split of OOD data sets to measure on.")
    ood_count: int = option(
        0, "OOD images to draw from; 0: as many as target images, if there are.", low=0
    )
    ood_test_count: int = option(
        2_000, "Held-out OOD images to measure on, at most.", low=1
    )
    detection_ood: tuple[str, ...] = option(
        (), "Sources of OOD images to detect (classification); none: no detection."
    )
    allow_overlap: bool = option(
        False, "Whether OOD sets may have classes of the target's names."
    )

    num_examples: tuple[int, ...] = option(
        (500, 1000, 2500),
        "N target and N OOD examples per repeat; 0: all targets.",
        low=0,
    )
    stratified: bool = option(False, "Draw equally many target examples per class.")
    standard_batch: str = option(
        "half",
        "Target examples per step of standard: half, as many as the other methods "
        "have beside their OOD examples, or full (batch_size).",
    )
    options: tuple[str, ...] = option(
        (),
        "Of methods and of what trains them (adversarial, mix_match, simclr), such as "
        "taufe.weight=1 or adversarial.radius=8/255; several numbers are 1:2. "
        "By default taufe and mix_match are as published with TAUFE on CIFAR.",
    )
    ood_statistics: bool = option(
        True, "Whether OOD images move BatchNorm's running statistics, too."
    )
    box_loss: str = option("l1", "task=boxes: l1, l1_iou or d_iou.")
    box_flatten: bool = option(
        True, "task=boxes: regress from the flattened feature map, else the pooled."
    )
    box_scale: float = option(
        1.0, "task=boxes: pixels per unit of the last layer; 0: the published form."
    )
    activation_map: str = option(
        "class", "task=localization: of the true class, or agnostic (all channels)."
    )

    training: str = option(
        "plain",
        "How classification is trained: plain; adversarial (on attacked images); "
        "mix_match (N labelled examples beside all others without labels); or "
        "pretrained (SimCLR on images without labels, then N labelled examples: of the "
        "target's for standard, of these and all OOD images for joint, oat, taufe).",
    )
    test_attack_steps: int = option(100, "adversarial: after the last epoch.", low=0)
    attack_test_count: int = option(
        10_000, "adversarial: test images that are attacked, at most."
    )
    kernel_decay: float = option(
        0.0, "mix_match: times the rate, what a step takes off kernels; with adam."
    )
    fine_tune: str = option("head", "pretrained: what is then trained, head or all.")
    pretraining_epochs: int = option(20, "pretrained: of SimCLR.", low=1)
    pretraining_batch_size: int = option(
        256, "pretrained: images, two views of each.", low=1
    )
    pretraining_optimizer: str = option("adam", "pretrained: adam or lars.")
    pretraining_learning_rate: float = option(
        1e-3, "pretrained: peak of a cosine schedule."
    )
    pretraining_warmup_epochs: int = option(0, "pretrained: of a linear rise.")
    pretraining_weight_decay: float = option(0.0, "pretrained: decoupled with adam.")
    pretraining_flip: bool = option(True, "pretrained: whether mirrored means same.")
    color_strength: float = option(0.5, "pretrained: of SimCLR's colour changes.")

    ood_augment: str = option("same", "Of OOD images: same, or as for --augment.")

    picture_examples: int = option(
        0,
        "classification: test examples in activations.png (t-SNE); 0: no picture.",
        low=0,
    )
