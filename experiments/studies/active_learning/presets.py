"""Named presets of open-set active learning."""

from __future__ import annotations

from typing import Any

from experiments.study.presets import NOT_RUN, Preset
from robustjax.methods import entry
from robustjax.tools.method_options import published_options

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

# Where the screen found more to learn than two standard errors; purity by energy asks
# nothing of other networks.
_ENERGY = ("sum", "product", "mqnet")
_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "pool_in": 500,
    "rounds": 5,
    "last_training": True,
    "network": "mlp",
    "hidden": (64,),
    "epochs": 10,
    "steps_per_epoch": 20,
    "batch_size": 32,
    "learning_rate": 0.05,
    "options": tuple(
        f"{name}.{option}"
        for name in _ENERGY
        for option in ("purity=energy", "informativeness=margin")
    ),
}


def _mqnet(setting: str) -> dict[str, Any]:
    """MQNet's fit as in the authors' code."""
    return {"options": published_options(entry("mqnet"), setting)}


# The paper and, for what trains the contrastive networks and MQNet, its code; for
# accelerators. Everything else is the default. CCAL's networks were trained for 700
# epochs by SGD, here as CSI's.
_PAPER: dict[str, Any] = {
    "network": "resnet18",
    "augment": "crop_flip",
    "noise_ratio": (0.1, 0.2, 0.4, 0.6),
    "embedding_batch_size": 32,
}

# Folders of images whose validation split is called so.
_IMAGENET: dict[str, Any] = {
    "test_split": "val",
    "image_size": 224,
    "network": "resnet18_imagenet",
    "embedding_network": "resnet18_imagenet",
}

PRESETS: dict[str, Preset] = {
    "mnist_small": Preset(
        {
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
        about="four digits wanted among ten, for a CPU; ours",
        expect=(
            "accuracy after 280 labels, 60 % OOD: 90.7 ±1.2 (random), 90.6 ±2.4 (mqnet)"
        ),
    ),
    "digits_energy": Preset(
        {**_DIGITS, "noise_ratio": (0.2,), "per_round": 20, "repeats": 10},
        about="four digits wanted, purity by energy, bundled data, minutes; ours",
        expect=(
            "accuracy after 120 labels 96.4 ±2.0 (random), 98.4 ±1.6 (margin), "
            "98.4 ±1.4 (sum), 97.8 ±1.7 (product), 96.5 ±2.3 (mqnet)"
        ),
        flags="--methods=random,margin,sum,product,mqnet --seed=2026",
    ),
    "digits_validation": Preset(
        {
            **_DIGITS,
            "noise_ratio": (0.2, 0.4, 0.6),
            # Of 20 examples, at 20 %, one set in ninety would be all IN.
            "per_round": 30,
            "repeats": 20,
        },
        about="what teaches MQNet: its queries or random examples, minutes; ours",
        expect=(
            "accuracy after 180 labels, 60 % OOD: 95.9 ±2.4 (random), "
            "89.5 ±10.2 (mqnet), 91.8 ±4.9 (held_out)"
        ),
        flags=(
            "--methods=random,mqnet,held_out=mqnet --seed=4041 --options="
            "held_out.purity=energy,held_out.informativeness=margin,"
            "held_out.validation=random"
        ),
    ),
    "cifar10_small": Preset(
        {
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
        about="the published split of CIFAR-10 and a small network, for a CPU; ours",
        expect=(
            "accuracy after 700 labels, 60 % OOD, purity by msp: 48.7 ±6.1 (random), "
            "49.1 ±5.5 (product), 44.2 ±7.2 (mqnet)"
        ),
        flags=(
            "--methods=random,product,mqnet --noise_ratio=0.6 --repeats=5 --seed=606 "
            "--options=product.purity=msp,mqnet.purity=msp"
        ),
    ),
    "cifar10": Preset(
        {**_PAPER, **_mqnet("cifar10"), "dataset": "cifar10", "class_split": "cifar10"},
        about="the published split of CIFAR-10",
        expect=NOT_RUN,
    ),
    "cifar100": Preset(
        {
            **_PAPER,
            **_mqnet("cifar100"),
            "dataset": "cifar100",
            "class_split": "cifar100",
        },
        about="the published split of CIFAR-100",
        expect=NOT_RUN,
    ),
    # A folder with all 1000 classes, whose names sort as the synsets do. The authors'
    # code trains CSI on images of 32 pixels. The whole pool lies in the memory of the
    # device, in bytes, and the data sets in that of the host: --pool_in makes it less.
    "imagenet50": Preset(
        {
            **_PAPER,
            **_mqnet("imagenet50"),
            **_IMAGENET,
            "dataset": "imagenet",
            "class_split": "imagenet50",
            "per_round": 1000,
            "steps_per_epoch": 150,
            "repeats": 1,
        },
        about="50 classes of ImageNet, a folder with all 1,000",
        expect=NOT_RUN,
    ),
    # Folders of images; how the paper mixes the two is not said, here half each.
    "cross_cifar10": Preset(
        {
            **_PAPER,
            **_mqnet("cross_cifar10"),
            "dataset": "cifar10",
            "image_size": 32,
            "class_split": "all",
            "ood": ("lsun", "places365"),
            "per_round": 1000,
        },
        about="CIFAR-10 among LSUN and Places365",
        expect=NOT_RUN,
    ),
    "cross_cifar100": Preset(
        {
            **_PAPER,
            **_mqnet("cross_cifar100"),
            "dataset": "cifar100",
            "image_size": 32,
            "class_split": "all",
            "ood": ("lsun", "places365"),
            "per_round": 2000,
        },
        about="CIFAR-100 among LSUN and Places365",
        expect=NOT_RUN,
    ),
    # As for imagenet50, the pool must fit the memory.
    "cross_imagenet50": Preset(
        {
            **_PAPER,
            **_mqnet("cross_imagenet50"),
            **_IMAGENET,
            "dataset": "imagenet50",
            "class_split": "all",
            "ood": ("lsun", "places365"),
            "per_round": 1000,
            "steps_per_epoch": 150,
        },
        about="50 classes of ImageNet among LSUN and Places365",
        expect=NOT_RUN,
    ),
}
