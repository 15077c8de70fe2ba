r"""Choose which part of your own data set to keep, best first.

    robustjax keep --dataset=table.csv --label-column=species --fraction=0.2 \
        --out=kept.csv
    robustjax keep --features=features.npy --probabilities=predicted.npy \
        --fraction=0.2 --out=kept.csv
    robustjax keep --features=all.npz --probabilities=all.npz --labels=all.npz \
        --ids=all.npz --method=prune4rel --balanced --fraction=0.2 --out=kept.csv

The first trains a perceptron for a few epochs on the labels as they are, for what the
method wants to know. The others are told: features (N, d) and probabilities (N, C) are
those of a classifier that was trained on the noisy labels for a few epochs; some
methods need one of them only, or the given labels (N,), or what training has recorded
(`transforms.learning_record`). Every file is an .npy file, or an .npz file that holds
an array by the name of the option; where it has `ids` (beside probabilities maybe
`class_names`, too), these join it to the data set, and without one they must be the
same in all files. The table has a row per example to keep, in order of
selection: its place, its index, its id and label if given, and what it was worth when
it was picked.
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
from robustjax.tools.options.outputs import FORMATS

METHODS = (
    *("uniform", "small_loss", "most_confident", "margin", "k_center", "forgetting"),
    *("grand", "el2n", "ssp", "moderate", "ccs", "prune4rel", "prune4rel_balanced"),
)


@dataclasses.dataclass(frozen=True)
class KeepConfig(SeedFlags, TrainingFlags, MlpFlags, OwnLabelFlags):
    """The options. Those of one method alone are None unless given."""

    features: str | None = option(None, "File of features (N, d).")
    probabilities: str | None = option(None, "File of predictions (N, C).")
    labels: str | None = option(
        None,
        "File of given labels (N,), integers from 0; with --dataset a CSV with columns "
        "id and label.",
    )
    hidden: tuple[int, ...] = (256, 256, 256)
    epochs: int = 10
    learning_rate: float = 0.01
    ids: str | None = option(None, "File of ids (N,), for the table.")
    losses: str | None = option(None, "File of recorded losses (N,), for small_loss.")
    el2n: str | None = option(None, "File of recorded error norms (N,).")
    grand: str | None = option(None, "File of gradient norms (N,).")
    forgetting: str | None = option(None, "File of forgetting events (N,).")
    learned: str | None = option(None, "File of bool (N,): ever correct? Forgetting.")
    hardness: str | None = option(None, "File of scores (N,) for ccs, high is hard.")
    method: str = option("prune4rel", "Who is kept.", choices=METHODS)
    fraction: float | None = option(None, "Of the examples to keep, in (0, 1].")
    balanced: bool | None = option(
        None, "Keep equally many of every given class; --no-balanced looks at none."
    )
    out: str | None = option(None, "The file to write.")
    format: str | None = option(
        None, "Of the file; by default as its suffix says, or csv.", choices=FORMATS
    )
    confidence: str | None = option(
        None, "Prune4ReL: how sure a prediction is.", choices=("max_prob", "diff_prob")
    )
    threshold: float | None = option(
        None, "Prune4ReL: neighbours have (1 + cos) / 2 above it; 0.975 if not given."
    )
    temperature: float | None = option(None, "Prune4ReL: of tanh; 1 if not given.")
    objective: str | None = option(None, "Prune4ReL: own (as published) or coverage.")
    clusters: int | None = option(None, "ssp: prototypes; by default the classes.")
    keep: str | None = option(None, "ssp: hard or easy examples; hard if not given.")
    strata: int | None = option(None, "ccs: parts of the range; 50 if not given.")
    hard_cutoff: float | None = option(
        None, "ccs: share of the hardest to drop first; 0.1 if not given."
    )
    never_learned: str | None = option(
        None, "forgetting: never-learned examples count as most or least forgotten."
    )
    seed: int = option(
        0,
        "Of random draws, and of the order among equal scores.",
        low=0,
        high=2**32 - 1,
    )
