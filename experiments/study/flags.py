"""absl flags made from configuration dataclasses, and what is asked of their values.

Every field of a dataclass becomes a flag of the same name. A study's configuration
inherits groups of fields (`flag_groups`), gives defaults of its own by plain
assignment, and adds fields by `option`: help text and limits are said once, where a
field is first defined. A flag that is not given leaves the preset's value.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from absl import flags

from experiments.study.presets import Preset, preset_of
from robustjax import checks

Config = TypeVar("Config")

# What JAX's own integers hold; nothing that a flag counts is larger.
_LARGEST = 2**31 - 1


errors_name_flags = checks.errors_name
"""Errors about a library argument name the flag that it came from."""


def option(
    default: Any,
    help_text: str,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A dataclass field with a help text.

    Args:
      default: its value where neither flag nor preset says another one.
      help_text: one sentence.
      low: the lowest value, of a list's items, that a flag may give.
      high: the highest alike; integers beyond 31 bits need it.
    """
    metadata = {"help": help_text, "low": low, "high": high}
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
      group: title of the group that it is shown in.
    """

    name: str
    kind: type
    is_list: bool
    default: Any
    help_text: str
    low: float | None
    high: float | None
    group: str


OWN_GROUP = "Of this launcher"
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


def define_flags(config_class: type[Any]) -> None:
    """Defines a flag per field of a configuration dataclass, all without default."""
    for flag in flags_of(config_class):
        text = f"{flag.help_text} Default: {flag.default}."
        if flag.is_list:
            flags.DEFINE_list(flag.name, None, text)
        elif flag.kind is bool:
            flags.DEFINE_bool(flag.name, None, text)
        else:
            # Numbers are read by `given_flags`, which names the flag in its errors.
            flags.DEFINE_string(flag.name, None, text)


def define_run_flags(presets: Mapping[str, Preset] | None = None) -> None:
    """Defines what every launcher with run folders has: where they go, and presets.

    Args:
      presets: by name; None where a launcher has none.
    """
    if presets is not None:
        flags.DEFINE_string(
            "preset",
            None,
            f"One of {', '.join(presets)}; by default the one that is named like the "
            "data set, if there is one.",
        )
    flags.DEFINE_string("run_dir", "runs", "Where run folders go.")
    flags.DEFINE_string("name", None, "Name of the run; made up by default.")


class Given(NamedTuple):
    """What a launcher's command line says.

    Attributes:
      preset: its name, or None.
      fields: of the configuration, those for which a flag was given.
      run_dir: where run folders go.
      name: of the run, or None.
    """

    preset: str | None
    fields: dict[str, Any]
    run_dir: str
    name: str | None


def read_given(config_class: type[Any]) -> Given:
    """What the command line says, checked field by field.

    Raises:
      ValueError: a value that its flag cannot have.
    """
    values = flags.FLAGS
    preset = values["preset"].value if "preset" in values else None
    fields = given_flags(config_class)
    return Given(preset, fields, str(values["run_dir"].value), values["name"].value)


def as_flag(name: str, value: Any) -> str:
    """The text that gives a field a value on a command line."""
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    if isinstance(value, list | tuple):
        value = flags.CsvListSerializer(",").serialize([str(part) for part in value])
    return f"--{name}={value}"


def read_config(config_class: type[Config]) -> Config:
    """The configuration with the given flags, of a launcher without presets.

    Raises:
      ValueError: a value that its flag cannot have.
    """
    return config_class(**given_flags(config_class))


def resolve(
    config_class: type[Config],
    presets: Mapping[str, Preset],
    preset: str | None,
    given: Mapping[str, Any],
) -> tuple[str | None, Config]:
    """The preset's name, and its configuration with the given fields on top.

    Args:
      config_class: the dataclass.
      presets: by name.
      preset: as given, or None for the one named like the data set.
      given: the fields for which a flag was given.

    Raises:
      ValueError: an unknown preset, with the list of known ones.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    dataset = given.get("dataset", defaults["dataset"])
    found, fields = preset_of(presets, preset, dataset)
    return found, config_class(**{**fields, **given})


def given_flags(config_class: type[Any]) -> dict[str, Any]:
    """The fields of a configuration dataclass for which a flag was given.

    Raises:
      ValueError: a number that is none, is not finite, or is out of its flag's range.
    """
    values: dict[str, Any] = {}
    for flag in flags_of(config_class):
        given = flags.FLAGS[flag.name].value
        if given is not None:
            values[flag.name] = _value(flag, given)
    return values


def read_texts(config_class: type[Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Fields from what would stand behind their flags on a command line.

    Args:
      config_class: the dataclass.
      texts: flag -> text; lists are separated by commas, truths are true or false.

    Raises:
      ValueError: an unknown flag, with the nearest known one, or what `given_flags`
        does not take.
    """
    known = {flag.name: flag for flag in flags_of(config_class)}
    values: dict[str, Any] = {}
    for name, text in texts.items():
        checks.one_of("flag", name, known)
        flag, given = known[name], text
        if flag.is_list:
            values[name] = _value(flag, text.split(","))
        elif flag.kind is bool:
            try:
                values[name] = flags.BooleanParser().parse(given)
            except ValueError:
                raise ValueError(
                    f"{name}: got {text}, expected true or false"
                ) from None
        else:
            values[name] = _value(flag, given)
    return values


def _value(flag: Flag, given: Any) -> Any:
    if not flag.is_list:
        return _parse(flag, given, given)
    return tuple(_parse(flag, part, given) for part in given if part != "")


def _parse(flag: Flag, text: Any, given: Any) -> Any:
    """One value of a flag."""
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
