"""Flags of the noisy-label launcher, and its named presets.

A preset is made of two layers: what belongs to the data set (`PRESETS`, here) and, per
method, data set and noise, what belongs to the method (`METHOD_PRESETS`, in
`noisy_labels_methods`). Flags that are given win over both.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from experiments.common.config_flags import option


@dataclasses.dataclass(frozen=True)
class NoisyLabelsConfig:
    """All settings of one method on one data set; the flags of the launcher."""

    dataset: str = option(
        "digits", "digits, an .npz file, an image folder, or a tfds name."
    )
    train_split: str = option("train", "Training split; tfds slices allowed.")
    test_split: str = option("test", "Split to measure accuracy on.")
    data_dir: str | None = option(None, "tfds folder; $ROBUSTJAX_DATA/tfds if set.")
    image_size: int | None = option(None, "Resize images of a folder to this size.")
    standardize: bool = option(
        False, "Give every input number zero mean and unit deviation (vectors)."
    )
    validation_fraction: float = option(
        0.0, "Share of the training set, with its noisy labels, held out for selection."
    )

    noise: str = option(
        "symmetric",
        "none, symmetric, asymmetric, pairflip, instance, class_flip, file or key.",
    )
    noise_rate: float = option(0.5, "Share of labels that are redrawn.")
    noise_include_true: bool = option(
        False, "Whether a symmetric redraw may give the true class."
    )
    noise_count: str = option(
        "exact", "Who is redrawn: exact, exact_per_class or bernoulli."
    )
    noisy_labels: str | None = option(
        None, "noise=file: CSV with columns id, label and maybe clean_label."
    )
    label_set: str | None = option(
        None, "noise=key: which human labels, say worse, aggre or random1 (cifar10_n)."
    )

    network: str = option(
        "mlp",
        "mlp, small_cnn, nine_layer_cnn, resnet18, resnet34, preact_resnet18 or "
        "wrn28_10.",
    )
    channels: tuple[int, ...] = option(
        (), "Channels of small_cnn's blocks; the first is the width of other networks."
    )
    hidden: tuple[int, ...] = option((128,), "Dense layers of mlp and small_cnn.")
    downsampling: str = option("max_pool", "Of small_cnn: max_pool or stride.")
    dtype: str = option("float32", "What networks compute in: float32 or bfloat16.")
    augment: str = option("none", "Weak augmentation: none, flip, crop, crop_flip.")
    normalize: bool = option(
        True, "Give the channels of images zero mean and unit deviation."
    )

    epochs: int = option(30, "Epochs.")
    batch_size: int = option(128, "Examples per training step.")
    optimizer: str = option("sgd", "sgd, adam, or co_teaching (Adam and its schedule).")
    learning_rate: float = option(0.1, "Highest learning rate.")
    schedule: str = option(
        "constant", "constant, cosine, warm_restarts, steps or one_cycle."
    )
    drop_epochs: tuple[int, ...] = option((), "schedule=steps: when the rate drops.")
    drop_factor: float = option(0.1, "schedule=steps: factor of a drop.")
    final_factor: float = option(
        0.0, "schedule=cosine or warm_restarts: last rate over highest."
    )
    restart_epochs: int = option(
        10, "schedule=warm_restarts: epochs between restarts of the cosine."
    )
    decay_from_epoch: int = option(
        0, "optimizer=co_teaching: when the rate falls, counted from 1; 0: at 0.4."
    )
    momentum: float = option(0.9, "Of SGD.")
    nesterov: bool = option(False, "Of SGD.")
    weight_decay: float = option(0.0, "Coupled, as in PyTorch's SGD.")
    clip_norm: float = option(0.0, "Clip the gradient to this norm; 0: not at all.")

    options: tuple[str, ...] = option(
        (), "Of the method, as name=value or (with several methods) method.name=value."
    )

    repeats: int = option(3, "Independent repeats, each with noise of its own.")
    parallel_repeats: int = option(
        0, "Repeats that train as one program; 0: all, on CPU convolutions one."
    )
    watch_examples: int = option(
        5000, "Training examples on which memorisation is followed; 0: none."
    )
    watch_every_epochs: int = option(1, "How often accuracies are measured.")
    checkpoint_every_epochs: int = option(5, "0: only at the end.")
    seed: int = option(0, "Of everything.")


# What does not depend on the method, whose values must agree between methods.
SHARED_FIELDS = (
    "dataset",
    "train_split",
    "test_split",
    "data_dir",
    "image_size",
    "standardize",
    "validation_fraction",
    "noise",
    "noise_rate",
    "noise_include_true",
    "noise_count",
    "noisy_labels",
    "label_set",
    "repeats",
    "parallel_repeats",
    "watch_examples",
    "watch_every_epochs",
    "checkpoint_every_epochs",
    "seed",
)

_CIFAR: dict[str, Any] = {
    "network": "preact_resnet18",
    "augment": "crop_flip",
    "epochs": 300,
    "learning_rate": 0.02,
    "schedule": "cosine",
    "weight_decay": 5e-4,
    "checkpoint_every_epochs": 10,
}

PRESETS: dict[str, dict[str, Any]] = {
    # Bundled data and a network of vectors, seconds per method; everything is ours.
    "digits": {
        "dataset": "digits",
        "standardize": True,
        "noise": "symmetric",
        "noise_rate": 0.5,
        "network": "mlp",
        "hidden": (256, 128),
        "epochs": 40,
        "batch_size": 64,
        "learning_rate": 0.05,
        "schedule": "cosine",
        "checkpoint_every_epochs": 0,
    },
    # Full MNIST for a CPU; noise by flags. Everything is ours.
    "mnist": {
        "dataset": "mnist",
        "network": "small_cnn",
        "channels": (16, 32),
        "hidden": (128,),
        "downsampling": "stride",
        "epochs": 8,
        "learning_rate": 0.05,
        "schedule": "cosine",
    },
    # CIFAR-10N reduced for a CPU: fewer images, a small network, few epochs; ours. With
    # random crops as well, so small a network memorises too slowly to suffer.
    "cifar10_n_small": {
        "dataset": "cifar10_n",
        "train_split": "train[:10000]",
        "noise": "key",
        "label_set": "worse",
        "network": "small_cnn",
        "channels": (24, 48, 96),
        "hidden": (128,),
        "downsampling": "stride",
        "augment": "flip",
        "epochs": 30,
        "learning_rate": 0.05,
        "schedule": "cosine",
        "weight_decay": 5e-4,
        "watch_every_epochs": 3,
    },
    # As SOP+ was published and, but for the schedule, DivideMix and ELR+; for an
    # accelerator. What other methods were published with is among the method presets.
    "cifar10_n": {
        **_CIFAR,
        "dataset": "cifar10_n",
        "noise": "key",
        "label_set": "worse",
    },
    "cifar10": {**_CIFAR, "dataset": "cifar10", "noise_include_true": True},
    "cifar100": {**_CIFAR, "dataset": "cifar100", "noise_include_true": True},
}

PUBLISHED = ("cifar10_n", "cifar10", "cifar100")
"""Presets of which it is said where a method's settings are not what was published."""
