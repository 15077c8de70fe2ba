"""What can be said of an example: a class, nothing yet, or why none of the classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from robustjax.data import parse_labels
from robustjax.data._names import plain_name

OPEN = -1
"""Not answered: blank, or "skip"."""
UNKNOWN = -2
"""Looked at and not decided: "don't know"."""
NONE = -3
"""Belongs to none of the classes."""

_TEXTS = {OPEN: "", UNKNOWN: "don't know", NONE: "none of them"}
_WORDS = {
    "": OPEN,
    "skip": OPEN,
    "skipped": OPEN,
    "don't know": UNKNOWN,
    "dont know": UNKNOWN,
    "?": UNKNOWN,
    "none of them": NONE,
    "none": NONE,
    "ood": NONE,
}
# What spreadsheets make of 1; beside semicolons with a comma.
_WHOLE = re.compile(r"(\d+)[.,]0*")


def check_words(class_names: Sequence[str]) -> None:
    """Raises `ValueError` for a class that is called like another answer."""
    for word in filter(None, _TEXTS.values()):
        for label in class_names:
            # People do not mind capitals.
            if plain_name(label).casefold() == word:
                raise ValueError(
                    f"class_names: got {label!r}, which is what people answer about an "
                    "example that has no class; give the class another name"
                )


def parse_said(
    values: Sequence[str], class_names: Sequence[str], *, name: str
) -> np.ndarray:
    """Turns cells into what they say.

    Names of classes win over the words, and over indices as in `data.parse_labels`.

    Args:
      values: class names, class indices (also "1.0"), "don't know" or "?", "none of
        them", "none" or "ood", and "skip" or blanks.
      class_names: C names.
      name: what to call the values in an error.

    Returns:
      (M,) int32 classes, `OPEN`, `UNKNOWN` or `NONE`.

    Raises:
      ValueError: a value that is none of these, or a word that is a class's name but
        for its capitals.
    """
    names = {plain_name(label) for label in class_names}
    alike = {label.casefold(): label for label in names}
    said = np.full(len(values), OPEN, np.int32)
    classes: dict[int, str] = {}
    for place, value in enumerate(values):
        # Word processors and spreadsheets set quotes of their own.
        word = plain_name(value).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        if plain_name(value) in names:
            classes[place] = value
        elif word.casefold() in _WORDS and word.casefold() in alike:
            raise ValueError(
                f"{name}: got {value!r}, which may mean the class "
                f"{alike[word.casefold()]!r} or that there is none; expected the class "
                "as it is written"
            )
        elif word.casefold() in _WORDS:
            said[place] = _WORDS[word.casefold()]
        else:
            whole = _WHOLE.fullmatch(word)
            classes[place] = whole[1] if whole else value
    found = parse_labels(list(classes.values()), class_names, name=name)
    said[list(classes)] = found
    return said


def said_text(said: int, class_names: Sequence[str]) -> str:
    """What `parse_said` reads as `said`."""
    return class_names[said] if said >= 0 else _TEXTS[said]
