"""From verbs to a parser, and from what was typed to a configuration."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from typing import Any

import click

from robustjax._version import __version__
from robustjax.tools.command.fields import OWN_GROUP, Flag, flags_of, value_of
from robustjax.tools.command.verbs import VERBS, Verb
from robustjax.tools.options.devices import DeviceFlags

_WIDTH = 88
_FIRST = ("dataset", "out", "folder")
_TEXT = """Learning from noisy data: find, correct, label and keep examples of your own.

`robustjax VERB --help` says what a verb takes."""

Perform = Callable[[Verb, dict[str, Any], dict[str, Any]], None]
"""Gets a verb, the fields of its configuration that were given, and those of the
devices."""


def as_option(name: str) -> str:
    """The option of a field, as people type it."""
    return f"--{name.replace('_', '-')}"


def make_parser(perform: Perform) -> click.Group:
    """The parser of all verbs.

    Args:
      perform: called with what was given, of one verb.
    """
    group = _Verbs(
        perform,
        name="robustjax",
        help=_TEXT,
        context_settings={
            "max_content_width": _WIDTH,
            "terminal_width": _WIDTH,
            "help_option_names": ["-h", "--help"],
        },
    )
    return click.version_option(__version__, prog_name="robustjax")(group)


class _Verbs(click.Group):
    """Verbs that are loaded when they are asked for."""

    def __init__(self, perform: Perform, **attributes: Any):
        """See `make_parser`."""
        super().__init__(**attributes)
        self._perform = perform

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of their table."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, or None where there is none of this name."""
        del ctx
        verb = VERBS.get(cmd_name)
        return None if verb is None else _Verb(verb, self._perform)


class _Verb(click.Command):
    """A verb with its options."""

    def __init__(self, verb: Verb, perform: Perform):
        """Declares an option per field of the verb's configuration."""
        self._own = flags_of(verb.config_class)
        self._devices = flags_of(DeviceFlags) if verb.computes else []
        self._text = verb.text.strip()
        super().__init__(
            verb.name,
            params=[_parameter(flag) for flag in (*self._own, *self._devices)],
            callback=lambda **given: perform(
                verb, _values(self._own, given), _values(self._devices, given)
            ),
            help=self._text,
            short_help=self._text.split("\n", 1)[0],
        )

    @property
    def flags(self) -> list[Flag]:
        """Of its configuration."""
        return self._own

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verb's text as it stands, and its options, its own first."""
        formatter.write(f"Usage: {ctx.command_path} [OPTIONS]\n\n{self._text}\n")
        groups: dict[str, list[tuple[str, str]]] = {OWN_GROUP: []}
        # What every command line has comes first.
        flags = sorted(self._own, key=lambda flag: flag.name not in _FIRST)
        for flag in (*flags, *self._devices):
            groups.setdefault(flag.group, []).append((_typed(flag), _about(flag)))
        for title, rows in groups.items():
            with formatter.section("Options" if title == OWN_GROUP else title):
                formatter.write_dl(rows, col_max=28)


def _parameter(flag: Flag) -> click.Option:
    option = as_option(flag.name)
    if flag.name.startswith("no_"):
        return click.Option([option, flag.name], is_flag=True, default=None)
    if flag.kind is bool:
        spelled = f"{option}/--no-{option[2:]}"
        return click.Option([spelled, flag.name], default=None)
    return click.Option([option, flag.name], type=str, default=None)


def _typed(flag: Flag) -> str:
    option = as_option(flag.name)
    if flag.name.startswith("no_"):
        return option
    if flag.kind is bool:
        return f"--[no-]{option[2:]}"
    kind = {int: "INTEGER", float: "NUMBER"}.get(flag.kind, "TEXT")
    return f"{option}={kind}{',…' if flag.is_list else ''}"


def _about(flag: Flag) -> str:
    text = flag.help_text
    if flag.choices:
        text += f" One of {', '.join(flag.choices)}."
    if flag.default not in (None, ()) and not flag.name.startswith("no_"):
        shown = flag.default
        if flag.is_list:
            shown = ",".join(map(str, shown))
        elif flag.kind is bool:
            shown = "yes" if shown else "no"
        text += f" [default: {shown}]"
    return text


def _values(flags: list[Flag], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given, checked one by one."""
    found = {}
    for flag in flags:
        text = given[flag.name]
        if text is None:
            continue
        if flag.is_list:
            text = next(csv.reader([text]), [])
        found[flag.name] = value_of(flag, text)
    return found
