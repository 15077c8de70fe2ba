"""Named presets of training under dataset bias."""

from __future__ import annotations

from typing import Any

from experiments.study.presets import NOT_RUN, Preset
from robustjax.methods import entries
from robustjax.tools.method_options import published_options

_NOT_YET = "not measured yet: hours on a CPU"


def _published(*settings: str) -> tuple[str, ...]:
    """Options of all methods as published for the first of the settings they have."""
    found: list[str] = []
    for entry in entries("bias"):
        own = next((name for name in settings if name in entry.published), None)
        if own is not None:
            found += published_options(entry, own)
    return tuple(found)


# Colored MNIST as Nam et al. (NeurIPS 2020) train it: 235 steps an epoch.
_COLORED: dict[str, Any] = {
    "dataset": "mnist",
    "bias": "colors",
    "network": "mlp",
    "hidden": (100, 100, 100),
    "initialization": "torch",
    "double_scaling": True,
    "epochs": 100,
    "batch_size": 256,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "methods": ("vanilla", "lff", "group_dro", "repair", "hex", "jtt", "pgd"),
    "options": _published("colored_mnist"),
    "checkpoint_every_epochs": 20,
}

# DFA's: about 55,000 images, 50,000 steps; the rate falls by half at steps 20k, 30k and
# 40k, here at the nearest epochs of 215 steps.
_DFA: dict[str, Any] = {
    **_COLORED,
    "train_split": "train[:55000]",
    "hidden": (100, 100, 16),
    "learning_rate": 1e-2,
    "epochs": 233,
    "schedule": "steps",
    "drop_at": (93.0, 140.0, 186.0),
    "drop_factor": 0.5,
    "methods": ("vanilla", "lff", "dfa"),
    "watch_every_epochs": 3,
}

# The rows of the paper's ablation. In its code plain training has no schedule.
_ABLATION: dict[str, Any] = {
    **_DFA,
    "aligned_ratio": 0.99,
    "methods": ("vanilla", "disentangle=dfa", "augment=dfa", "scheduled=dfa"),
    "options": (
        *_published("colored_mnist"),
        "disentangle.lambda_swap=0",
        "augment.swap_from_step=0",
    ),
}

# How many conflicting images there are, and how often they are drawn; no schedule.
_DIVERSITY: dict[str, Any] = {
    **_DFA,
    "schedule": "constant",
    "aligned_ratio": 0.95,
    "methods": tuple(
        f"{label}=conflict_sampling" for label in ("d5_s50", "d1_s50", "d5_s1", "d1_s1")
    ),
    "options": (
        "d5_s50.sampling_ratio=0.5",
        "d1_s50.sampling_ratio=0.5",
        "d1_s50.diversity_ratio=0.01",
        "d5_s1.sampling_ratio=0.01",
        "d1_s1.sampling_ratio=0.01",
        "d1_s1.diversity_ratio=0.01",
    ),
}

# Two fifths of all steps; swapping and falls of the rate are at the same parts of them.
_FEWER_STEPS: dict[str, Any] = {"epochs": 93, "drop_at": (37.0, 56.0, 74.0)}

_CORRUPTED: dict[str, Any] = {
    "dataset": "cifar10",
    "network": "cifar_resnet20",
    "augment": "crop_flip",
    "normalize": True,
    "epochs": 200,
    "batch_size": 256,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "methods": ("vanilla", "lff", "group_dro", "repair", "hex"),
    "checkpoint_every_epochs": 10,
}

_SMALL: dict[str, Any] = {
    **_CORRUPTED,
    "train_split": "train[:10000]",
    "test_split": "test[:5000]",
    "network": "small_cnn",
    "channels": (16, 32, 64),
    "hidden": (),
    "pooling": "average",
    "downsampling": "stride",
    "augment": "flip",
    "epochs": 24,
    "batch_size": 128,
    "watch_every_epochs": 2,
}


_MEASURED = {
    "colored_mnist_95": (
        "unbiased 75.6 ±0.4 (vanilla), 83.6 ±0.3 (lff), 81.4 ±2.4 (group_dro), "
        "79.2 ±1.0 (repair), 82.1 ±0.9 (repair_threshold), 80.0 ±0.9 (jtt), "
        "76.7 ±1.3 (pgd), 78.4 ±2.6 (hex)"
    ),
    "colored_mnist_98": (
        "unbiased 58.8 ±0.8 (vanilla), 78.1 ±3.4 (lff), 70.9 ±0.9 (group_dro), "
        "65.0 ±1.4 (repair), 73.8 ±2.7 (repair_threshold), 65.8 ±1.7 (jtt), "
        "70.9 ±3.4 (pgd), 64.7 ±3.3 (hex)"
    ),
    "colored_mnist_99": (
        "unbiased 45.0 ±1.6 (vanilla), 70.3 ±2.9 (lff), 56.6 ±0.1 (group_dro), "
        "51.9 ±1.6 (repair), 49.5 ±1.8 (jtt), 60.1 ±2.9 (pgd), 49.8 ±2.8 (hex), "
        "65.6 ±5.9 (repair_threshold)"
    ),
    "colored_mnist_995": (
        "unbiased 31.1 ±1.3 (vanilla), 55.5 ±5.3 (lff), 44.2 ±1.2 (group_dro), "
        "36.9 ±1.9 (repair), 35.4 ±0.8 (jtt), 55.1 ±2.0 (pgd), 35.1 ±1.2 (hex), "
        "57.6 ±7.2 (repair_threshold)"
    ),
    "cifar10_type1_95_bias_swap": (
        "unbiased 21.0 ±1.2 (vanilla), 22.1 ±1.4 (bias_swap)"
    ),
    "cifar10_type1_99_small": (
        "unbiased 18.7 ±0.6 (vanilla), 17.7 ±0.9 (lff), 22.6 ±0.6 (group_dro), "
        "19.6 ±0.4 (repair), 17.5 ±0.2 (hex)"
    ),
    "cifar10_type1_95_small": (
        "unbiased 20.5 ±0.2 (vanilla), 22.0 ±0.5 (lff), 27.7 ±0.6 (group_dro), "
        "22.9 ±0.2 (repair), 19.7 ±0.7 (hex)"
    ),
    "cifar10_type2_95_small": (
        "unbiased 24.7 ±0.6 (vanilla), 23.9 ±3.1 (lff), 34.5 ±0.5 (group_dro), "
        "27.2 ±0.5 (repair), 22.3 ±0.8 (hex)"
    ),
    "cifar10_type2_99_small": (
        "unbiased 23.2 ±0.8 (vanilla), 15.3 ±0.9 (lff), 29.4 ±1.3 (group_dro), "
        "23.8 ±0.9 (repair), 20.9 ±0.4 (hex)"
    ),
    "colored_mnist_99_bias_swap": (
        "unbiased 42.0 ±1.3 (vanilla), 43.1 ±6.1 (bias_swap)"
    ),
    "colored_mnist_99_benign": "unbiased 99.8 ±0.2 (vanilla)",
    "colored_mnist_dfa_ablation_small": (
        "best unbiased on test 60.1 ±2.4 (vanilla), 79.3 ±3.0 (disentangle), "
        "82.1 ±1.3 (augment), 82.4 ±3.1 (scheduled)"
    ),
    "colored_mnist_dfa_diversity_small": (
        "unbiased 88.2 ±0.6 (d5_s50), 67.6 ±1.8 (d1_s50), 76.4 ±4.1 (d5_s1), "
        "55.0 ±5.7 (d1_s1)"
    ),
}
"""What presets gave here."""


def _ratios(
    name: str, fields: dict[str, Any], about: str, *, benign: bool = False
) -> dict[str, Preset]:
    """A preset per share of aligned examples, and maybe its benign pairing."""
    found = {}
    for percent, ratio in (("95", 0.95), ("98", 0.98), ("99", 0.99), ("995", 0.995)):
        own = {**fields, "aligned_ratio": ratio}
        text = f"{about}, {100 * ratio:g} % aligned"
        key = f"{name}_{percent}"
        found[key] = Preset(own, about=text, expect=_MEASURED.get(key, _NOT_YET))
        if benign:
            found[f"{key}_benign"] = Preset(
                {**own, "swap_roles": True, "methods": ("vanilla",)},
                about=f"{text}; benign: colours are the target",
                expect=_MEASURED.get(f"{key}_benign", _NOT_YET),
            )
    return found


def _corrupted(kind: int) -> dict[str, Preset]:
    """Both scales of one type, by the share of aligned examples."""
    found = {}
    for percent, ratio in (("95", 0.95), ("98", 0.98), ("99", 0.99), ("995", 0.995)):
        own = {
            "bias": f"corruption{kind}",
            "aligned_ratio": ratio,
            "options": _published(
                f"corrupted_cifar10/{100 * ratio:g}", "corrupted_cifar10"
            ),
        }
        text = f"Corrupted CIFAR-10 type {kind}, {100 * ratio:g} % aligned"
        name = f"cifar10_type{kind}_{percent}"
        found[name] = Preset(
            {**_CORRUPTED, **own}, about=f"{text}, as LfF was published", expect=NOT_RUN
        )
        found[f"{name}_small"] = Preset(
            {**_SMALL, **own},
            about=f"{text}; ours: 10,000 images, 3 layers, 24 epochs",
            expect=_MEASURED.get(f"{name}_small", _NOT_YET),
        )
    return found


PRESETS: dict[str, Preset] = {
    "colored_digits": Preset(
        {
            "dataset": "digits",
            "aligned_ratio": 0.95,
            "hidden": (64, 64),
            "epochs": 30,
            "batch_size": 64,
            "methods": ("vanilla", "lff", "jtt"),
            "options": ("jtt.identification_epochs=2",),
            "checkpoint_every_epochs": 0,
        },
        about="bundled digits in ten colours, 95 % aligned, seconds per method; ours",
        expect="unbiased 74.5 ±1.7 (vanilla), 85.0 ±1.0 (lff), 80.8 ±2.2 (jtt)",
    ),
    **_ratios(
        "colored_mnist", _COLORED, "Colored MNIST as LfF was published", benign=True
    ),
    "colored_mnist_99_noisy": Preset(
        {**_COLORED, "aligned_ratio": 0.99, "noise_rate": 0.1, "epochs": 60},
        about=(
            "Colored MNIST, 99 % aligned, 10 % of the labels wrong; ours: 60 epochs"
        ),
        expect=(
            "unbiased 18.0 ±0.4 (vanilla), 42.1 ±0.3 (group_dro), 31.5 ±0.1 (lff), "
            "31.6 ±1.1 (lff_clean), 23.1 ±4.1 (lff_elr), 32.1 ±0.7 (lff_cut), "
            "31.5 ±1.5 (lff_sop)"
        ),
        flags=(
            "--methods=vanilla,group_dro,lff,lff_clean=lff,lff_elr=lff,lff_cut=lff,"
            "lff_sop=lff --options=lff_clean.against_noise=clean_probability,"
            "lff_elr.against_noise=elr,lff_cut.truncate=true,lff_sop.against_noise=sop"
        ),
    ),
    "colored_mnist_99_bias_swap": Preset(
        {
            **_COLORED,
            "aligned_ratio": 0.99,
            "train_split": "train[:20000]",
            "network": "small_cnn",
            "channels": (16, 32, 64),
            "hidden": (),
            "pooling": "average",
            "double_scaling": False,
            "initialization": "he_normal",
            "epochs": 10,
            "batch_size": 64,
            "methods": ("vanilla", "bias_swap"),
            "options": ("bias_swap.swap_epochs=2", "bias_swap.width=16"),
            "checkpoint_every_epochs": 1,
        },
        about=("for BiaSwap, 99 % aligned; ours: 20,000 images, 3 layers, 10 epochs"),
        expect=_MEASURED["colored_mnist_99_bias_swap"],
    ),
    **_ratios(
        "colored_mnist_dfa",
        _DFA,
        "Colored MNIST as DFA was published, but with LfF's colours",
    ),
    "colored_mnist_dfa_ablation": Preset(
        _ABLATION,
        about=("DFA, 99 % aligned: apart, swapped from the start, after 10,000 steps"),
        expect=_NOT_YET,
    ),
    "colored_mnist_dfa_ablation_small": Preset(
        {
            **_ABLATION,
            **_FEWER_STEPS,
            "options": (*_ABLATION["options"], "scheduled.swap_from_step=4000"),
        },
        about="the same; ours: 20,000 steps for 50,000, about an hour on a core",
        expect=_MEASURED["colored_mnist_dfa_ablation_small"],
    ),
    "colored_mnist_dfa_diversity": Preset(
        _DIVERSITY,
        about=(
            "DFA's study: conflicting images are 5 or 1 % of all, and 50 or 1 % of a "
            "batch"
        ),
        expect=_NOT_YET,
    ),
    "colored_mnist_dfa_diversity_small": Preset(
        {**_DIVERSITY, "epochs": _FEWER_STEPS["epochs"]},
        about="the same; ours: 20,000 steps for 50,000, less than an hour on a core",
        expect=_MEASURED["colored_mnist_dfa_diversity_small"],
    ),
    **_corrupted(1),
    **_corrupted(2),
    "cifar10_type1_95_bias_swap": Preset(
        {
            **_SMALL,
            "bias": "corruption1",
            "aligned_ratio": 0.95,
            "batch_size": 64,
            "methods": ("vanilla", "bias_swap"),
            "options": (
                "bias_swap.biased_epochs=3",
                "bias_swap.swap_epochs=4",
                "bias_swap.width=16",
            ),
            "checkpoint_every_epochs": 1,
        },
        about=(
            "for BiaSwap, type 1, 95 % aligned; ours: 10,000 images, 3 layers, 24 "
            "epochs"
        ),
        expect=_MEASURED["cifar10_type1_95_bias_swap"],
    ),
    "folder": Preset(
        {
            **_CORRUPTED,
            "dataset": "data",
            "bias": "folder",
            "augment": "none",
            "network": "resnet18_imagenet",
            "epochs": 100,
            "batch_size": 64,
            "learning_rate": 1e-4,
            "methods": ("vanilla", "lff", "jtt", "pgd"),
        },
        about=(
            "align/, conflict/, test/ with ..._<target>_<bias>.png, as DFA's; for bFFHQ"
        ),
        expect=NOT_RUN,
        flags="--dataset=bffhq/0.5pct --image_size=224",
    ),
}
