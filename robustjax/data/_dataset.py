"""A data set as arrays whose rows keep their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from robustjax import arrays, checks
from robustjax.data._file_rows import FileRows
from robustjax.data._names import check_class_names, check_text


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Inputs and labels, addressed by a stable index and named by stable ids.

    Row i is example i everywhere: in per-example state, in selections, in reports.
    Labels or scores that come separately are joined by `ids`, never by position.

    Attributes:
      inputs: (N, ...) uint8 images or floats; of `load_shards`, `FileRows`.
      labels: (N,) int32 class indices.
      ids: (N,) unique integers or strings.
      class_names: C names.
      name: where the data came from, for reports.
    """

    inputs: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    class_names: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        """The number of examples, N."""
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """The number of classes, C."""
        return len(self.class_names)


def make_dataset(
    inputs: Any,
    labels: Any,
    *,
    ids: Any = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
) -> Dataset:
    """Builds a `Dataset`, checking every part.

    Args:
      inputs: (N, ...) numbers; images (N, H, W, C) as uint8 or floats.
      labels: (N,) integer class indices.
      ids: (N,) unique integers or strings (as objects too); by default 0 … N-1.
      class_names: C names; by default "0" … for all classes up to the largest label.
      name: for reports.

    Raises:
      ValueError: lengths that differ, labels out of range or not integers, ids that
        are duplicate or neither integers nor strings, inputs that are no numbers or
        not finite, a class without any example, classes of one name (see
        `names.check_class_names`), names or ids that are not UTF-8.

    Example:
      >>> import numpy as np
      >>> from robustjax import data
      >>> owls = data.make_dataset(np.zeros((3, 8)), [0, 1, 1], ids=["a", "b", "c"])
      >>> len(owls), data.rows_of(owls, ["c", "a"]).tolist()
      (3, [2, 0])
    """
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind == "O":
        raise ValueError("inputs: got object, expected integers, floats or booleans")
    inputs = arrays.numbers("inputs", inputs)
    if inputs.ndim < 2:
        raise ValueError(
            f"inputs: got shape {inputs.shape}, expected (N, ...) with at least one "
            "feature axis"
        )
    if 0 in inputs.shape[1:]:
        raise ValueError(
            f"inputs: got shape {inputs.shape}, expected at least one feature"
        )
    if class_names is not None:
        class_names = check_class_names(class_names)
    check_white("inputs", inputs.dtype, inputs.shape)
    count = None if class_names is None else len(class_names)
    labels = checks.labels("labels", labels, count)
    checks.same_length(inputs=inputs, labels=labels)
    checks.finite("inputs", inputs)
    if count is None:
        count = int(labels.max()) + 1
    checks.labels("labels", labels, count, need_every_class=True)
    if class_names is None:
        class_names = [str(c) for c in range(count)]
    ids = np.arange(len(labels)) if ids is None else checks.unique_ids("ids", ids)
    checks.same_length(ids=ids, labels=labels)
    check_text("ids", ids)
    return Dataset(inputs, labels, ids, tuple(class_names), name)


def check_white(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Raises `ValueError` for images, (N, H, W, C), of integers other than uint8."""
    if len(shape) == 4 and np.issubdtype(dtype, np.integer) and dtype != np.uint8:
        raise ValueError(
            f"{name}: got {dtype.name} of shape {shape}, expected images as uint8 "
            "(0 … 255) or as floats (black at 0, white at 1): other integers do not "
            "say what is white"
        )


def take(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """The data set of the given rows, ids and class names kept.

    Args:
      dataset: of N examples.
      rows: (M,) integers in 0 … N-1, or (N,) bool.

    Raises:
      ValueError: rows of another kind or out of range.

    Example:
      >>> import numpy as np
      >>> from robustjax import data
      >>> digits = data.load("digits", "train")
      >>> data.take(digits, np.array([5, 2])).ids.tolist()
      [5, 2]
    """
    rows = row_numbers("rows", rows, len(dataset))
    inputs = dataset.inputs
    return dataclasses.replace(
        dataset,
        inputs=inputs.select(rows) if isinstance(inputs, FileRows) else inputs[rows],
        labels=dataset.labels[rows],
        ids=dataset.ids[rows],
    )


def row_numbers(name: str, rows: Any, size: int) -> np.ndarray:
    """Checked rows of N examples: integers in 0 … N-1, or a mask of all.

    Raises:
      ValueError: rows of another kind or out of range.
    """
    array = arrays.numbers(name, rows, 1)
    if array.dtype == bool and len(array) == size:
        return np.flatnonzero(array)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: got {array.dtype.name} of shape {array.shape}, expected row "
            f"numbers or ({size},) bool"
        )
    outside = np.flatnonzero((array < 0) | (array >= size))
    if outside.size:
        raise ValueError(
            f"{name}: got {array[outside[0]]} at place {int(outside[0])}, expected 0 … "
            f"{size - 1}"
        )
    return array


def rows_of(dataset: Dataset, ids: Any, *, name: str = "ids") -> np.ndarray:
    """The row of each id.

    Args:
      dataset: where to look.
      ids: (M,) unique ids. Where the data set's ids are strings, anything that
        prints alike matches (a CSV file knows no types), and likewise for integers.
      name: what to call the argument in an error.

    Returns:
      (M,) row numbers.

    Raises:
      ValueError: duplicate or unknown ids.
    """
    ids = checks.unique_ids(name, ids)
    known = {str(value): row for row, value in enumerate(dataset.ids.tolist())}
    wanted = [str(value) for value in ids.tolist()]
    unknown = [value for value in wanted if value not in known]
    if unknown:
        raise ValueError(
            f"{name}: {len(unknown)} id(s) do not occur in {dataset.name} (first: "
            f"{unknown[0]!r}; its ids look like {next(iter(known))!r})"
        )
    return np.array([known[value] for value in wanted], np.int64)


def join(
    dataset: Dataset, ids: Any, values: Any, *, name: str = "values"
) -> np.ndarray:
    """Brings values given by id into the data set's order.

    Args:
      dataset: whose order is wanted.
      ids: (N,) ids, every one of the data set's exactly once, in any order.
      values: (N, ...) one value per id.
      name: what to call the values in an error.

    Returns:
      (N, ...) values, row i for example i.

    Raises:
      ValueError: lengths that differ, duplicate, unknown or missing ids.
    """
    values = np.asarray(values)
    if values.ndim == 0 or len(values) != np.size(ids):
        raise ValueError(
            f"{name}: lengths differ ({name} {values.shape[:1]}, ids {np.size(ids)}), "
            "expected one value for each id"
        )
    rows = rows_of(dataset, ids)
    if len(rows) != len(dataset):
        present = np.zeros(len(dataset), bool)
        present[rows] = True
        first = dataset.ids[np.flatnonzero(~present)[0]]
        raise ValueError(
            f"{name}: {len(dataset) - len(rows)} example(s) of {dataset.name} have no "
            f"value (first: id {first.item()!r}), expected one for each"
        )
    joined = np.empty_like(values)
    joined[rows] = values
    return joined


def check_clean_labels(dataset: Dataset, clean_labels: Any, *, name: str) -> None:
    """Compares supplied clean labels with the loaded ones, before anything trains.

    Files of noisy labels usually carry the clean ones too. A disagreement means that
    their order is not the data set's (on-disk order is often shuffled).

    Args:
      dataset: whose `labels` are the clean ones.
      clean_labels: (N,) integers in the data set's order.
      name: where they came from.

    Raises:
      ValueError: lengths that differ or any label that disagrees.
    """
    clean = checks.labels(name, clean_labels, dataset.num_classes)
    if len(clean) != len(dataset):
        raise ValueError(
            f"{name}: got {len(clean)}, expected one for each of the {len(dataset)} "
            f"examples of {dataset.name}"
        )
    differ = np.flatnonzero(clean != dataset.labels)
    if differ.size:
        row = int(differ[0])
        raise ValueError(
            f"{name}: {differ.size} of {len(dataset)} clean labels disagree with "
            f"{dataset.name} (first: id {dataset.ids[row].item()!r}, {clean[row]} "
            f"against {dataset.labels[row]}); are they in the data set's order? "
            "Join them by id"
        )
