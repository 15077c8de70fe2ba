"""Flags of the data-pruning launcher."""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import EpochRunFlags, NoiseFlags, StreamFlags
from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    DataFlags,
    NetworkFlags,
    OptimizerFlags,
    StandardizeFlags,
)

BASELINES = (
    "uniform",
    "small_loss",
    "margin",
    "k_center",
    "forgetting",
    "grand",
    "ssp",
    "moderate",
)
PRUNE4REL = ("prune4rel", "prune4rel_balanced")


@dataclasses.dataclass(frozen=True)
class DataPruningConfig(
    EpochRunFlags,
    OptimizerFlags,
    NetworkFlags,
    NoiseFlags,
    StandardizeFlags,
    StreamFlags,
    DataFlags,
):
    """All settings of a pruning study; the flags of the launcher."""

    noise_rate: float = 0.4
    # divide_mix takes as many unlabelled examples besides those of a batch.
    learning_rate: float = 0.02
    schedule: str = "cosine"
    nesterov: bool = True
    checkpoint_every_epochs: int = option(
        0,
        "0: a training that is interrupted starts again; finished ones never do.",
        low=0,
    )

    methods: tuple[str, ...] = option(
        (*BASELINES, "ccs", *PRUNE4REL, "prune4rel_coverage"),
        "How subsets are chosen; full trains on everything once.",
    )
    fractions: tuple[float, ...] = option(
        (0.2, 0.4, 0.6, 0.8), "Of the examples to keep, in (0, 1]."
    )
    relabeler: str = option(
        "sop_plus", "What is trained on the subsets: sop_plus, divide_mix or ce."
    )
    options: tuple[str, ...] = option(
        (),
        "Of methods and of the re-labelling model, such as ccs.hard_cutoff=0.2 or "
        "sop_plus.lr_u=10; several numbers are 1:2.",
    )

    foreign: str = option(
        "",
        "Data set whose images stand in the places of some training images, whose "
        "labels stay (open-set noise); nothing: none.",
    )
    foreign_share: float = option(
        0.0, "foreign: share of the training images that are.", low=0
    )

    # What neighbourhood confidence is: measured of all subsets, maximised by some.
    confidence: str = option(
        "max_prob", "Of neighbours, measured and in Prune4ReL: max_prob or diff_prob."
    )
    threshold: float = option(
        0.975, "Likewise: neighbours have (1 + cos) / 2 above it."
    )
    temperature: float = option(1.0, "Likewise: divides what tanh is taken of.")
    evaluation_view: str = option(
        "plain", "Prune4ReL looks at images as they are (plain) or at strong views."
    )
    half_precision: bool = option(
        False, "Round what Prune4ReL gets to float16, as the published code does."
    )
    ssp_features: str | None = option(
        None, "File of self-supervised features (N, d) for ssp; by default warm-up's."
    )
    second_view: str = option(
        "strong", "sop_plus on images: strong (AutoAugment, cutout) or another weak."
    )
    warmup_epochs: int = option(
        10, "Epochs over everything before the selection.", low=1
    )
