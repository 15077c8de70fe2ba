"""JSON arrays and JSON lines of objects, each with the line where it begins."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

from robustjax.files import check_readable

_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


class Located(NamedTuple):
    """An object of a file.

    Attributes:
      place: where it is for people: "line 3", or "row 2" of a table.
      value: the object.
    """

    place: str
    value: dict[str, Any]


def read_objects(path: str | os.PathLike[str], *, name: str) -> list[Located]:
    """The objects of a file that is a JSON array, or holds one object on each line.

    Args:
      path: the file, in UTF-8, with or without a byte order mark.
      name: what to call it in an error.

    Raises:
      ValueError: a file that cannot be read, is not UTF-8, or is neither of the two,
        with the line where that is seen.
    """
    shown = repr(os.fspath(path))
    text = _decoded(path, shown, name)
    try:
        start = _skip(text, 0)
        if start == len(text):
            raise ValueError(f"{name}: {shown} is empty, expected records")
        if text[start] == "[":
            return _array(text, start, shown, name)
        if text[start] == "{":
            return _lines(text, shown, name)
    except RecursionError:
        raise ValueError(f"{name}: {shown} is nested too deeply") from None
    raise ValueError(
        f"{name}: {shown} is neither a JSON array nor JSON lines: line "
        f"{_line(text, start)} begins with {text[start : start + 20]!r}"
    )


def _decoded(path: str | os.PathLike[str], shown: str, name: str) -> str:
    try:
        check_readable(path)
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise ValueError(f"{name}: cannot read {shown}: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}: line {line} of {shown} is not UTF-8 text") from None


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANK:
        position += 1
    return position


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _object(value: Any, line: int, shown: str, name: str) -> Located:
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise ValueError(
            f"{name}: line {line} of {shown} holds a {kind}, expected a JSON object"
        )
    return Located(f"line {line}", value)


def _array(text: str, start: int, shown: str, name: str) -> list[Located]:
    found: list[Located] = []
    position, counted, line = _skip(text, start + 1), 0, 1
    if position < len(text) and text[position] == "]":
        raise ValueError(f"{name}: {shown} is an empty array, expected records")
    while True:
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = _DECODER.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{name}: line {error.lineno} of {shown} is not JSON: {error.msg}"
            ) from None
        found.append(_object(value, line, shown, name))
        position = _skip(text, position)
        sign = text[position : position + 1]
        if sign == "]":
            break
        if sign != ",":
            raise ValueError(
                f"{name}: line {_line(text, position)} of {shown} is not JSON: "
                f"got {sign or 'the end'!r}, expected ',' or ']'"
            )
        position = _skip(text, position + 1)
    rest = _skip(text, position + 1)
    if rest != len(text):
        raise ValueError(
            f"{name}: line {_line(text, rest)} of {shown} goes on after the array"
        )
    return found


def _lines(text: str, shown: str, name: str) -> list[Located]:
    found = []
    # Not `splitlines`, which also splits at signs that JSON text may hold as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip(_BLANK):
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{name}: {shown} is neither a JSON array nor JSON lines: line "
                f"{number}: {error.msg}"
            ) from None
        found.append(_object(value, number, shown, name))
    return found
