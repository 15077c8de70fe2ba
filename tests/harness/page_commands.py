"""A page whose commands and code are run one after the other, as a reader would."""

from __future__ import annotations

import re
import shlex
from typing import Any

from robustjax.tools.command.fields import flags_of
from robustjax.tools.command.verbs import VERBS
from tests.harness.tool_runs import run_verb

# What training verbs get beside what the page says.
_SMALL = {"epochs": 6, "hidden": "32", "folds": 2, "batch_size": 32}


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
