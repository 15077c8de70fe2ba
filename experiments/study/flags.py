"""absl flags made from configuration dataclasses, and what is asked of their values.

Every field of a dataclass becomes a flag of the same name, with the help text and the
limits that it was declared with. A flag that is not given leaves the preset's value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from absl import flags

from experiments.study.decoded_cache import define_no_cache
from experiments.study.presets import Preset, preset_of
from robustjax import checks
from robustjax.tools.command.fields import flags_of, value_of
from robustjax.tools.options.groups import SourceFlags

Config = TypeVar("Config")

errors_name_flags = checks.errors_name
"""Errors about a library argument name the flag that it came from."""


def define_flags(config_class: type[Any]) -> None:
    """Defines a flag per field of a configuration dataclass, all without default."""
    if issubclass(config_class, SourceFlags):
        define_no_cache()
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
            values[flag.name] = value_of(flag, given)
    return values


class Use(NamedTuple):
    """Whether a flag does anything beside the others.

    Attributes:
      flag: its name.
      of_use: whether anything looks at it.
      otherwise: why not, or what was expected; behind what was got.
    """

    flag: str
    of_use: bool
    otherwise: str


def check_of_use(given: Mapping[str, Any], uses: Iterable[Use]) -> None:
    """Raises `ValueError` for a flag that would change nothing; presets may have it.

    Args:
      given: the fields for which a flag was given.
      uses: of whatever flags; the first one without a use is named.
    """
    for flag, of_use, otherwise in uses:
        if flag in given and not of_use:
            value = given[flag]
            if isinstance(value, list | tuple):
                value = ",".join(map(str, value)) or "none"
            raise ValueError(f"{flag}: got {value} {otherwise}")


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
            values[name] = value_of(flag, text.split(","))
        elif flag.kind is bool:
            try:
                values[name] = flags.BooleanParser().parse(given)
            except ValueError:
                raise ValueError(
                    f"{name}: got {text}, expected true or false"
                ) from None
        else:
            values[name] = value_of(flag, given)
    return values
