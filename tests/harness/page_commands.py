"""The commands of pages: read as they are shown, or run as a reader would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

from robustjax.tools.command.fields import flags_of
from robustjax.tools.command.verbs import VERBS
from tests.harness.tool_runs import run_verb
from tests.printed_tables.pages import printed_tables

# What training verbs get beside what the page says.
_SMALL = {"epochs": 6, "hidden": "32", "folds": 2, "batch_size": 32}


def launched(page: str) -> Iterator[tuple[str, str]]:
    """Every `python -m experiments.…` of a page: the module, and its arguments."""
    text = re.sub(r"\\\n\s*", "", page)
    text = re.sub(r"\s*\n\s*(?=--)", " ", text)
    yield from re.findall(r"python -m (experiments(?:\.\w+)+)([^`\n#]*)", text)
    # Tables that say in their header what their commands begin with.
    for table in printed_tables(page):
        start = re.fullmatch(r".*`python -m (.*)…`\)?", table.cells[0][-1])
        for row in table.cells[1:] if start else ():
            for command in re.findall("`(.*?)`", row[-1]):
                module, _, arguments = command.partition(" ")
                yield start[1] + module, arguments


def run_page(text: str) -> tuple[dict[str, Any], list[str]]:
    """Runs Python blocks and `robustjax` commands in their order, in this folder.

    Returns:
      The names that the code has by then, and what every command printed.
    """
    names: dict[str, Any] = {"print": lambda *parts: None}
    printed = []
    parts = r"```python\n(?P<code>.*?)```|^    robustjax (?P<command>[^\n]*)$"
    for found in re.finditer(parts, text, re.DOTALL | re.MULTILINE):
        if found["code"] is not None:
            exec(compile(found["code"], "page", "exec"), names)
            continue
        verb, *options = shlex.split(found["command"])
        fields: dict[str, Any] = {}
        for option in options:
            name, equals, value = option.removeprefix("--").partition("=")
            fields[name.replace("-", "_")] = value if equals else True
        known = {flag.name for flag in flags_of(VERBS[verb].config_class)}
        small = {name: value for name, value in _SMALL.items() if name in known}
        done = run_verb(verb, **small | fields)
        assert done.returncode == 0, (found["command"], done.stderr)
        printed.append(done.stdout)
    return names, printed
