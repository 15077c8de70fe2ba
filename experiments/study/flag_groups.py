"""Groups of fields of studies alone; tools have the rest (`options.groups`)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import SeedFlags

GROUPS = (
    *("Data", "Noise", "Network", "Contrastive networks", "Optimizer"),
    *("Teacher", "Fine-tuning", "Run"),
)
"""Titles, in the order of `--help`."""


@dataclasses.dataclass(frozen=True)
class StreamFlags:
    """Of studies that train on more than a device or a memory holds."""

    group: ClassVar[str] = "Data"
    stream: bool = option(
        False,
        "Read training inputs as they are needed: shards (or arrays in memory) that "
        "do not fit the device. The results are the same.",
    )


@dataclasses.dataclass(frozen=True)
class NoiseFlags:
    """How labels are corrupted."""

    group: ClassVar[str] = "Noise"
    noise: str = option(
        "symmetric",
        "none, symmetric (or uniform), asymmetric, pairflip, instance, class_flip, "
        "file or key.",
    )
    noise_rate: float = option(0.5, "Share of labels that are redrawn.")
    noise_include_true: bool = option(
        False, "Whether a symmetric redraw may give the true class."
    )
    noise_count: str = option(
        "exact", "Who is redrawn: exact, exact_per_class or bernoulli."
    )
    noise_scope: str = option(
        "chosen", "noise=class_flip: redraw the chosen share, or all."
    )
    noisy_labels: str | None = option(
        None, "noise=file: CSV with columns id, label and maybe clean_label."
    )
    label_set: str | None = option(
        None, "noise=key: which human labels, say worse, aggre or random1 (cifar10_n)."
    )


@dataclasses.dataclass(frozen=True)
class RunFlags(SeedFlags):
    """Of every study."""

    group: ClassVar[str] = "Run"
    repeats: int = option(3, "Independent repeats, each with draws of its own.", low=1)


@dataclasses.dataclass(frozen=True)
class EpochRunFlags(RunFlags):
    """Of studies that follow a training epoch by epoch."""

    group: ClassVar[str] = "Run"
    watch_every_epochs: int = option(1, "How often accuracies are measured.", low=1)
    checkpoint_every_epochs: int = option(5, "0: only at the end.", low=0)


@dataclasses.dataclass(frozen=True)
class ParallelFlags:
    """Of studies whose repeats can be one program."""

    group: ClassVar[str] = "Run"
    parallel_repeats: int = option(
        0, "Repeats that train as one program; 0: all, on CPU convolutions one.", low=0
    )
