"""Correct the labels of your own data set, with you as the oracle.

    robustjax correct --dataset=features.npz --folder=correction

    robustjax find-issues --dataset=features.npz --out=issues.csv
    robustjax correct --dataset=features.npz --scores=issues.csv --folder=correction

trains on the labels as they are and writes `correction/to_label.csv`: the examples
to look at next. Fill its column `new_label` (leave blank what you cannot decide: it
keeps its label and is not asked about again), save it as `correction/labeled.csv`, and
run the same command again: it takes your answers in, retrains, and asks the next
questions. `correction/labels.csv` always holds the labels so far.
"""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    MlpFlags,
    OwnLabelFlags,
    SeedFlags,
    TrainingFlags,
)

METHODS = (
    *("random", "entropy", "corr_active", "loss_ent", "label_cleaning", "dalc"),
    *("dalc_expert", "robust", "diffusion", "alc", "o2u_net", "simifeat"),
)


@dataclasses.dataclass(frozen=True)
class CorrectConfig(SeedFlags, TrainingFlags, MlpFlags, OwnLabelFlags):
    """The options."""

    hidden: tuple[int, ...] = (256, 256, 256)
    epochs: int = 20
    learning_rate: float = 0.01
    folder: str | None = option(None, "Where questions, answers and labels live.")
    batch: int = option(100, "Questions at a time, at most all.")
    method: str = option("alc", "Which examples to ask about.", choices=METHODS)
    scores: str | None = option(
        None,
        "CSV with columns id and score, as find-issues writes: the lowest are asked "
        "about first, instead of by --method.",
    )
    options: tuple[str, ...] = option(
        (), "Of the method, such as weight_step=0.2; o2u_net needs a noise_rate."
    )
