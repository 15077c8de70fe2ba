r"""Label your own unlabelled pool, foreign examples included, with you as the oracle.

    robustjax label --dataset=pool.npz --classes=owl,crow --folder=labelling

writes `labelling/to_label.csv`: the examples to look at first. Answer on the page
`labelling/to_label.html`, which saves a `labeled.csv` for you to put into the folder,
or fill the column `new_label` of the table with one of your classes, or with `ood` for
what belongs to none, and save it as `labelling/labeled.csv`; then run the same command
again: it takes your answers in, trains, and asks the next questions. What is left blank
stays open; "don't know" is not asked about again. `labelling/labels.csv` always holds
the labels so far. Answers of earlier rounds can be changed in their files under
`labelling/answers/`, or by --amend. Stop whenever you like.
"""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option
from robustjax.tools.options.groups import AnswerFlags, OwnDataFlags
from robustjax.tools.options.open_set import OpenSetFlags

METHODS = (
    *("random", "conf", "conf_logit", "margin", "entropy", "ll", "coreset", "badge"),
    *("ccal", "similar_flcmi", "similar_flcg", "similar_logdet", "sum", "product"),
    "mqnet",
)


@dataclasses.dataclass(frozen=True)
class LabelConfig(OpenSetFlags, AnswerFlags, OwnDataFlags):
    """The options."""

    dataset: str | None = option(
        None,
        "An .npz file with the array inputs (and ids, if there are), or a "
        "folder of images, a table or a tfds name whose own labels are not looked at.",
    )
    classes: tuple[str, ...] = option((), "The classes you want, at least two.")
    known: str | None = option(
        None, "CSV with columns id and label: what is labelled already."
    )
    folder: str | None = option(None, "Where questions, answers and labels live.")
    batch: int = option(50, "Questions at a time; may change between rounds.", low=1)
    method: str = option("mqnet", "Which examples to ask about.", choices=METHODS)
    options: tuple[str, ...] = option((), "Of the method, such as mqnet.margin=0.1.")
    channels: tuple[int, ...] = (16, 32, 64)
    hidden: tuple[int, ...] = (256, 128)
    downsampling: str = "stride"
    pooling: str = "average"
    epochs: int = 10
    steps_per_epoch: int = 40
    batch_size: int = 32
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    schedule: str = "cosine"
    weight_decay: float = 5e-4
    embedding_network: str = "small_cnn"
    embedding_channels: tuple[int, ...] = (16, 32, 64)
    embedding_epochs: int = 8
    embedding_optimizer: str = "adam"
    embedding_learning_rate: float = 1e-3
    embedding_projection: tuple[int, ...] = (128, 64)
