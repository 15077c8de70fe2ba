"""Which methods run, and with what options: from flags to values, typed.

`--methods=elr,long=elr` runs a method twice, under two labels;
`--options=elr.strength=3,long.strength=7` sets what belongs to either. Everything is
checked against the registry of methods, before any data is loaded. The same in every
study: `choose_methods`, `preset_options` before what was given, `read_options`.
"""

from __future__ import annotations

import contextlib
import difflib
import fractions
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from robustjax import checks
from robustjax.methods import Entry, Option

Values = dict[str, Any]
"""Options by name, for the factory of a method."""

_BOOLS = {"true": True, "yes": True, "false": False, "no": False}
_NO_VALUE = object()


def choose_methods(
    given: Sequence[str], known: Iterable[Entry], *, relabel: bool = True
) -> dict[str, Entry]:
    """Label -> entry, in order.

    Args:
      given: ("all",), or names of methods, or "label=method" if `relabel`.
      known: the methods that can run.
      relabel: whether a method can run under another label.

    Raises:
      ValueError: none, an unknown method, or a label that occurs twice, is the name of
        another method or cannot be the name of a folder.
    """
    by_name = {entry.name: entry for entry in known}
    if tuple(given) == ("all",):
        return by_name
    found: dict[str, Entry] = {}
    for text in given:
        label, equals, name = text.partition("=")
        if equals and not relabel:
            raise ValueError(f"methods: got {text!r}, expected the name of a method")
        name = name if equals else label
        checks.one_of("methods", name, by_name)
        if not label.replace("-", "_").isidentifier():
            raise ValueError(
                f"methods: got {text!r}, expected a label of letters, digits and _"
            )
        if label in by_name and label != name:
            raise ValueError(
                f"methods: got {text!r}, expected a label that is no other method"
            )
        if label in found:
            raise ValueError(f"methods: got {label} twice, expected each name once")
        found[label] = by_name[name]
    if not found:
        raise ValueError("methods: got none, expected at least one")
    return found


def preset_options(
    chosen: Mapping[str, Entry], preset: Sequence[str]
) -> tuple[str, ...]:
    """A preset's options, which are for methods or for its own labels, of labels.

    Args:
      chosen: label -> entry.
      preset: "method.name=value" for all labels of a method, or "label.name=value";
        those of what does not run are left out.
    """
    found = []
    for text in preset:
        name, _, rest = text.partition(".")
        found += [
            f"{label}.{rest}"
            for label, each in chosen.items()
            if name in (each.name, label)
        ]
    return tuple(found)


def published_options(entry: Entry, setting: str) -> tuple[str, ...]:
    """A published setting of a method, as options.

    Raises:
      ValueError: an unknown setting, with the list of known ones.
    """
    checks.one_of(f"setting of {entry.name}", setting, entry.published)
    return as_labeled_texts({entry.name: dict(entry.published[setting])})


def read_options(
    given: Sequence[str], chosen: Mapping[str, Entry]
) -> dict[str, Values]:
    """Label -> the options that were given, of the types that the methods have.

    Args:
      given: "label.name=value", or "name=value" where one method runs; later ones over
        earlier ones. Several numbers of one option are written 1:2.
      chosen: label -> entry.

    Raises:
      ValueError: an entry of another form, an unknown label or option, or a value of
        another type, NaN or infinity.
    """
    values: dict[str, Values] = {label: {} for label in chosen}
    for text in given:
        left, equals, value = text.partition("=")
        label, dot, name = left.partition(".")
        if not dot and len(chosen) == 1:
            label, name = next(iter(chosen)), left
        elif not dot and equals:
            raise ValueError(
                f"options: got {text!r} for several methods, expected method.{text}"
            )
        if not (equals and name and value):
            raise ValueError(f"options: got {text!r}, expected method.name=value")
        checks.one_of("options", label, chosen)
        options = chosen[label].options
        if name not in options:
            raise ValueError(f"options: {_unknown(label, name, options)}")
        values[label][name] = _read(text, name, value, options[name])
    return values


def options_of(
    given: Sequence[str], label: str, entry: Entry, defaults: Sequence[str] = ()
) -> Values:
    """The options of one label among those of several.

    Args:
      given: "label.name=value".
      label: of the method.
      entry: of the method.
      defaults: before them.

    Raises:
      ValueError: see `read_options`.
    """
    own = [text for text in given if text.startswith(f"{label}.")]
    return read_options((*defaults, *own), {label: entry})[label]


def as_texts(values: Values) -> tuple[str, ...]:
    """Options as "name=value", which `read_options` gives back."""
    return tuple(f"{name}={_text(value)}" for name, value in values.items())


def as_labeled_texts(values: Mapping[str, Values]) -> tuple[str, ...]:
    """Options of labels as "label.name=value", which `read_options` gives back."""
    return tuple(
        f"{label}.{text}" for label, own in values.items() for text in as_texts(own)
    )


def as_methods(chosen: Mapping[str, Entry]) -> tuple[str, ...]:
    """Methods as `choose_methods` takes them."""
    return tuple(
        label if label == entry.name else f"{label}={entry.name}"
        for label, entry in chosen.items()
    )


def with_noise_rate(entry: Entry, values: Values, noise_rate: float) -> Values:
    """The options, and the measured noise rate for one that must be known and is not.

    Args:
      entry: of the method.
      values: its options that were given.
      noise_rate: the share of wrong labels.
    """
    needed = entry.required if "noise_rate" in entry.needs else ()
    return {**dict.fromkeys(needed, noise_rate), **values}


def errors_name_options(
    label: str, entry: Entry, values: Values
) -> contextlib.AbstractContextManager[None]:
    """Errors about an argument of a method name the option, as a flag sets it.

    Args:
      label: of the method.
      entry: of the method.
      values: its options that were given. Of those without a default, an error names
        only these: the others are not from an option.
    """
    names = (n for n, each in entry.options.items() if n in values or not each.required)
    return checks.errors_name(**{name: f"options ({label}.{name})" for name in names})


def _unknown(label: str, name: str, options: Mapping[str, Option]) -> str:
    near = difflib.get_close_matches(name, options, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{label} has no {name!r}{hint}; it has {', '.join(options) or 'none'}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ":".join(_text(each) for each in value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return (
        f"{value:.17g}" if isinstance(value, float) and value % 1 == 0 else str(value)
    )


def _read(text: str, name: str, value: str, option: Option) -> Any:
    """The value, of the first type of the option that it can be.

    Raises:
      ValueError: there is none.
    """
    readers = _readers(option.hint)
    for read in readers.values():
        found = read(value)
        if found is not _NO_VALUE:
            return found
    words = " or ".join(readers) or "nothing: it cannot be set by a flag"
    raise ValueError(f"options: got {text!r}, expected {words} for {name}")


def _readers(hint: Any) -> dict[str, Callable[[str], Any]]:
    """What can be read for a type, the most special first: words -> reader."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        parts = [_readers(part) for part in typing.get_args(hint)]
        merged = {words: read for part in parts for words, read in part.items()}
        if float in typing.get_args(hint) and "a text" in merged:
            merged["a text"] = _read_word
        # A text is whatever nothing else is.
        return dict(sorted(merged.items(), key=lambda item: item[0] == "a text"))
    if typing.get_origin(hint) is typing.Literal:
        literals = {str(each): each for each in typing.get_args(hint)}
        return {" or ".join(literals): lambda text: literals.get(text, _NO_VALUE)}
    if typing.get_origin(hint) is tuple:
        return _tuple_readers(typing.get_args(hint))
    if typing.get_origin(hint) is Sequence:
        return _tuple_readers((*typing.get_args(hint), Ellipsis))
    return _PLAIN.get(hint, {})


def _tuple_readers(items: tuple[Any, ...]) -> dict[str, Callable[[str], Any]]:
    """Of `tuple[float, float]` and `tuple[int, ...]`, written 1:2."""
    length = None if items[-1] is Ellipsis else len(items)
    words, read = next(iter(_readers(items[0]).items()))

    def read_all(text: str) -> Any:
        parts = text.split(":")
        found = tuple(read(part) for part in parts)
        fits = length in (None, len(parts))
        return _NO_VALUE if _NO_VALUE in found or not fits else found

    count = "several" if length is None else str(length)
    return {f"{count} times {words}, as in 1:2": read_all}


def _read_bool(text: str) -> Any:
    return _BOOLS.get(text.lower(), _NO_VALUE)


def _read_none(text: str) -> Any:
    return None if text.lower() == "none" else _NO_VALUE


def _read_int(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return _NO_VALUE


def _read_float(text: str) -> Any:
    """A number, or one over another, as in 8/255."""
    try:
        found = float(fractions.Fraction(text) if "/" in text else text)
    except (ValueError, ArithmeticError):
        return _NO_VALUE
    return found if math.isfinite(found) else _NO_VALUE


def _read_text(text: str) -> Any:
    return text


def _read_word(text: str) -> Any:
    """A text that is no number, not even NaN or infinity."""
    try:
        float(text)
    except ValueError:
        return _NO_VALUE if "/" in text else text
    return _NO_VALUE


_PLAIN: dict[Any, dict[str, Callable[[str], Any]]] = {
    bool: {"true or false": _read_bool},
    int: {"an int": _read_int},
    float: {"a finite number": _read_float},
    str: {"a text": _read_text},
    type(None): {"none": _read_none},
}
