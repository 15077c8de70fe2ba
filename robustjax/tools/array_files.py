"""Arrays from `.npy` and `.npz` files that are named by flags."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from robustjax import data
from robustjax.data import read_arrays as read_arrays


class NamedRows(NamedTuple):
    """An array of a file, and what the file says of its rows and columns.

    Attributes:
      array: (N, ...).
      ids: (N,) of the rows, or None where the file has none.
      class_names: of the columns of probabilities, or None.
    """

    array: np.ndarray
    ids: np.ndarray | None
    class_names: tuple[str, ...] | None


def said_of_rows(
    array: np.ndarray, arrays: Mapping[str, np.ndarray], *, by_class: bool = False
) -> NamedRows:
    """An array with the `ids`, and maybe the `class_names`, of its file.

    Args:
      array: of the file.
      arrays: all that the file holds.
      by_class: whether the array has a column for every class.
    """
    names = arrays.get("class_names") if by_class else None
    texts = None if names is None else tuple(names.astype(str).tolist())
    return NamedRows(array, arrays.get("ids"), texts)


def in_order_of(
    dataset: data.Dataset, rows: NamedRows, *, path: str | pathlib.Path, name: str
) -> np.ndarray:
    """An array with rows by the ids of a data set, and columns by its classes.

    What the file does not say is taken to be in the data set's order.

    Args:
      dataset: whose order is wanted.
      rows: of a file.
      path: of the file, for errors.
      name: what to call the array in an error.

    Raises:
      ValueError: other ids or classes than the data set's, or other columns than the
        file has names for.
    """
    found = rows.array
    if rows.class_names is not None:
        if found.shape[1:] != (len(rows.class_names),):
            raise ValueError(
                f"{name}: got shape {found.shape} for {len(rows.class_names)} "
                "class_names, expected a column for each"
            )
        found = found[:, columns_of(dataset, rows.class_names, path=path, name=name)]
    if rows.ids is not None:
        found = data.join(dataset, rows.ids, found, name=name)
    return found


def columns_of(
    dataset: data.Dataset,
    class_names: tuple[str, ...],
    *,
    path: str | pathlib.Path,
    name: str,
) -> list[int]:
    """Which column of a file is that of each class of a data set.

    Args:
      dataset: whose classes are meant.
      class_names: of the columns.
      path: of the file, for the error.
      name: what to call the file in the error.

    Raises:
      ValueError: other classes than the data set's.
    """
    if sorted(class_names) != sorted(dataset.class_names):
        raise ValueError(
            f"{name}: {str(path)!r} has columns for the classes "
            f"{', '.join(class_names[:5])}{' …' if len(class_names) > 5 else ''}, "
            f"expected those of {dataset.name}"
        )
    return [class_names.index(label) for label in dataset.class_names]


def lacks(path: str | pathlib.Path, name: str, arrays: dict[str, np.ndarray]) -> str:
    """What to say of a file without the wanted array."""
    held = ", ".join(arrays) or "nothing"
    return f"{name}: {str(path)!r} lacks {name}; it holds {held}"


def probabilities_in(
    path: str | pathlib.Path, arrays: dict[str, np.ndarray]
) -> np.ndarray:
    """The probabilities of a file for `--probabilities`.

    Args:
      path: of the file, for the error.
      arrays: what it holds; `pred_probs`, as other libraries call it, or
        `probabilities`.

    Raises:
      ValueError: it holds neither.
    """
    for name in ("pred_probs", "probabilities"):
        if name in arrays:
            return arrays[name]
    raise ValueError(
        f"probabilities: {str(path)!r} lacks pred_probs; it holds "
        f"{', '.join(arrays) or 'nothing'}"
    )


def read_rows(path: str | pathlib.Path, name: str) -> NamedRows:
    """Reads an array from a file, and what the file says of its rows.

    Args:
      path: an `.npy` file, or an `.npz` file that holds an array called `name`, or
        one array only, and maybe `ids` and, of `probabilities`, `class_names`.
      name: what to call it in an error, and in the file.

    Raises:
      ValueError: a file that cannot be read or holds no such array, or a number
        instead of an array.
    """
    arrays = read_arrays(path, name)
    if name not in arrays and len(arrays) != 1:
        raise ValueError(lacks(path, name, arrays))
    array = arrays[name] if name in arrays else next(iter(arrays.values()))
    if array.ndim == 0:
        raise ValueError(f"{name}: got a single value, expected an array")
    return said_of_rows(array, arrays, by_class=name == "probabilities")


def read_array(path: str | pathlib.Path, name: str) -> np.ndarray:
    """The array of `read_rows`, as it lies in the file."""
    return read_rows(path, name).array
