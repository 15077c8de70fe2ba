"""The key of every class."""

from __future__ import annotations

import string
from collections.abc import Sequence

_KEYS = "1234567890" + string.ascii_lowercase


def class_keys(class_names: Sequence[str]) -> list[str]:
    """A key for each class as long as there are keys, and "" beyond.

    Classes that are called by one digit have that digit. Others have 1, 2, … 9, 0, and
    then letters.

    Args:
      class_names: C names.
    """
    if class_names and all(n.isdecimal() and len(n) == 1 for n in class_names):
        return list(class_names)
    found = list(_KEYS[: len(class_names)])
    return found + [""] * (len(class_names) - len(found))
