"""Names of classes and examples that text files can hold and people tell apart."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np


def plain_name(name: str) -> str:
    """What a person reads: no blanks around it, accents composed.

    A file system may take a composed accent apart, and a spreadsheet put blanks in.
    """
    return unicodedata.normalize("NFC", name).strip()


def check_class_names(names: Any, *, name: str = "class_names") -> tuple[str, ...]:
    """Returns class names as strings after checking that none stands for two classes.

    Args:
      names: (C,) strings, bytes in UTF-8, or integers.
      name: what to call the argument in an error.

    Raises:
      ValueError: a single string, another rank or type, a blank name, one that is not
        UTF-8, or names that differ by nothing that a person sees.
    """
    array = np.asarray(names, object)
    if array.ndim != 1:
        raise ValueError(
            f"{name}: got an array of shape {array.shape}, expected a sequence of names"
        )
    found = tuple(_text(value, place, name) for place, value in enumerate(array))
    check_text(name, found)
    seen: dict[str, int] = {}
    for place, text in enumerate(found):
        if not plain_name(text):
            raise ValueError(f"{name}: the name of class {place} is blank")
        first = seen.setdefault(plain_name(text), place)
        if first != place:
            raise ValueError(
                f"{name}: classes {first} and {place} are both called "
                f"{plain_name(text)!r}, expected names that differ"
            )
    return found


def _text(value: Any, place: int, name: str) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(
                f"{name}: the name of class {place}, {value!r}, is not UTF-8"
            ) from None
    if isinstance(value, str | int | np.integer) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{name}: got {value!r} for class {place}, expected a string")


def check_text(name: str, values: Sequence[str] | np.ndarray) -> None:
    """Raises `ValueError` for text that no UTF-8 file can hold.

    Such are the names of files that are not UTF-8 themselves.

    Args:
      name: what to call the values in an error.
      values: strings, or an array of them; of another kind, they do no harm.
    """
    if isinstance(values, np.ndarray):
        if values.dtype.kind != "U":
            return
        values = values.tolist()
    try:
        "".join(values).encode("utf-8")
    except UnicodeEncodeError:
        bad = [value for value in values if not _encodes(value)]
        raise ValueError(
            f"{name}: {len(bad)} value(s) are not UTF-8 (first: {bad[0]!r}); rename "
            "them"
        ) from None


def printable(path: str | os.PathLike[str]) -> str:
    """A path as any file of text and any terminal take it."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
