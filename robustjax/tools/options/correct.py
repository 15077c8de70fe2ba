r"""Correct the labels of your own data set, with you as the oracle.

    robustjax correct --dataset=features.npz --folder=correction

    robustjax find-issues --dataset=features.npz --out=issues.csv
    robustjax correct --dataset=features.npz --scores=issues.csv --folder=correction

    robustjax correct --dataset=features.npz --costs=costs.csv --round-budget=40 \
        --folder=correction

trains on the labels as they are and writes `correction/to_label.csv`: the examples
to look at next. Answer on the page `correction/to_label.html`, which saves a
`labeled.csv` for you to put into the folder, or fill the column `new_label` of the
table and save it as `correction/labeled.csv`; then run the same command again: it takes
your answers in, retrains, and asks the next questions. What is left blank stays open;
"don't know" keeps its label and is not asked about again; "none of them" is without a
label. `correction/labels.csv` always holds the labels so far, `answers.jsonl` who said
what when (a column `annotator` may name who). Answers of earlier rounds can be changed
in their files under `correction/answers/`, or by --amend.
"""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    AnswerFlags,
    MlpFlags,
    OwnLabelFlags,
    SeedFlags,
    TrainingFlags,
)

METHODS = (
    *("random", "entropy", "corr_active", "loss_ent", "label_cleaning", "dalc"),
    *("dalc_expert", "robust", "diffusion", "alc", "label_issues", "o2u_net"),
    "simifeat",
)


@dataclasses.dataclass(frozen=True)
class CorrectConfig(SeedFlags, TrainingFlags, MlpFlags, AnswerFlags, OwnLabelFlags):
    """The options."""

    hidden: tuple[int, ...] = (256, 256, 256)
    epochs: int = 20
    learning_rate: float = 0.01
    folder: str | None = option(None, "Where questions, answers and labels live.")
    batch: int | None = option(
        None, "Questions at a time; may change between rounds; by default 100.", low=1
    )
    costs: str | None = option(
        None,
        "CSV with columns id and cost, above 0: the highest score per cost is asked "
        "about first, as far as --round_budget goes, instead of --batch.",
    )
    round_budget: float | None = option(
        None, "What the questions of a round may cost, in the unit of --costs."
    )
    cost_blind: bool = option(
        False, "Ask by score alone, as far as --round_budget goes."
    )
    method: str | None = option(
        None,
        "Which examples to ask about; by default label_issues, or alc where half of "
        "the labels seem wrong, which is estimated when the folder is begun.",
        choices=METHODS,
    )
    scores: str | None = option(
        None,
        "CSV with columns id and score, as find-issues writes: the lowest are asked "
        "about first, instead of by --method.",
    )
    options: tuple[str, ...] = option(
        (), "Of the method, such as weight_step=0.2; o2u_net needs a noise_rate."
    )
