"""From options to data sets."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from robustjax import checks, data
from robustjax.data._table_files import TABLE_SUFFIXES
from robustjax.data._table_labels import SKIP_UNLABELED
from robustjax.tools.array_pairs import is_pair, load_pair
from robustjax.tools.decoded_cache import decoded_folder
from robustjax.tools.options.groups import OwnDataFlags, OwnLabelFlags

# Classes that are named.
_SHOWN = 12


def data_folder(flag: str | None) -> str | None:
    """The tfds folder: as given, or `$ROBUSTJAX_DATA/tfds`, or tfds' own default."""
    root = os.environ.get("ROBUSTJAX_DATA")
    return os.path.join(root, "tfds") if flag is None and root else flag


def load(
    name: str,
    split: str,
    *,
    data_dir: str | None,
    image_size: int = 0,
    label_key: str | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    skip_unlabeled: bool = False,
) -> data.Dataset:
    """A split of a data set, as `data.load` reads it; images are decoded once.

    Args:
      name: see `data.load`.
      split: likewise.
      data_dir: the tfds folder, see `data_folder`.
      image_size: that images of a folder are resized to; 0 keeps theirs.
      label_key: which tfds feature, or column of a table, is the label.
      id_column: which column of a table names the examples.
      text_column: which column of a table is for people to read.
      image_column: which column of a table has the paths of images.
      skip_unlabeled: leave out a table's rows without a label.

    Raises:
      ValueError: a source that cannot be read.
    """
    return data.load(
        name,
        split,
        data_dir=data_folder(data_dir),
        label_key=label_key,
        id_column=id_column,
        text_column=text_column,
        image_column=image_column,
        skip_unlabeled=skip_unlabeled,
        image_size=image_size or None,
        cache_dir=decoded_folder(),
    )


def load_splits(
    name: str,
    train_split: str,
    test_split: str,
    *,
    data_dir: str | None,
    image_size: int,
) -> tuple[data.Dataset, data.Dataset]:
    """Training and test set.

    Args:
      name: see `data.load`.
      train_split: the first.
      test_split: the second.
      data_dir: the tfds folder, see `data_folder`.
      image_size: that images of a folder are resized to; 0 keeps theirs.

    Raises:
      ValueError: a source that cannot be read, inputs that keep their size though
        another one was asked for, or splits with different classes.
    """
    found = []
    for flag, split in (("train_split", train_split), ("test_split", test_split)):
        with checks.errors_name(path="dataset", split=flag):
            found.append(load(name, split, data_dir=data_dir, image_size=image_size))
    train, test = found
    check_size(train.inputs, image_size)
    if train.class_names != test.class_names:
        raise ValueError(
            "test_split: its classes differ from those of the training set"
        )
    return train, test


def check_size(inputs: np.ndarray, image_size: int, flag: str = "image_size") -> None:
    """Raises `ValueError` unless images have the size that was asked for.

    Only images of files are resized; others would keep theirs without a word.

    Args:
      inputs: (N, ...).
      image_size: 0 asks for none.
      flag: of the size.
    """
    shape = inputs.shape[1:]
    if image_size and (inputs.ndim != 4 or shape[:2] != (image_size, image_size)):
        raise ValueError(
            f"{flag}: got {image_size} for inputs of shape {shape}, which keep it: "
            "only images of files are resized"
        )


def load_foreign(
    name: str,
    split: str,
    target: data.Dataset,
    *,
    data_dir: str | None,
    image_size: int = 0,
    allow_overlap: bool = False,
    most: int | None = None,
    rng: np.random.Generator | None = None,
) -> data.Dataset:
    """Images of another data set, shaped like those of a target.

    Args:
      name: see `data.load`.
      split: likewise.
      target: whose images they are to look like, and whose classes they may not have.
      data_dir: the tfds folder, see `data_folder`.
      image_size: that images of a folder are resized to first; 0 keeps theirs.
      allow_overlap: whether they may have classes of the target's names.
      most: at most so many, of which the others are never resized; by default all.
      rng: draws them, where there are more.

    Raises:
      ValueError: a source that cannot be read, a class name of the target, or images
        that do not become the target's, see `data.match_images`.
    """
    other = load(name, split, data_dir=data_dir, image_size=image_size)
    if not allow_overlap:
        data.check_no_class_overlap(target.class_names, other.class_names)
    if most is not None and len(other) > most:
        assert rng is not None
        other = data.take(other, rng.choice(len(other), most, replace=False))
    images = data.match_images(
        other.inputs,
        target.inputs.shape[1:],
        like_dtype=target.inputs.dtype,
        convert_color=True,
    )
    return dataclasses.replace(other, inputs=images)


def load_own(config: OwnDataFlags, *, skip_unlabeled: bool = False) -> data.Dataset:
    """A data set of one's own.

    Args:
      config: whose `dataset` is given.
      skip_unlabeled: leave out a table's rows without a label.

    Raises:
      ValueError: a source that cannot be read.
    """
    assert config.dataset is not None
    if getattr(config, "embed_column", None) is not None:
        assert isinstance(config, OwnLabelFlags)
        found = _load_texts(config, skip_unlabeled=skip_unlabeled)
        check_size(found.inputs, config.image_size)
        return found
    if getattr(config, "embedding_model", None) is not None:
        raise ValueError("embedding_model: needs --embed-column")
    with (
        checks.errors_name(
            path="dataset", label_key="label_column", text_column="texts"
        ),
        _advice_of_verbs(),
    ):
        found = load(
            config.dataset,
            config.split,
            data_dir=config.data_dir,
            image_size=config.image_size,
            label_key=config.label_column,
            id_column=config.id_column,
            text_column=text_column_of(config),
            image_column=config.image_column,
            skip_unlabeled=skip_unlabeled,
        )
    check_size(found.inputs, config.image_size)
    return found


def _load_texts(config: OwnLabelFlags, *, skip_unlabeled: bool) -> data.Dataset:
    # Models of sentences take seconds to import.
    from robustjax.tools.text_embedding import check_embedding, embedding_of
    from robustjax.training import StopRequest

    assert config.dataset is not None
    assert config.embed_column is not None
    if not is_table(config.dataset):
        raise ValueError(
            f"embed_column: got {config.embed_column!r} for {config.dataset!r}, "
            "expected it for tables alone"
        )
    check_embedding(config.embedding, config.embedding_model, None)
    embed = embedding_of(config.embedding, config.embedding_model, None)
    with checks.errors_name(source="dataset"), _advice_of_verbs():
        return data.load_text_table(
            config.dataset,
            config.embed_column,
            config.split,
            embed=lambda texts: embed(texts, StopRequest()),
            label_column=config.label_column,
            id_column=config.id_column,
            skip_unlabeled=skip_unlabeled,
        )


@contextlib.contextmanager
def _advice_of_verbs() -> Iterator[None]:
    """Errors of the library name an argument that the command has no option for."""
    try:
        yield
    except ValueError as error:
        if SKIP_UNLABELED not in str(error):
            raise
        advice = " (robustjax find-issues --issues=all lists such rows)"
        text = str(error).replace(SKIP_UNLABELED, advice)
        raise ValueError(text) from None


def text_column_of(config: OwnDataFlags) -> str | None:
    """The column that people read: of `--texts`, if that is no file, or embedded."""
    texts = getattr(config, "texts", None)
    if texts is None:
        # What is read to be embedded, people can read, too.
        embedded: str | None = getattr(config, "embed_column", None)
        return embedded
    if not is_table(config.dataset) or pathlib.Path(texts).is_file():
        return None
    return str(texts)


def is_table(dataset: str | None) -> bool:
    """Whether a data set is a table by its name."""
    return pathlib.Path(dataset or "").suffix.lower() in TABLE_SUFFIXES


def classes_found(dataset: data.Dataset) -> str:
    """A sentence on the examples and classes of a data set."""
    names = dataset.class_names
    numbers = [int(name) for name in names if name.isdecimal()]
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    if len(numbers) == len(names) and np.all(np.diff(numbers) == 1):
        shown = f"{numbers[0]} … {numbers[-1]}"
        if numbers[0] == 1:
            shown += ", which count from 1"
    return f"{dataset.name}: {len(dataset):,} examples, {len(names)} classes: {shown}"


def refuse_columns(config: OwnDataFlags) -> None:
    """Raises `ValueError` for options of tables, where the data set is none.

    What `data.load` reads it refuses itself.
    """
    columns = ("label_column", "id_column", "image_column", "embed_column")
    for name in (*columns, "embedding_model"):
        given = getattr(config, name, None)
        if given is not None:
            raise ValueError(
                f"{name}: got {given!r} for {config.dataset!r}, expected it for tables "
                "alone"
            )


def load_labeled(
    config: OwnLabelFlags, report: Callable[[str], None] = lambda line: None
) -> data.Dataset:
    """A data set of one's own, its labels from a file if they are elsewhere.

    Args:
      config: whose `dataset` is given.
      report: called with what was found.

    Raises:
      ValueError: a source that cannot be read, or labels that do not join.
    """
    if is_pair(config.dataset):
        assert config.dataset is not None
        refuse_columns(config)
        dataset = load_pair(config.dataset, config.labels, config.split)
        check_size(dataset.inputs, config.image_size)
        report(classes_found(dataset))
        return dataset
    dataset = load_own(config)
    report(classes_found(dataset))
    if config.labels is None:
        return dataset
    rows, labels = data.read_labels(config.labels, dataset, "label", name="labels")
    given = data.join(dataset, dataset.ids[rows], labels, name="labels")
    return dataclasses.replace(dataset, labels=given)


def load_partly_labeled(
    config: OwnLabelFlags, report: Callable[[str], None] = lambda line: None
) -> tuple[data.Dataset, np.ndarray]:
    """As `load_labeled`, of examples that have a label, and the ids of the others.

    Args:
      config: whose `dataset` is given.
      report: called with what was found.

    Returns:
      The labelled examples, and (M,) ids of those without a label: blank in a table,
      blank or absent in the file of labels.

    Raises:
      ValueError: a source that cannot be read, or labels that do not join.
    """
    assert config.dataset is not None
    if is_pair(config.dataset):
        dataset = load_labeled(config, report)
        return dataset, dataset.ids[:0]
    dataset = load_own(config, skip_unlabeled=is_table(config.dataset))
    report(classes_found(dataset))
    missing: list[np.ndarray] = []
    if is_table(config.dataset):
        missing.append(
            data.unlabeled_ids(
                config.dataset,
                config.split,
                label_column=config.label_column,
                id_column=config.id_column,
                image_column=config.image_column,
            )
        )
    if config.labels is not None:
        rows, labels = data.read_labels(config.labels, dataset, "label", name="labels")
        if not rows.size:
            raise ValueError(f"labels: {config.labels!r} has no label")
        order = np.argsort(rows)
        missing.append(np.delete(dataset.ids, rows))
        dataset = dataclasses.replace(
            data.take(dataset, rows[order]), labels=labels[order]
        )
    return dataset, np.concatenate(missing) if missing else dataset.ids[:0]
