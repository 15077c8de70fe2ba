"""Flags of the noisy-label launcher, and its named presets.

A preset is made of two layers: what belongs to the data set (`PRESETS`) and, per
method, data set and noise, what belongs to the method (`METHOD_PRESETS`). Flags that
are given win over both.
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

    epochs: int = option(30, "Epochs.")
    batch_size: int = option(128, "Examples per training step.")
    optimizer: str = option("sgd", "sgd, adam, or co_teaching (Adam and its schedule).")
    learning_rate: float = option(0.1, "Highest learning rate.")
    schedule: str = option("constant", "constant, cosine, steps or one_cycle.")
    drop_epochs: tuple[int, ...] = option((), "schedule=steps: when the rate drops.")
    drop_factor: float = option(0.1, "schedule=steps: factor of a drop.")
    final_factor: float = option(0.0, "schedule=cosine: last rate over highest.")
    momentum: float = option(0.9, "Of SGD.")
    nesterov: bool = option(False, "Of SGD.")
    weight_decay: float = option(0.0, "Coupled, as in PyTorch's SGD.")
    clip_norm: float = option(0.0, "Clip the gradient to this norm; 0: not at all.")

    hyperparameters: tuple[str, ...] = option(
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
    # As published, for an accelerator.
    "cifar10_n": {
        **_CIFAR,
        "dataset": "cifar10_n",
        "noise": "key",
        "label_set": "worse",
    },
    "cifar10": {**_CIFAR, "dataset": "cifar10", "noise_include_true": True},
    "cifar100": {**_CIFAR, "dataset": "cifar100", "noise_include_true": True},
}

_DIVIDE_MIX: dict[str, Any] = {"schedule": "steps", "drop_epochs": (150,)}

_CO_TEACHING: dict[str, Any] = {
    "network": "nine_layer_cnn",
    "augment": "none",
    "optimizer": "co_teaching",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "epochs": 200,
}

_CIFAR_CE: dict[str, Any] = {
    "network": "resnet34",
    "epochs": 100,
    "learning_rate": 0.1,
    "schedule": "steps",
    "drop_epochs": (60,),
}


def _with(base: dict[str, Any], *hyperparameters: str, **fields: Any) -> dict[str, Any]:
    return {**base, **fields, "hyperparameters": hyperparameters}


_ELR = {"network": "resnet34", "weight_decay": 1e-3}
_ELR_PLUS = {"epochs": 200, "schedule": "steps", "drop_epochs": (150,)}
_ELR_10 = {**_ELR, "epochs": 120, "schedule": "steps", "drop_factor": 0.01}

# "method/scope/noise": the scope is the preset's name or, without one, the data set's;
# the noise is its model with the rate in percent ("symmetric-20"), its model, or the
# label set. Names are tried from the longest to "method/scope".
METHOD_PRESETS: dict[str, dict[str, Any]] = {
    # Short trainings of small networks; ours, chosen by accuracy on noisy labels. With
    # few epochs, SOP's variables must grow faster and every phase come earlier; without
    # augmentation two views of an image are the same. Self-learning's cutoff should
    # leave about as many pairs above it as are of one class.
    "sop/mnist": _with({}, "lr_u=1000", "lr_v=10000"),
    "self_learning/mnist": _with({}, "warmup_epochs=3", "percentile=90"),
    "self_learning/mnist/pairflip": _with({}, "warmup_epochs=3", "percentile=60"),
    "co_teaching/mnist": _with({}, "num_gradual=4"),
    # Dropping four examples of five from the fourth epoch on loses whole classes.
    "co_teaching/mnist/symmetric-80": _with({}, "num_gradual=8"),
    "jocor/mnist": _with({}, "num_gradual=4", "co_lambda=0.65"),
    "divide_mix/mnist": _with({}, "warmup_epochs=2", "num_views=1", "lambda_u=0"),
    "divide_mix/mnist/pairflip": _with(
        {}, "warmup_epochs=2", "num_views=1", "lambda_u=0", "confidence_penalty=1"
    ),
    "sop/digits": _with({}, "lr_u=5", "lr_v=50"),
    "sop_plus/digits": _with({}, "lr_u=5", "lr_v=50"),
    "self_learning/digits": _with({}, "sample_size=100"),
    "jocor/digits": _with({}, "co_lambda=0.65"),
    "divide_mix/digits": _with({}, "warmup_epochs=5", "num_views=1", "lambda_u=0"),
    "elr_plus/digits": _with({}, "average_ramp_steps=300"),
    "heteroscedastic/digits": _with({}, "num_samples=200"),
    "elr_plus/cifar10_n_small": _with({}, "average_ramp_steps=500"),
    "sop/cifar10_n_small": _with({}, "lr_u=10", "lr_v=100"),
    "sop_plus/cifar10_n_small": _with({}, "lr_u=10", "lr_v=100"),
    "divide_mix/cifar10_n_small": _with({}, "warmup_epochs=10", "lambda_u=0"),
    # CIFAR-N baseline code: ResNet-34, the drop at epoch 60.
    "ce/cifar10_n": _CIFAR_CE,
    "gce/cifar10_n": _CIFAR_CE,
    "forward/cifar10_n": _CIFAR_CE,
    # ELR, table of the public code.
    "elr/cifar10/symmetric": _with(
        {**_ELR, "epochs": 150, "final_factor": 0.05}, "strength=3", "decay=0.7"
    ),
    "elr/cifar10/asymmetric": _with(
        {**_ELR_10, "drop_epochs": (40, 80)}, "strength=1", "decay=0.9"
    ),
    "elr/cifar10_n": _with(
        {**_ELR, "epochs": 150, "final_factor": 0.05}, "strength=3", "decay=0.7"
    ),
    "elr/cifar100": _with(
        {**_ELR_10, "epochs": 150, "drop_epochs": (80, 120)},
        "strength=7",
        "decay=0.9",
    ),
    "elr_plus/cifar10": _with(_ELR_PLUS, "strength=3", "decay=0.7"),
    "elr_plus/cifar10_n": _with(_ELR_PLUS, "strength=3", "decay=0.7"),
    "elr_plus/cifar10/asymmetric": _with(_ELR_PLUS, "strength=1", "decay=0.9"),
    "elr_plus/cifar100": _with(
        {"epochs": 250, "schedule": "steps", "drop_epochs": (200,)},
        "strength=7",
        "decay=0.9",
        "ramp_steps=40000",
        "weight_labels=True",
    ),
    # SOP and SOP+.
    "sop/cifar10": _with({"network": "resnet34"}, "lr_u=10", "lr_v=10"),
    "sop/cifar10/asymmetric": _with({"network": "resnet34"}, "lr_u=10", "lr_v=100"),
    "sop/cifar10_n": _with({"network": "resnet34"}, "lr_u=10", "lr_v=100"),
    "sop_plus/cifar10": _with({}, "lr_u=10", "lr_v=10"),
    "sop_plus/cifar10/asymmetric": _with({}, "lr_u=10", "lr_v=100"),
    "sop_plus/cifar10_n": _with({}, "lr_u=10", "lr_v=100"),
    "sop_plus/cifar100": _with(
        {"weight_decay": 1e-3, "final_factor": 0.01}, "lr_u=1", "lr_v=10"
    ),
    "sop_plus/cifar100/asymmetric": _with(
        {"weight_decay": 1e-3, "final_factor": 0.01}, "lr_u=1", "lr_v=100"
    ),
    # DivideMix: lambda_u by noise; 0 for low and for asymmetric noise. For worse the
    # CIFAR-N authors give no value; 25 is that of symmetric 50 %.
    "divide_mix/cifar10/symmetric": _with(_DIVIDE_MIX, "lambda_u=25"),
    "divide_mix/cifar10/symmetric-20": _with(_DIVIDE_MIX, "lambda_u=0"),
    "divide_mix/cifar10/symmetric-90": _with(
        _DIVIDE_MIX, "lambda_u=50", "threshold=0.6", "average_epochs=5"
    ),
    "divide_mix/cifar10/asymmetric": _with(
        _DIVIDE_MIX, "lambda_u=0", "confidence_penalty=1"
    ),
    "divide_mix/cifar10_n": _with(_DIVIDE_MIX, "lambda_u=0"),
    "divide_mix/cifar10_n/worse": _with(_DIVIDE_MIX, "lambda_u=25"),
    "divide_mix/cifar100": _with(_DIVIDE_MIX, "lambda_u=150", "warmup_epochs=30"),
    "divide_mix/cifar100/symmetric-20": _with(
        _DIVIDE_MIX, "lambda_u=25", "warmup_epochs=30"
    ),
    "co_teaching/cifar10": _CO_TEACHING,
    "co_teaching/cifar10_n": _CO_TEACHING,
    "co_teaching/cifar100": _CO_TEACHING,
    "jocor/cifar10": _CO_TEACHING,
    "jocor/cifar10_n": _CO_TEACHING,
    "jocor/cifar100": _CO_TEACHING,
}
