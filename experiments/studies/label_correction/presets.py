"""Named presets of active label correction."""

from __future__ import annotations

from typing import Any

from experiments.study.presets import Preset

_NO_WEIGHTS = "not run here: published weights could not be had"

_PAPER: dict[str, Any] = {
    "features": "resnet101",
    "standardize": True,
    "methods": (
        "random",
        "entropy",
        "corr_active",
        "loss_ent",
        "dalc",
        "robust",
        "alc",
    ),
}


def _measured(candidates: int, *own: str, loss_pass: str = "evaluation") -> Any:
    """ALC's options, and those of its ablations.

    `experiments.diffusion_study` found them best on digits and MNIST pixels, where the
    reading of the diffusion that the paper prints costs accuracy
    (docs/label_correction).
    """
    weighted = [f"candidates_per_query={candidates}"]
    if loss_pass != "evaluation":
        weighted.append(f"loss_pass={loss_pass}")
    return (
        *(f"{method}.{o}" for o in weighted for method in ("robust", "alc")),
        *(f"{method}.diffusion_mode=delta" for method in ("diffusion", "alc")),
        *own,
    )


# With and without regard to cost, everything else equal.
_COSTS: dict[str, Any] = {
    "dataset": "digits",
    "noise_rate": 0.4,
    "methods": (
        *("random", "random_blind=random", "entropy", "entropy_blind=entropy"),
        *("alc", "alc_blind=alc"),
    ),
    "cost_blind": ("random_blind", "entropy_blind", "alc_blind"),
    "repeats": 10,
    "hidden": (128, 128, 128),
    "epochs": 20,
    "batch_size": 32,
    "options": tuple(
        f"{method}.{option}"
        for method in ("alc", "alc_blind")
        for option in ("candidates_per_query=10", "diffusion_mode=delta")
    ),
}

PRESETS: dict[str, Preset] = {
    "digits": Preset(
        {
            "dataset": "digits",
            "noise_include_true": True,
            # All but label_issues, which trains six networks where others train one.
            "methods": (
                *("random", "entropy", "corr_active", "loss_ent", "label_cleaning"),
                *("dalc", "dalc_expert", "robust", "diffusion", "alc"),
                *("o2u_net", "simifeat"),
            ),
            "budget": 250,
            "batch": 50,
            "repeats": 5,
            "hidden": (128, 128, 128),
            "epochs": 20,
            "batch_size": 32,
            "options": _measured(10, "o2u_net.epochs=20"),
        },
        about="small enough for a demo; ours",
        expect="accuracy after 250 labels 86.6 ±2.6 (random), 92.3 ±1.0 (alc)",
    ),
    "digits_drawn_costs": Preset(
        {**_COSTS, "label_costs": "lognormal:1", "budget": 250, "batch": 50},
        about="what labels cost is drawn; with and without regard to it; ours",
        expect=(
            "accuracy after spending 250 95.8 ±0.8 (random), 93.6 ±1.0 (random_blind), "
            "96.7 ±0.5 (alc), 96.9 ±0.6 (alc_blind)"
        ),
    ),
    "digits_class_costs": Preset(
        {
            **_COSTS,
            # On average 2.5, so that as much is asked for as above.
            "label_costs": "classes:1:1:1:1:1:4:4:4:4:4",
            "budget": 625,
            "batch": 125,
        },
        about="half of the classes are dear; with and without regard to it; ours",
        expect=(
            "accuracy after spending 625 94.9 ±1.2 (random), 93.7 ±0.8 (random_blind), "
            "96.7 ±0.4 (alc), 96.8 ±0.8 (alc_blind)"
        ),
    ),
    "mnist": Preset(
        {
            "dataset": "mnist",
            "train_split": "train[:20000]",
            "noise_include_true": True,
            # Under ten minutes on two cores.
            "methods": ("random", "entropy", "alc"),
            "budget": 5_000,
            "repeats": 5,
            "hidden": (256, 256, 256),
            "epochs": 15,
            "options": _measured(
                # With 10 the last batch falls below 97 % really wrong labels.
                8,
                "o2u_net.epochs=30",
                "o2u_net.batch_size=128",
                # As good here as a pass of its own (within 0.3 points), and a quarter
                # cheaper.
                loss_pass="training",
            ),
        },
        about="20,000 images as pixels, under ten minutes on two cores; ours",
        expect="accuracy after 5,000 labels 90.8 ±0.4 (random), 95.0 ±0.2 (alc)",
    ),
    # 10,000 images by what `robustjax learn-features` writes for
    # --dataset=cifar10 --train_split='train[:10000]' --epochs=15.
    "cifar10_simclr": Preset(
        {
            "dataset": "runs/learn_features/cifar10/features.npz",
            "standardize": True,
            "noise_include_true": True,
            "budget": 2_000,
            "batch": 500,
            "repeats": 5,
            "hidden": (256, 256, 256),
            "epochs": 15,
            "options": _measured(10, loss_pass="training"),
        },
        about="10,000 images by features of robustjax learn-features; ours",
        expect="accuracy after 2,000 labels 28.5 ±0.6 (random), 33.6 ±0.2 (alc)",
    ),
    # The paper's data sets and settings, on frozen ImageNet ResNet-101 features.
    "cifar10": Preset(
        {"dataset": "cifar10", **_PAPER},
        about="CIFAR-10, on frozen ImageNet ResNet-101 features, as published",
        expect=_NO_WEIGHTS,
        flags="--weights=resnet101.safetensors",
    ),
    "cifar100": Preset(
        {"dataset": "cifar100", **_PAPER},
        about="CIFAR-100, on frozen ImageNet ResNet-101 features, as published",
        expect=_NO_WEIGHTS,
        flags="--weights=resnet101.safetensors",
    ),
    "fashion_mnist": Preset(
        {"dataset": "fashion_mnist", **_PAPER},
        about="Fashion-MNIST, on frozen ImageNet ResNet-101 features, as published",
        expect=_NO_WEIGHTS,
        flags="--weights=resnet101.safetensors",
    ),
    # A folder with train/<class>/ and test/<class>/: tfds does not have this set.
    "caltech256": Preset(
        {"dataset": "caltech256", "image_size": 224, **_PAPER},
        about=(
            "Caltech-256 as a folder of images, "
            "on frozen ImageNet ResNet-101 features, as published"
        ),
        expect=_NO_WEIGHTS,
        flags="--weights=resnet101.safetensors",
    ),
}

DIFFUSION_PRESETS = {
    name: preset
    for name, preset in PRESETS.items()
    if "label_costs" not in preset.fields
}
"""Those that the diffusion study has as well; to it every label costs the same."""
