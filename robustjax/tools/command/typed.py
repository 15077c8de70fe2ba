"""Errors that name options as people type them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from robustjax.tools.command.fields import flags_of
from robustjax.tools.options.devices import DeviceFlags

_PREFIX = "error: "


def as_typed(
    line: str, config_class: type[Any] | None = None, given: Collection[str] = ()
) -> str:
    """An error about a field, as one about its option.

    Args:
      line: "label_column: got …", maybe behind "error: ".
      config_class: whose fields are options; None where the first word is one.
      given: the fields that were given. What is read from a data set can have the name
        of an option that was not: this error is not about the option.
    """
    prefix, rest = "", line
    if line.startswith(_PREFIX):
        prefix, rest = _PREFIX, line[len(_PREFIX) :]
    found = re.match(r"[a-z]\w*", rest)
    if found is not None:
        name = found[0]
        if config_class is None or _is_meant(name, rest, config_class, given):
            rest = f"--{name.replace('_', '-')}{rest[len(name) :]}"
    return prefix + re.sub(r"--\w+", lambda word: word[0].replace("_", "-"), rest)


def _is_meant(
    name: str, text: str, config_class: type[Any], given: Collection[str]
) -> bool:
    flags = (*flags_of(config_class), *flags_of(DeviceFlags))
    defaults = {flag.name: flag.default for flag in flags}
    if name not in defaults or text[len(name) :][:1] not in (":", " ", "["):
        return False
    return name in given or "got nothing" in text or defaults[name] is not None
