"""What the labels of a table are called, and which rows have none."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from robustjax.data._names import plain_name
from robustjax.files import original_cell

_INTEGER = re.compile(r"[+-]?\d+")
_WHOLE = re.compile(r"([+-]?\d+)\.0*")
# What an error advises.
SKIP_UNLABELED = " (see skip_unlabeled)"


def unlabeled(column: Any) -> np.ndarray:
    """(N,) bool, which rows of a column of labels have none."""
    values = column.to_pylist()
    return np.array(
        [
            value is None
            or value != value
            or (isinstance(value, str) and not value.strip())
            for value in values
        ],
        bool,
    )


def label_texts(
    column: Any, name: str, neutralised: bool, labeled: np.ndarray | None
) -> dict[int, str]:
    """What each label is called, by row; of the labelled rows, where these are said."""
    found = {}
    for row, value in enumerate(column.to_pylist()):
        if labeled is not None and not labeled[row]:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or not isinstance(value, str | int):
            got = "nothing" if value is None else repr(value)
            raise ValueError(
                f"label_column: row {row} (from 0) has {got} in {name!r}, expected "
                f"text or an integer{SKIP_UNLABELED if got == 'nothing' else ''}"
            )
        text = original_cell(value) if neutralised and isinstance(value, str) else value
        text = plain_name(str(text))
        if not text:
            raise ValueError(
                f"label_column: row {row} (from 0) has a blank in {name!r}, expected a "
                f"label{SKIP_UNLABELED}"
            )
        found[row] = text
    return dict(zip(found, _without_points(list(found.values()))))


def _without_points(texts: list[str]) -> list[str]:
    """Spreadsheets write 1.0 where 1 was meant, if all are numbers."""
    whole = [_WHOLE.fullmatch(text) for text in texts]
    numbers = all(w or _INTEGER.fullmatch(t) for w, t in zip(whole, texts))
    return [w[1] if w and numbers else t for w, t in zip(whole, texts)]


def class_names_of(labels: list[str]) -> list[str]:
    """Classes in their order: as integers if all are, else as text."""
    names = sorted(set(labels))
    if all(_INTEGER.fullmatch(name) for name in names):
        return sorted(names, key=int)
    return names
