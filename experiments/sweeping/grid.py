"""From `--grid`, or a file of points, to points: texts by flag, nothing resolved.

`noise_rate=0.2,0.5; methods=ce,elr; elr.strength=1,3` is the product of its axes, in
which an option of a method belongs only to points where the method runs: `ce` is there
once per noise rate. A value that is a list is written with colons: `hidden=64,128:64`.
"""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from robustjax.files import check_readable

Point = dict[str, str]
"""Flag, or `method.option` -> text, as on the command line."""

ListFlags = Callable[[str], bool]
"""Whether a flag takes a list."""


def read_grid(text: str, is_list: ListFlags) -> dict[str, tuple[str, ...]]:
    """The axes of a grid, in their order.

    Args:
      text: `name=value,value; name=value`.
      is_list: see `ListFlags`; colons in values of these become commas.

    Raises:
      ValueError: no axis, one without values or of another form, or something twice.
    """
    axes: dict[str, tuple[str, ...]] = {}
    for part in (part.strip() for part in text.split(";")):
        if not part:
            continue
        name, equals, rest = (each.strip() for each in part.partition("="))
        values = [value.strip() for value in rest.split(",")]
        if not (name and equals and all(values)):
            raise ValueError(f"grid: got {part!r}, expected name=value,value")
        name = name.removeprefix("--")
        if name in axes:
            raise ValueError(f"grid: got {name} twice, expected each name once")
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"grid: got {name}={value} twice, expected it once")
        if is_list(name):
            values = [value.replace(":", ",") for value in values]
        axes[name] = tuple(values)
    if not axes:
        raise ValueError("grid: got none, expected name=value,value; …")
    return axes


def read_values(flag: str, text: str | None) -> dict[str, str]:
    """`name=value; name=value` of a flag.

    Raises:
      ValueError: another form.
    """
    found: dict[str, str] = {}
    for part in (part.strip() for part in (text or "").split(";")):
        name, equals, value = (each.strip() for each in part.partition("="))
        if part and not (name and equals and value):
            raise ValueError(f"{flag}: got {part!r}, expected name=value")
        if part:
            found[name] = value
    return found


def product(axes: Mapping[str, Sequence[str]]) -> list[Point]:
    """Every combination, the last axis running fastest."""
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def read_points(path: str) -> list[Point]:
    """Points from a file: a line each, a JSON object from flag to value.

    Raises:
      ValueError: a file that cannot be read, holds no point, or a line that is none.
    """
    try:
        check_readable(path)
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"points: cannot read {path!r}: {reason}") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            found.append({name: _text(value) for name, value in values.items()})
        except (ValueError, AttributeError, TypeError):
            raise ValueError(
                f"points: line {number} of {path!r} is not a JSON object from flags "
                "to values"
            ) from None
    if not found:
        raise ValueError(f"points: {path!r} holds none, expected a line per point")
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(_text(each) for each in value)
    if not isinstance(value, str | int | float):
        raise TypeError(value)
    return str(value)


def only_where_they_run(
    points: Sequence[Point], methods_of: Callable[[Point], Sequence[str]]
) -> list[Point]:
    """Leaves out options of methods that do not run, and what is equal without them.

    Args:
      points: with options `method.name`.
      methods_of: the methods of a point as given; ("all",) or () when it is not known.

    Raises:
      ValueError: an option of a method that runs at no point.
    """
    found: dict[tuple[tuple[str, str], ...], Point] = {}
    used = set()
    for number, point in enumerate(points):
        labels = [each.partition("=")[0] for each in methods_of(point)]
        anyone = not labels or labels == ["all"]
        kept = {
            name: value
            for name, value in point.items()
            if "." not in name or anyone or name.partition(".")[0] in labels
        }
        used |= set(kept)
        # Points that were equal from the start are not made one in silence.
        key = tuple(kept.items())
        if len(kept) == len(point):
            key += (("", str(number)),)
        found.setdefault(key, kept)
    for name in (name for point in points for name in point):
        if name not in used:
            raise ValueError(
                f"grid: {name} is an option of {name.partition('.')[0]!r}, which runs "
                "at no point"
            )
    return list(found.values())
