"""absl flags made from a configuration dataclass, with named presets.

Every field of the dataclass becomes a flag of the same name; its help text is the
field's `metadata["help"]`. A flag that is not given leaves the preset's value.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from absl import flags

from robustjax import checks

Config = TypeVar("Config")


@contextlib.contextmanager
def errors_name_flags(**flags_by_argument: str) -> Iterator[None]:
    """Errors about a library argument name the flag that it came from."""
    try:
        yield
    except ValueError as error:
        argument, colon, rest = str(error).partition(":")
        if not colon or argument not in flags_by_argument:
            raise
        raise ValueError(f"{flags_by_argument[argument]}:{rest}") from None


def option(default: Any, help_text: str) -> Any:
    """A dataclass field with a help text."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def _base_type(hint: Any) -> Any:
    """`int` for `int | None`, and so on."""
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    return hint


def define_flags(config_class: type[Any]) -> None:
    """Defines a flag per field of a configuration dataclass, all without default."""
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        text = f"{field.metadata['help']} Default: {field.default}."
        base = _base_type(hints[field.name])
        if base is bool:
            flags.DEFINE_bool(field.name, None, text)
        elif base is int:
            flags.DEFINE_integer(field.name, None, text)
        elif base is float:
            flags.DEFINE_float(field.name, None, text)
        elif base is str:
            flags.DEFINE_string(field.name, None, text)
        else:
            flags.DEFINE_list(field.name, None, text)


def read_config(
    config_class: type[Config],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str | None,
    flag_values: flags.FlagValues,
) -> Config:
    """The preset's configuration with the given flags on top.

    Args:
      config_class: the dataclass.
      presets: name -> fields that differ from the defaults.
      preset: its name, or None for the defaults.
      flag_values: parsed flags.

    Raises:
      ValueError: an unknown preset, with the list of known ones.
    """
    given = given_flags(config_class, flag_values)
    return preset_config(config_class, presets, preset, given)


def preset_config(
    config_class: type[Config],
    presets: Mapping[str, Mapping[str, Any]],
    preset: str | None,
    given: Mapping[str, Any],
) -> Config:
    """The same from fields that were given."""
    if preset is not None:
        checks.one_of("preset", preset, presets)
    fields = presets[preset] if preset else {}
    return config_class(**{**fields, **given})


def given_flags(
    config_class: type[Any], flag_values: flags.FlagValues
) -> dict[str, Any]:
    """The fields of a configuration dataclass for which a flag was given.

    Args:
      config_class: the dataclass.
      flag_values: parsed flags.

    Raises:
      ValueError: a list with an item of another type.
    """
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        given = flag_values[field.name].value
        if given is None:
            continue
        base = _base_type(hints[field.name])
        if typing.get_origin(base) is tuple:
            item = typing.get_args(base)[0]
            try:
                given = tuple(item(part) for part in given if part != "")
            except ValueError:
                raise ValueError(
                    f"{field.name}: got {','.join(given)}, expected a comma-separated "
                    f"list of {item.__name__}"
                ) from None
        values[field.name] = given
    return values
