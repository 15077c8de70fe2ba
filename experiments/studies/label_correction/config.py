"""Flags of the active label correction launcher.

Values that Kim (ECCV 2022) gives: 80 % of the labels corrupted, batches of 1,000 up
to 15,000 labels, 10 repeats, SGD with learning rate 0.01, momentum 0.9, weight decay
1e-4 and a drop by 10 every 10 epochs, frozen ResNet-101 features and four fully
connected layers; and, as defaults of ALC's options, k = 10, 10 diffusion steps of 0.1
and weight step 0.1. The paper gives no widths, batch size, number of epochs,
candidate-set size or resolution; those are ours.
"""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import NoiseFlags, RunFlags
from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    DataFlags,
    MlpFlags,
    SgdFlags,
    StandardizeFlags,
)


@dataclasses.dataclass(frozen=True)
class RoundFlags(RunFlags, SgdFlags, MlpFlags, NoiseFlags, StandardizeFlags, DataFlags):
    """What does not depend on the methods."""

    noise: str = "uniform"
    noise_rate: float = 0.8
    hidden: tuple[int, ...] = (1024, 512, 256)
    learning_rate: float = 0.01
    # Every ten epochs; whatever drops would come later, no step is left by then.
    drop_at: tuple[float, ...] = tuple(range(10, 101, 10))
    weight_decay: float = 1e-4
    repeats: int = 10

    features: str | None = option(
        None, "Extract features by resnet18, resnet50 or resnet101 first."
    )
    weights: str | None = option(
        None, "State dict for --features: .safetensors, .npz or .pth."
    )
    feature_image_size: int = option(
        224, "Images enter it at this size; 0: theirs.", low=0
    )
    feature_batch_size: int = option(64, "Images per call of it.", low=1)
    feature_cache: str = option("runs/features", "Where extracted features are kept.")

    budget: int = option(15_000, "G, labels to ask for.")
    batch: int = option(1_000, "Q, labels per round.")


@dataclasses.dataclass(frozen=True)
class CorrectionConfig(RoundFlags):
    """All settings of one study; the flags of the launcher."""

    methods: tuple[str, ...] = option(
        ("random", "entropy", "robust", "alc"),
        "Methods to run, or all; label=method gives one another name.",
    )
    options: tuple[str, ...] = option(
        (), "Of methods, such as alc.weight_step=0.2; several numbers are 1:2."
    )
    label_costs: str | None = option(
        None,
        "lognormal:0.5 (a deviation; the mean is 1), classes:1:1:5 (by given label) or "
        "a CSV with columns id and cost; --budget and --batch are then costs.",
    )
    cost_blind: tuple[str, ...] = option(
        (), "Which of --methods ask by score alone, not by score per cost."
    )
