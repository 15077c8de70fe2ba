"""Which points of a sweep may train as one program, told by their flags alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.sweeping.launchers import Launcher
from experiments.sweeping.points import Resolved
from experiments.sweeping.results import SEED, number

_NUMBER = "a number"
_OPTIONS = "options"


def check(size: int, launcher: Launcher) -> None:
    """Raises `ValueError` where points of a launcher cannot be packed."""
    if size > 1 and launcher.study.run_beside is None:
        raise ValueError(
            f"pack: got {size} with {launcher.name}, which trains in other ways than "
            "epoch by epoch, expected 0"
        )


def packs_of(
    points: Sequence[Resolved], size: int
) -> tuple[list[list[Resolved]], list[str]]:
    """Points in packs of at most so many, and what else than numbers keeps them apart.

    Of a pack all flags agree but the seed, those that are fractions, and options whose
    values are numbers: what such a number changes is looked at when it trains.

    Args:
      points: that are to run.
      size: of a pack.

    Returns:
      The packs, in the order of the points, and names of flags.
    """
    forms: dict[str, Any] = {}
    groups: dict[str, list[Resolved]] = {}
    for point in points:
        form = _form(point.config)
        key = json.dumps(form, sort_keys=True)
        forms.setdefault(key, form)
        groups.setdefault(key, []).append(point)
    packs = [
        group[first : first + size]
        for group in groups.values()
        for first in range(0, len(group), size)
    ]
    found = list(forms.values())
    apart = dict.fromkeys(name for other in found for name in _apart(found[0], other))
    return packs, list(apart)


def _form(value: Any, name: str = "") -> Any:
    """A configuration without its numbers."""
    if isinstance(value, Mapping):
        return {key: _form(each, key) for key, each in value.items()}
    if isinstance(value, list) and name == _OPTIONS:
        options = (str(each).partition("=") for each in value)
        return {key: _of_text(text) for key, _, text in options}
    if isinstance(value, list):
        return [_form(each) for each in value]
    fraction = isinstance(value, float) or (name == SEED and isinstance(value, int))
    return _NUMBER if fraction else value


def _of_text(text: str) -> str:
    return text if number(text) is None else _NUMBER


def _apart(one: Any, other: Any, name: str = "") -> Iterator[str]:
    """The names under which two forms differ."""
    if one == other:
        return
    both = isinstance(one, Mapping) and isinstance(other, Mapping)
    if both and one.keys() == other.keys():
        for key in one:
            yield from _apart(one[key], other[key], key)
    else:
        yield name
