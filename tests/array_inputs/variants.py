"""The same numbers in every form in which people have them, and other numbers."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

# Forms of the same values: these may not be refused, and change nothing.
FORMS = (
    "half",
    "single",
    "double",
    "big_endian",
    "fortran",
    "read_only",
    "memmap",
    "list",
    "series",
)
# Other values: the right result, or one line that says what is wrong.
VALUES = ("offset", "up", "down", "nan", "inf", "duplicates", "one_row", "empty")

_DTYPES = {
    "half": (np.float16, np.int16),
    "single": (np.float32, np.int32),
    "double": (np.float64, np.int64),
    "big_endian": (np.dtype(">f8"), np.dtype(">i8")),
}


class ArrayLike:
    """Something that NumPy can read and that is indexed by labels alone."""

    def __init__(self, array: np.ndarray):
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __len__(self) -> int:
        return len(self._array)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array if dtype is None else self._array.astype(dtype)


def _series(array: np.ndarray) -> Any:
    """A series or a frame whose index would bring the rows into another order."""
    try:
        import pandas as pd
    except ImportError:
        return ArrayLike(array)
    index = np.random.default_rng(7).permutation(len(array))
    if array.ndim == 1:
        return pd.Series(array, index=index)
    return pd.DataFrame(array, index=index) if array.ndim == 2 else ArrayLike(array)


def in_form(array: np.ndarray, form: str, folder: pathlib.Path) -> Any:
    """An array in one of `FORMS`; 8-bit images and bools keep their dtype."""
    if form in _DTYPES:
        floats, integers = _DTYPES[form]
        if array.dtype.kind == "f":
            return array.astype(floats)
        return array.astype(integers) if array.dtype.kind == "i" else array
    if form == "fortran":
        return np.asfortranarray(array)
    if form == "read_only":
        array = array.copy()
        array.flags.writeable = False
        return array
    if form == "memmap":
        path = folder / f"{len(list(folder.iterdir()))}.npy"
        np.save(path, array)
        return np.load(path, mmap_mode="r")
    if form == "list":
        return array.tolist()
    return _series(array)


def with_values(array: np.ndarray, kind: str) -> np.ndarray:
    """A float64 array with one of `VALUES` in it."""
    array = array.astype(np.float64)
    if kind == "offset":
        return array + 1e9
    if kind in ("up", "down"):
        return array * (1e20 if kind == "up" else 1e-20)
    if kind in ("nan", "inf") and array.size:
        array[(len(array) // 2, *[0] * (array.ndim - 1))] = float(kind)
    return array


def rows_for(array: np.ndarray, kind: str) -> np.ndarray:
    """The rows of an aligned array under one of `VALUES`."""
    if kind == "duplicates":
        # A third of the rows, each three times.
        return array[np.arange(len(array)) // 3]
    return array[: {"one_row": 1, "empty": 0}.get(kind, len(array))]


@dataclasses.dataclass(frozen=True)
class Row:
    """One public function.

    Attributes:
      call: of the arrays by name.
      plain: the same in float64 NumPy, a sentence at a time.
      floats: arrays whose values vary.
      others: arrays whose form varies alone.
      aligned: names whose first axis is that of the examples; by default all.
      refuses: forms that are rightly refused.
      must_refuse: values that have no right result.
      rtol: relative tolerance.
      atol: absolute tolerance, in units of the largest value.
      names: what an error may call its subject, beside the arrays.
      skips: variants that mean nothing here, or take too long.
      unit: a size by which absolute tolerances are measured at least.
    """

    call: Callable[..., Any]
    plain: Callable[..., Any]
    floats: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    others: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    aligned: tuple[str, ...] | None = None
    refuses: tuple[str, ...] = ()
    must_refuse: tuple[str, ...] = ()
    rtol: float = 2e-5
    atol: float = 1e-6
    names: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    unit: float = 0.0

    def inputs(self, variant: str, folder: pathlib.Path) -> tuple[dict, dict]:
        """The arrays in this form or with these values, and as plain float64."""
        given, plain = {}, {}
        for name, array in (self.floats | self.others).items():
            if variant in VALUES:
                if self.aligned is None or name in self.aligned:
                    array = rows_for(array, variant)
                if name in self.floats:
                    array = with_values(array, variant)
                given[name] = array
            else:
                given[name] = in_form(array, variant, folder)
            plain[name] = array.copy()
        return given, plain
