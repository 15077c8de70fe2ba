"""Options of classifiers and contrastive networks on a pool with foreign examples."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import NetworkFlags, OptimizerFlags, SeedFlags

VARIANTS = {
    "in_only": "in_only",
    "ood_class": "ood_class",
    "taufe": "taufe",
    "both": "ood_class_taufe",
}
"""Names of what labelled foreign examples do in training -> the library's."""


@dataclasses.dataclass(frozen=True)
class EmbeddingFlags:
    """Of the contrastive networks that CSI and CCAL train on the pool."""

    group: ClassVar[str] = "Contrastive networks"
    embedding_network: str = option("resnet18", "As network; of CSI and of CCAL.")
    embedding_channels: tuple[int, ...] = option((), "As channels.", low=1)
    embedding_hidden: tuple[int, ...] = option((), "As hidden.", low=1)
    embedding_pooling: str = option(
        "average", "Of a small_cnn among them: flatten or average."
    )
    embedding_epochs: int = option(1000, "Epochs of each contrastive network.", low=1)
    embedding_batch_size: int = option(
        64, "Images per step; CSI makes eight views of each, SimCLR two.", low=1
    )
    embedding_optimizer: str = option("lars", "lars (with a warm-up) or adam (cosine).")
    embedding_learning_rate: float = option(1.0, "Highest learning rate.")
    embedding_projection: tuple[int, ...] = option(
        (512, 128), "Widths of the projection heads.", low=1
    )
    embedding_flip: bool = option(
        True, "Whether mirror images mean the same; not so for digits."
    )
    embedding_crop: float = option(0.08, "Smallest part of an image in a view.")


@dataclasses.dataclass(frozen=True)
class OpenSetFlags(SeedFlags, OptimizerFlags, NetworkFlags, EmbeddingFlags):
    """Of the classifier, and of what is trained before it."""

    group: ClassVar[str] = "Network"
    classifier_variant: str = option(
        "in_only", "Labelled OOD in training: in_only, ood_class, taufe or both."
    )
    taufe_weight: float = option(0.1, "classifier_variant=taufe or both: lambda.")
    steps_per_epoch: int = option(
        100, "Steps per epoch, however much is labelled.", low=1
    )
