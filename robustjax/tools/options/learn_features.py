"""Features of images without labels, by SimCLR (Chen et al., ICML 2020).

    robustjax learn-features --dataset=images --out=features.npz

Where there is no published network for the images at hand, or no way to get one:
trains a small convolutional network by contrast and writes the features of both
splits, for the `--dataset` of any other verb. Labels serve only to say how good the
features are: a linear classifier on them against one on the features of the untrained
network. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import DataFlags, SeedFlags, TrainingFlags


@dataclasses.dataclass(frozen=True)
class LearnFeaturesConfig(SeedFlags, TrainingFlags, DataFlags):
    """The options."""

    dataset: str = "cifar10"
    out: str | None = option(None, "The .npz file to write.")
    epochs: int = 20
    batch_size: int = option(256, "Images per step, two views of each.", low=1)
    learning_rate: float = option(1e-3, "Peak of Adam's cosine schedule.")
    channels: tuple[int, ...] = option(
        (32, 64, 128), "Of a convolution and pool each.", low=1
    )
    dtype: str = option(
        "float32", "What networks compute in.", choices=("float32", "bfloat16")
    )
    projection: tuple[int, ...] = option(
        (128, 64), "Widths of the projection head.", low=1
    )
    temperature: float = option(0.5, "Of the loss.")
    flip: bool = option(True, "Whether mirrored images mean the same.")
