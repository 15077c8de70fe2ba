r"""List the examples of your own data set that conflict with its bias, if it has one.

    robustjax find-bias --dataset=images.npz --out=bias
    robustjax find-bias --probabilities=outputs.npz --out=bias

A network that prefers what is easy learns what most examples of a class have in common
(the colour of the digit, the background of the bird) and fails on those that lack it,
without anyone having labelled that. The first command trains such a network by
generalised cross-entropy, and one against it as LfF does; the second takes what
networks of your own say: an .npz file with `pred_probs` (N, C), and as far as you have
them `labels`, `ids`, `features` (N, d) of the last layer and `debiased_pred_probs`.

The folder gets `examples.csv`, the most suspicious first: id, given and predicted
label, three scores (BiaSwap's, LfF's, the gradient norm; high is suspicious), whether
the score named by --by is above its threshold, and the rank by it. `summary.csv` says
how many are suspected by each score, in all (no label) and by given label; `scores.png`
shows the scores; `outputs.npz` is what the second command takes. Under label noise
wrong labels are suspected alike: look at the examples.
"""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import (
    NetworkFlags,
    OwnLabelFlags,
    SeedFlags,
    TrainingFlags,
)

SCORES = ("swap", "relative_difficulty", "gradient_norm")
RULES = ("mean", "otsu", "largest_gap")
SCOPES = ("all", "class")


@dataclasses.dataclass(frozen=True)
class FindBiasConfig(SeedFlags, TrainingFlags, NetworkFlags, OwnLabelFlags):
    """The options."""

    hidden: tuple[int, ...] = (100, 100, 100)
    epochs: int = option(
        5, "Few: a network that is trained on knows conflicting examples, too.", low=1
    )
    learning_rate: float = option(1e-3, "Of Adam.")
    probabilities: str | None = option(
        None, ".npz file of what networks say, see above; trains if not given."
    )
    out: str | None = option(None, "Folder for the results.")
    by: str = option("swap", "Split and rank by.", choices=SCORES)
    rule: str = option("otsu", "Of the threshold.", choices=RULES)
    scope: str = option(
        "all", "One threshold for all, or one of every class.", choices=SCOPES
    )
    bias: str | None = option(
        None,
        "CSV with columns id and bias, a class each, if known: who does conflict. "
        "Says how well the scores find them.",
    )
