"""The check of a name against those that are known, without JAX."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raises `ValueError` with the known names, and the nearest, if unknown."""
    known = list(known)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{name}: unknown {value!r}{hint}; known: {', '.join(known)}")
