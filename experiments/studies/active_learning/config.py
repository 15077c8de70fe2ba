"""Flags of the open-set active-learning launcher, and its named presets."""

from __future__ import annotations

import dataclasses
from typing import Any

from experiments.common.config_flags import option


@dataclasses.dataclass(frozen=True)
class OpenSetConfig:
    """All settings of one study; the flags of the launcher."""

    dataset: str = option("mnist", "An .npz file, an image folder or a tfds name.")
    train_split: str = option("train", "Training split; tfds slices allowed.")
    test_split: str = option("test", "Split to measure on.")
    data_dir: str | None = option(None, "tfds folder; $ROBUSTJAX_DATA/tfds if set.")
    image_size: int = option(0, "Size of images of a folder; 0: their own.")

    class_split: str = option(
        "drawn",
        "Which classes are IN: a published split (cifar10, cifar100, imagenet50), "
        "drawn (anew for every repeat) or all (with --ood).",
    )
    num_in_classes: int = option(4, "class_split=drawn: how many classes are IN.")
    in_classes: tuple[str, ...] = option(
        (), "IN classes (names or indices) of every repeat, instead of class_split."
    )
    ood: tuple[str, ...] = option(
        (), "class_split=all: data sets of OOD images, in equal shares."
    )
    ood_split: str = option("train", "Split of the OOD data sets.")
    allow_overlap: bool = option(
        False, "Whether OOD sets may have classes of the data set's names."
    )
    noise_ratio: tuple[float, ...] = option(
        (0.2, 0.6), "Shares of OOD examples in the pool; one study of each."
    )
    pool_in: int = option(0, "IN examples in the pool; 0: all there are.")
    test_count: int = option(0, "IN test examples; 0: all there are.")

    per_round: float = option(500, "Cost of a round's queries at most (b).")
    rounds: int = option(
        10, "Trainings, each followed by queries; the first is on the initial set."
    )
    last_training: bool = option(
        False, "Train once more, on the answers of the last queries."
    )
    initial: int = option(0, "Examples labelled before round 1; 0: as per_round.")
    initial_shares: str = option(
        "uniform", "Of IN and OOD in the initial set: uniform (drawn) or exact."
    )
    cost_in: float = option(1.0, "What the label of an IN example costs.")
    cost_ood: float = option(1.0, "What it costs to learn that one is OOD.")

    options: tuple[str, ...] = option(
        (), "Of methods, such as mqnet.margin=0.1; see --methods."
    )

    classifier_variant: str = option(
        "in_only", "Labelled OOD in training: in_only, ood_class, taufe or both."
    )
    taufe_weight: float = option(0.1, "classifier_variant=taufe or both: lambda.")
    network: str = option("mlp", "A name of experiments.common.networks.")
    channels: tuple[int, ...] = option(
        (), "Channels of small_cnn's blocks; the first is the width of other networks."
    )
    hidden: tuple[int, ...] = option((), "Dense layers of mlp and small_cnn.")
    downsampling: str = option("stride", "Of small_cnn: max_pool or stride.")
    pooling: str = option("average", "Of small_cnn: flatten or average.")
    dtype: str = option("float32", "What networks compute in: float32 or bfloat16.")
    augment: str = option("none", "Of training images: none, flip, crop or crop_flip.")
    epochs: int = option(200, "Epochs per training; schedules count them.")
    steps_per_epoch: int = option(100, "Steps per epoch, however much is labelled.")
    batch_size: int = option(64, "Examples per step.")
    optimizer: str = option("sgd", "sgd or adam.")
    learning_rate: float = option(0.1, "Highest learning rate.")
    schedule: str = option(
        "steps", "constant, cosine, warm_restarts, steps or one_cycle."
    )
    drop_at: tuple[float, ...] = option(
        (0.5, 0.75), "schedule=steps: when the rate drops, as shares of the epochs."
    )
    drop_factor: float = option(0.1, "schedule=steps: factor of a drop.")
    final_factor: float = option(
        0.0, "schedule=cosine or warm_restarts: last rate over highest."
    )
    restart_epochs: int = option(
        10, "schedule=warm_restarts: epochs between restarts of the cosine."
    )
    momentum: float = option(0.9, "Of SGD.")
    nesterov: bool = option(False, "Of SGD.")
    weight_decay: float = option(5e-4, "Coupled, as in PyTorch's SGD.")
    clip_norm: float = option(0.0, "Clip the gradient to this norm; 0: not at all.")

    embedding_network: str = option(
        "resnet18", "Of the contrastive networks that CSI and CCAL train on the pool."
    )
    embedding_channels: tuple[int, ...] = option((), "As channels.")
    embedding_hidden: tuple[int, ...] = option((), "As hidden.")
    embedding_pooling: str = option(
        "average", "Of a small_cnn among them: flatten or average."
    )
    embedding_epochs: int = option(1000, "Epochs of each contrastive network.")
    embedding_batch_size: int = option(
        64, "Images per step; CSI makes eight views of each, SimCLR two."
    )
    embedding_optimizer: str = option("lars", "lars (with a warm-up) or adam (cosine).")
    embedding_learning_rate: float = option(1.0, "Highest learning rate.")
    embedding_projection: tuple[int, ...] = option(
        (512, 128), "Widths of the projection heads."
    )
    embedding_flip: bool = option(
        True, "Whether mirror images mean the same; not so for digits."
    )
    embedding_crop: float = option(0.08, "Smallest part of an image in a view.")

    repeats: int = option(5, "Repeats, with class splits, pools and keys of their own.")
    seed: int = option(0, "Of everything.")


# For a CPU; all values are ours. What loss prediction learns from fifty labels orders
# nothing, so that MQNet and the rules it is compared with take confidence instead.
_SMALL: dict[str, Any] = {
    "options": tuple(
        f"{name}.informativeness=conf" for name in ("sum", "product", "mqnet")
    ),
    "pool_in": 2000,
    "rounds": 6,
    "last_training": True,
    "repeats": 3,
    "noise_ratio": (0.2, 0.6),
    "test_count": 3000,
    # SGD at a rate that suits the classifier alone diverges with loss prediction.
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "embedding_network": "small_cnn",
    "embedding_optimizer": "adam",
    "embedding_learning_rate": 1e-3,
    "embedding_projection": (128, 64),
}


def _meta_learning(steps: int) -> tuple[str, ...]:
    """MQNet's fit as in the authors' code: 100 epochs of at least 100 steps.

    It ends long before the loss has, so that the defaults differ, see `MQNetQuery`. In
    confidence mode their first round is `mqnet.first_round=raw`.
    """
    return (
        "mqnet.margin=1.0",
        "mqnet.learning_rate=0.001",
        "mqnet.weight_decay=0.0",
        "mqnet.batch_size=32",
        f"mqnet.steps={steps}",
        "mqnet.ties=as_lower",
        "mqnet.clip=none",
    )


# The paper and, for what trains the contrastive networks and MQNet, its code; for
# accelerators. Everything else is the default. CCAL's networks were trained for 700
# epochs by SGD, here as CSI's.
_PAPER: dict[str, Any] = {
    "network": "resnet18",
    "augment": "crop_flip",
    "noise_ratio": (0.1, 0.2, 0.4, 0.6),
    "options": _meta_learning(11_200),
    "embedding_batch_size": 32,
}

# Folders of images whose validation split is called so.
_IMAGENET: dict[str, Any] = {
    "test_split": "val",
    "image_size": 224,
    "network": "resnet18_imagenet",
    "embedding_network": "resnet18_imagenet",
}

PRESETS: dict[str, dict[str, Any]] = {
    "mnist_small": {
        **_SMALL,
        "dataset": "mnist",
        "pool_in": 3000,
        "per_round": 40,
        "network": "mlp",
        "hidden": (256, 128),
        "epochs": 10,
        "steps_per_epoch": 40,
        "batch_size": 32,
        "embedding_channels": (16, 32, 64),
        "embedding_epochs": 8,
        # Averages over positions know little of digits.
        "embedding_pooling": "flatten",
        "embedding_flip": False,
        "embedding_crop": 0.5,
    },
    "cifar10_small": {
        **_SMALL,
        "dataset": "cifar10",
        "class_split": "cifar10",
        "per_round": 100,
        "network": "small_cnn",
        "channels": (16, 32, 64),
        "augment": "crop_flip",
        "epochs": 10,
        "steps_per_epoch": 30,
        "batch_size": 32,
        "embedding_channels": (16, 32, 64),
        "embedding_epochs": 8,
    },
    "cifar10": {**_PAPER, "dataset": "cifar10", "class_split": "cifar10"},
    "cifar100": {**_PAPER, "dataset": "cifar100", "class_split": "cifar100"},
    # A folder with all 1000 classes, whose names sort as the synsets do. The authors'
    # code trains CSI on images of 32 pixels. The whole pool lies in the memory of the
    # device, in bytes, and the data sets in that of the host: --pool_in makes it less.
    "imagenet50": {
        **_PAPER,
        **_IMAGENET,
        "dataset": "imagenet",
        "class_split": "imagenet50",
        "per_round": 1000,
        "options": _meta_learning(12_800),
        "steps_per_epoch": 150,
        "repeats": 1,
    },
    # Folders of images; how the paper mixes the two is not said, here half each.
    "cross_cifar10": {
        **_PAPER,
        "dataset": "cifar10",
        "image_size": 32,
        "class_split": "all",
        "ood": ("lsun", "places365"),
        "per_round": 1000,
        "options": _meta_learning(12_800),
    },
    "cross_cifar100": {
        **_PAPER,
        "dataset": "cifar100",
        "image_size": 32,
        "class_split": "all",
        "ood": ("lsun", "places365"),
        "per_round": 2000,
        "options": _meta_learning(12_600),
    },
    # As for imagenet50, the pool must fit the memory.
    "cross_imagenet50": {
        **_PAPER,
        **_IMAGENET,
        "dataset": "imagenet50",
        "class_split": "all",
        "ood": ("lsun", "places365"),
        "per_round": 1000,
        "options": _meta_learning(12_800),
        "steps_per_epoch": 150,
    },
}
