"""Configuration dataclasses as declarations: one field, one flag or option.

A configuration inherits groups of fields, gives defaults of its own by plain
assignment, and adds fields by `option`: help text, limits and choices are said once,
where a field is first defined. Nothing here needs JAX: help texts are made of it.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple

from robustjax._choices import one_of

# What JAX's own integers hold; nothing that a flag counts is larger.
_LARGEST = 2**31 - 1


def option(
    default: Any,
    help_text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """A dataclass field with a help text.

    Args:
      default: its value where neither flag nor preset says another one.
      help_text: one sentence.
      low: the lowest value, of a list's items, that a flag may give.
      high: the highest alike; integers beyond 31 bits need it.
      choices: the texts that it, or an item of a list, can be; none for any.
    """
    metadata = {"help": help_text, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


class Flag(NamedTuple):
    """One field as a flag.

    Attributes:
      name: of both.
      kind: bool, int, float or str; of a list, that of its items.
      is_list: whether it takes several, separated by commas.
      default: of the configuration.
      help_text: a sentence.
      low: see `option`.
      high: see `option`.
      choices: see `option`.
      group: title of the group that it is shown in.
    """

    name: str
    kind: type
    is_list: bool
    default: Any
    help_text: str
    low: float | None
    high: float | None
    choices: Sequence[str]
    group: str


OWN_GROUP = "Its own"
"""The group of fields that a configuration adds to those that it inherits."""


def flags_of(config_class: type[Any]) -> list[Flag]:
    """The flags of a configuration dataclass, in the order of its fields."""
    hints = typing.get_type_hints(config_class)
    found = []
    for field in dataclasses.fields(config_class):
        classes = [
            base
            for base in config_class.__mro__
            if field.name in vars(base).get("__dataclass_fields__", {})
        ]
        # A subclass that assigns a default leaves the rest to whoever defined it.
        told = (vars(base)["__dataclass_fields__"][field.name] for base in classes)
        metadata = next(known.metadata for known in told if known.metadata)
        kind, is_list = _kind(hints[field.name])
        found.append(
            Flag(
                field.name,
                kind,
                is_list,
                field.default,
                metadata["help"],
                metadata["low"],
                metadata["high"],
                metadata["choices"],
                vars(classes[-1]).get("group", OWN_GROUP),
            )
        )
    return found


def _kind(hint: Any) -> tuple[type, bool]:
    """`int, False` for `int | None`; `int, True` for `tuple[int, ...]`."""
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return hint, False


def value_of(flag: Flag, given: Any) -> Any:
    """What a flag says.

    Args:
      flag: which one.
      given: a text, or the texts of a list.

    Raises:
      ValueError: a text that is no choice, or a number that is none, is not finite, or
        is out of range.
    """
    if not flag.is_list:
        return _parse(flag, given, given)
    return tuple(_parse(flag, part, given) for part in given if part != "")


def _parse(flag: Flag, text: Any, given: Any) -> Any:
    """One value of a flag."""
    if flag.choices:
        one_of(flag.name, text, flag.choices)
    if flag.kind not in (int, float):
        return text
    try:
        number = flag.kind(text)
    except ValueError:
        raise _error(flag, given, "") from None
    if not math.isfinite(number):
        raise _error(flag, given, "finite ")
    low, high = flag.low, flag.high
    if flag.kind is int:
        low = -_LARGEST if low is None else low
        high = _LARGEST if high is None else high
    if low is not None and number < low:
        raise _error(flag, given, "", f" >= {low:.10g}")
    if high is not None and number > high:
        raise _error(flag, given, "", f" <= {high:.10g}")
    return number


def _error(flag: Flag, given: Any, adjective: str, limit: str = "") -> ValueError:
    shown = ",".join(map(str, given)) if flag.is_list else given
    noun = "integer" if flag.kind is int else "number"
    if flag.is_list:
        wanted = f"a comma-separated list of {adjective}{noun}s{limit}"
    else:
        wanted = f"{'an' if noun == 'integer' and not adjective else 'a'} "
        wanted += f"{adjective}{noun}{limit}"
    return ValueError(f"{flag.name}: got {shown}, expected {wanted}")


def refuse_options(config: Any, groups: Sequence[type], why: str) -> None:
    """Raises `ValueError` for an option that would change nothing.

    Args:
      config: of a verb.
      groups: dataclasses of the fields that may not differ from their defaults.
      why: what the error goes on with, "with …" say.
    """
    for group in groups:
        refuse_fields(config, [field.name for field in dataclasses.fields(group)], why)


def refuse_fields(config: Any, names: Sequence[str], why: str) -> None:
    """As `refuse_options`, of fields by name."""
    for name in names:
        given = getattr(config, name)
        if given != getattr(type(config), name):
            raise ValueError(f"{name}: got {given} {why}")


def need_options(config: Any, *names: str) -> None:
    """Raises `ValueError` for an option of these that was not given.

    Args:
      config: of a verb.
      *names: of its fields, None or empty where nothing was given.
    """
    for name in names:
        if getattr(config, name) in (None, "", ()):
            typed = name.replace("_", "-")
            raise ValueError(f"{name}: got nothing, expected --{typed}=…")
