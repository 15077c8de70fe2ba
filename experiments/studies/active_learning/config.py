"""Flags of the open-set active-learning launcher."""

from __future__ import annotations

import dataclasses

from experiments.study.flag_groups import RunFlags
from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import DataFlags
from robustjax.tools.options.open_set import OpenSetFlags


@dataclasses.dataclass(frozen=True)
class OpenSetConfig(RunFlags, OpenSetFlags, DataFlags):
    """All settings of one study; the flags of the launcher."""

    dataset: str = "mnist"
    hidden: tuple[int, ...] = ()
    downsampling: str = "stride"
    pooling: str = "average"
    epochs: int = 200
    batch_size: int = 64
    schedule: str = "steps"
    drop_at: tuple[float, ...] = (0.5, 0.75)
    weight_decay: float = 5e-4
    repeats: int = 5

    class_split: str = option(
        "drawn",
        "Which classes are IN: a published split (cifar10, cifar100, imagenet50), "
        "drawn (anew for every repeat) or all (with --ood).",
    )
    num_in_classes: int = option(
        4, "class_split=drawn: how many classes are IN.", low=1
    )
    in_classes: tuple[str, ...] = option(
        (), "IN classes (names or indices) of every repeat, instead of class_split."
    )
    ood: tuple[str, ...] = option(
        (), "class_split=all: data sets of OOD images, in equal shares."
    )
    ood_split: str = option("train", "Split of the OOD data sets.")
    allow_overlap: bool = option(
        False, "Whether OOD sets may have classes of the data set's names."
    )
    noise_ratio: tuple[float, ...] = option(
        (0.2, 0.6), "Shares of OOD examples in the pool; one study of each."
    )
    pool_in: int = option(0, "IN examples in the pool; 0: all there are.", low=0)
    test_count: int = option(0, "IN test examples; 0: all there are.", low=0)

    per_round: float = option(500, "Cost of a round's queries at most (b).")
    rounds: int = option(
        10, "Trainings, each followed by queries; the first is on the initial set."
    )
    last_training: bool = option(
        False, "Train once more, on the answers of the last queries."
    )
    initial: int = option(
        0, "Examples labelled before round 1; 0: as per_round.", low=0
    )
    initial_shares: str = option(
        "uniform", "Of IN and OOD in the initial set: uniform (drawn) or exact."
    )
    cost_in: float = option(1.0, "What the label of an IN example costs.")
    cost_ood: float = option(1.0, "What it costs to learn that one is OOD.")

    screen: bool = option(
        False,
        "Measure in every round of an mqnet, with the answers of the whole pool, what "
        "the best function of its two scores would find; with --rounds=1 alone.",
    )

    options: tuple[str, ...] = option(
        (), "Of methods, such as mqnet.margin=0.1; see --methods."
    )
