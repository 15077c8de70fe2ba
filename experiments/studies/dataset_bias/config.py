"""Flags of the dataset-bias launcher."""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import (
    EpochRunFlags,
    NoiseFlags,
    ParallelFlags,
)
from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    DataFlags,
    NetworkFlags,
    OptimizerFlags,
)


@dataclasses.dataclass(frozen=True)
class DatasetBiasConfig(
    EpochRunFlags,
    ParallelFlags,
    OptimizerFlags,
    NetworkFlags,
    NoiseFlags,
    DataFlags,
):
    """All settings of one study; the flags of the launcher."""

    # Wrong labels come on top of the bias where a rate is given.
    noise_rate: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 256
    watch_every_epochs: int = 1

    bias: str = option(
        "colors",
        "What goes with the label: colors (of digits), corruption1 or corruption2 (of "
        "CIFAR-10), folder (numbers at the end of file names) or file (a CSV each).",
    )
    aligned_ratio: float = option(
        0.99, "Share of each training class with its own bias; colors, corruptions."
    )
    assignment: str = option(
        "file_order", "How the bias is assigned: file_order, random or bernoulli."
    )
    bias_severity: int = option(
        0, "Of colors (1-5, higher is a stronger bias) or corruptions; 0: published."
    )
    color_style: str = option("lff", "Whose colours digits have: lff or pgd.")
    swap_roles: bool = option(
        False, "Make the bias the target and the target the bias: the benign pairing."
    )
    train_bias: str | None = option(
        None, "bias=file: CSV with columns id and bias, of the training examples."
    )
    test_bias: str | None = option(None, "bias=file: the same of the test examples.")
    double_scaling: bool = option(
        False, "Of mlp: divide inputs by 255 once more, as published code does."
    )
    initialization: str = option(
        "he_normal", "Of mlp: he_normal, or torch for PyTorch's own, as published."
    )
    normalize: bool = option(
        False, "Give the channels of images zero mean and unit deviation."
    )
    methods: tuple[str, ...] = option(
        ("vanilla", "lff"),
        "Methods to run, or all; label=method gives one another name.",
    )
    options: tuple[str, ...] = option(
        (), "Of methods, such as lff.q=0.5 or jtt.factor=51."
    )
    watch_examples: int = option(
        1000,
        "Training examples of each kind (aligned, conflicting, wrongly labelled) whose "
        "loss is followed; 0: none.",
        low=0,
    )
