"""Groups of fields that configurations inherit: an option means the same anywhere.

A group that extends another is shown under its title. What a verb or launcher cannot
honour it does not inherit: no option is without effect.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from robustjax.tools.command.fields import option

EMBEDDINGS = ("tfidf", "minilm")
"""How texts become vectors."""


@dataclasses.dataclass(frozen=True)
class SourceFlags:
    """How any data set is read."""

    group: ClassVar[str] = "Data"
    data_dir: str | None = option(None, "tfds folder; $ROBUSTJAX_DATA/tfds if set.")
    image_size: int = option(
        0, "Resize images of a folder to this size; 0: keep theirs.", low=0
    )


@dataclasses.dataclass(frozen=True)
class DataFlags(SourceFlags):
    """A data set with two splits."""

    group: ClassVar[str] = "Data"
    dataset: str = option(
        "digits", "digits, an .npz file, an image folder, or a tfds name."
    )
    train_split: str = option("train", "Training split; tfds slices allowed.")
    test_split: str = option("test", "Split to measure on.")


@dataclasses.dataclass(frozen=True)
class StandardizeFlags:
    """What is done to vectors."""

    group: ClassVar[str] = "Data"
    standardize: bool = option(
        False, "Give every input number zero mean and unit deviation (vectors)."
    )


@dataclasses.dataclass(frozen=True)
class OwnDataFlags(SourceFlags):
    """A data set of one's own."""

    group: ClassVar[str] = "Data"
    dataset: str | None = option(
        None,
        "An .npz or .npy file of inputs or features, a table (.csv, .tsv, .parquet, "
        ".feather), an export of CVAT (.xml) or Label Studio (.json), an image folder, "
        "a folder that Hugging Face datasets saved, or a tfds name.",
    )
    split: str = option("train", "Its split; of a table, its column of that name.")
    label_column: str | None = option(
        None, "Of a table: its labels, text or integers; by default label."
    )
    id_column: str | None = option(
        None, "Of a table: what names its rows; by default id, or else their numbers."
    )
    image_column: str | None = option(
        None,
        "Of a table: paths of images, seen from its folder, which are the inputs; they "
        "name the rows where nothing else does.",
    )


@dataclasses.dataclass(frozen=True)
class OwnLabelFlags(OwnDataFlags, StandardizeFlags):
    """A data set of one's own with labels that are in doubt."""

    group: ClassVar[str] = "Data"
    labels: str | None = option(
        None,
        "CSV with columns id and label: the labels in doubt, if elsewhere; beside an "
        ".npy file of inputs, an .npy file of labels.",
    )
    embed_column: str | None = option(
        None, "Of a table: texts, whose embeddings are the inputs."
    )
    embedding: str = option(
        "tfidf", "embed_column: how texts are embedded.", choices=EMBEDDINGS
    )
    embedding_model: str | None = option(
        None, "embedding=minilm: folder or wheel of the model."
    )


@dataclasses.dataclass(frozen=True)
class PageFlags:
    """Of the page in the browser beside a table."""

    group: ClassVar[str] = "Page"
    page: bool = option(
        True, "Write an HTML page beside the table, to look at examples and answer."
    )
    pictures: str | None = option(
        None, "Folder of pictures to show: ids are paths of files below it."
    )
    texts: str | None = option(
        None,
        "What there is to read of the examples: CSV with columns id and text, or a "
        "column of the table itself, which then is no input.",
    )
    neighbors: int = option(
        4, "Nearest labelled examples that are shown beside each.", low=0
    )


@dataclasses.dataclass(frozen=True)
class AnswerFlags(PageFlags):
    """Of a folder in which people answer."""

    group: ClassVar[str] = "Answers"
    amend: str | None = option(
        None,
        "CSV with columns id and new_label, a JSON export of Label Studio, or an XML "
        "export of CVAT (for images 1.1): other answers to questions of any round, or "
        "about any example. What follows from them is computed again.",
    )


@dataclasses.dataclass(frozen=True)
class MlpFlags:
    """Of multi-layer perceptrons, and of dense layers anywhere."""

    group: ClassVar[str] = "Network"
    hidden: tuple[int, ...] = option(
        (128,), "Widths of the dense layers of mlp and small_cnn.", low=1
    )
    dtype: str = option("float32", "What networks compute in: float32 or bfloat16.")


@dataclasses.dataclass(frozen=True)
class NetworkFlags(MlpFlags):
    """Of networks by name, and how their images are varied in training."""

    group: ClassVar[str] = "Network"
    network: str = option(
        "mlp",
        "mlp, small_cnn, nine_layer_cnn, four_by_four_cnn, cifar_resnet20, resnet18, "
        "resnet18_imagenet, resnet34, resnet50, preact_resnet18, wrn28_2 or wrn28_10.",
    )
    channels: tuple[int, ...] = option(
        (),
        "Channels of small_cnn's blocks; the first is the width of other networks.",
        low=1,
    )
    downsampling: str = option("max_pool", "Of small_cnn: max_pool or stride.")
    pooling: str = option("flatten", "Of small_cnn: flatten or average.")
    augment: str = option(
        "none", "Weak augmentation of training images: none, flip, crop or crop_flip."
    )


@dataclasses.dataclass(frozen=True)
class TrainingFlags:
    """Of every training."""

    group: ClassVar[str] = "Optimizer"
    epochs: int = option(30, "Epochs of a training; schedules count them.", low=1)
    batch_size: int = option(128, "Examples per training step.", low=1)
    learning_rate: float = option(0.1, "Highest learning rate.")


@dataclasses.dataclass(frozen=True)
class SgdFlags(TrainingFlags):
    """Of SGD whose rate drops."""

    group: ClassVar[str] = "Optimizer"
    momentum: float = option(0.9, "Of SGD.")
    weight_decay: float = option(0.0, "Coupled, as in PyTorch's SGD.")
    drop_at: tuple[float, ...] = option(
        (), "When the rate drops: shares of the epochs (below 1), or epochs."
    )
    drop_factor: float = option(0.1, "Factor of a drop.")


@dataclasses.dataclass(frozen=True)
class OptimizerFlags(SgdFlags):
    """Of optimisers and schedules by name; drops are those of schedule=steps."""

    group: ClassVar[str] = "Optimizer"
    optimizer: str = option("sgd", "sgd, adam, or co_teaching (Adam and its schedule).")
    schedule: str = option(
        "constant", "constant, cosine, warm_restarts, steps or one_cycle."
    )
    final_factor: float = option(
        0.0, "schedule=cosine or warm_restarts: last rate over highest."
    )
    restart_epochs: int = option(
        10, "schedule=warm_restarts: epochs between restarts of the cosine.", low=1
    )
    decay_from_epoch: int = option(
        0,
        "optimizer=co_teaching: when the rate falls, counted from 1; 0: at 0.4.",
        low=0,
    )
    nesterov: bool = option(False, "Of SGD.")
    clip_norm: float = option(0.0, "Clip the gradient to this norm; 0: not at all.")


@dataclasses.dataclass(frozen=True)
class SeedFlags:
    """Of everything that is drawn."""

    group: ClassVar[str] = "Run"
    # JAX's keys take 32 bits: a larger seed would be another one without a word.
    seed: int = option(0, "Of everything that is drawn.", low=0, high=2**32 - 1)
