"""Flags of the noisy-label launcher.

Settings are made of two layers: what belongs to the data set (`presets`) and, per
method, data set and noise, what belongs to the method (`method_presets`). Flags that
are given win over both.
"""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import (
    EpochRunFlags,
    NoiseFlags,
    ParallelFlags,
    StreamFlags,
)
from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    DataFlags,
    NetworkFlags,
    OptimizerFlags,
    StandardizeFlags,
)


@dataclasses.dataclass(frozen=True)
class NoisyLabelsConfig(
    EpochRunFlags,
    ParallelFlags,
    OptimizerFlags,
    NetworkFlags,
    NoiseFlags,
    StandardizeFlags,
    StreamFlags,
    DataFlags,
):
    """All settings of one method on one data set; the flags of the launcher."""

    validation_fraction: float = option(
        0.0, "Share of the training set, with its noisy labels, held out for selection."
    )
    normalize: bool = option(
        True, "Give the channels of images zero mean and unit deviation."
    )
    options: tuple[str, ...] = option(
        (), "Of the method, as name=value or (with several methods) method.name=value."
    )
    watch_examples: int = option(
        5000,
        "Training examples on which memorisation is followed; 0: none.",
        low=0,
    )


# What does not depend on the method, whose values must agree between methods.
SHARED_FIELDS = (
    *(
        field.name
        for group in (
            DataFlags,
            StandardizeFlags,
            StreamFlags,
            NoiseFlags,
            EpochRunFlags,
            ParallelFlags,
        )
        for field in dataclasses.fields(group)
    ),
    "validation_fraction",
    "watch_examples",
)
