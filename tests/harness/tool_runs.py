"""Verbs of the command, run in the process of the test."""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from robustjax.tools.command import run
from robustjax.tools.command.fields import flags_of, value_of
from robustjax.tools.command.verbs import VERBS
from robustjax.training import StopRequest


def options_of(fields: Mapping[str, Any]) -> list[str]:
    """Options as typed; None leaves one out, True and False are switches."""
    found = []
    for name, value in fields.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{'' if value else 'no-'}{option}")
        elif value is not None:
            found.append(f"--{option}={value}")
    return found


def run_verb(verb: str, **fields: Any) -> subprocess.CompletedProcess[str]:
    """`robustjax VERB --name=value …`, to its end."""
    arguments = [verb, *options_of(fields)]
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = run(arguments)
    return subprocess.CompletedProcess(
        arguments, status, output.getvalue(), errors.getvalue()
    )


def endings(verb: str, runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """What every run of a verb ends with: "fine", or its error about a field."""
    found = []
    for fields in runs:
        try:
            config = VERBS[verb].config_class(**_values(verb, fields))
            VERBS[verb].load()(config, StopRequest())
            found.append("fine")
        except ValueError as error:
            found.append(str(error))
    return found


def _values(verb: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {flag.name: flag for flag in flags_of(VERBS[verb].config_class)}
    values = {}
    for name, value in fields.items():
        if value is None:
            continue
        flag = known[name]
        if isinstance(value, bool):
            values[name] = value
        else:
            values[name] = value_of(
                flag, str(value).split(",") if flag.is_list else str(value)
            )
    return values
