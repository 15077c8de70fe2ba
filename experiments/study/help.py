"""What `--help` of a launcher shows."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from experiments.study import flags as study_flags
from experiments.study.flag_groups import GROUPS
from experiments.study.flags import as_flag
from experiments.study.presets import Preset
from robustjax.methods import Entry
from robustjax.tools.command.fields import OWN_GROUP, flags_of
from robustjax.tools.method_options import as_texts

_PROCESSES = "Devices and processes"


def help_text(
    text: str,
    launcher: str,
    config_class: type[Any] | None,
    presets: Mapping[str, Preset],
    methods: Sequence[Entry] = (),
) -> str:
    """Everything that a launcher takes.

    Args:
      text: what it says of itself.
      launcher: its module, such as "experiments.pruning".
      config_class: its configuration, or None.
      presets: by name.
      methods: that it can run or that have options.
    """
    shown = [text.strip()]
    for title, lines in _groups(config_class).items():
        if lines:
            shown.append("\n".join([f"{title}:", *lines]))
    if methods:
        title = "Methods, and what --options=method.name=value can set:"
        shown.append("\n".join([title, *map(_method, methods)]))
    if presets:
        shown.append("\n\n".join(["Presets:", *_presets(launcher, presets)]))
    return "\n\n".join(shown)


def _groups(config_class: type[Any] | None) -> dict[str, list[str]]:
    """Title -> a line or more per flag."""
    groups: dict[str, list[str]] = {OWN_GROUP: [], **{name: [] for name in GROUPS}}
    groups[_PROCESSES] = []
    fields = flags_of(config_class) if config_class is not None else []
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        if module == "experiments.study.processes":
            group = _PROCESSES
        elif module == "experiments.study.decoded_cache":
            group = "Data"
        elif module == study_flags.__name__:
            group = "Run"
        elif module in (sys.argv[0], "__main__"):
            group = OWN_GROUP
        else:
            continue
        named = {field.name for field in fields}
        for flag in defined:
            if flag.name not in named:
                groups[group] += _lines(flag.name, flag.help or "", flag.default, None)
    for field in fields:
        kind = f"{field.kind.__name__}s" if field.is_list else field.kind.__name__
        groups[field.group] += _lines(field.name, field.help_text, field.default, kind)
    return groups


def _lines(name: str, text: str, default: Any, kind: str | None) -> list[str]:
    start = f"  --[no]{name}" if kind == "bool" else f"  --{name}"
    if default is not None and default != ():
        value = ", ".join(map(str, default)) if _is_list(default) else str(default)
        text = f"{text} Default: {value}."
    body = textwrap.wrap(" ".join(text.split()), 56)
    first, *rest = body or [""]
    pad = " " * 30
    if len(start) > 28:
        return [start, *(pad + line for line in body)]
    return [f"{start:<30}{first}", *(pad + line for line in rest)]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _method(entry: Entry) -> str:
    """What a method is, and its options with their defaults."""
    values = {
        name: "…" if option.required else option.default
        for name, option in entry.options.items()
    }
    parts = [f"{entry.description} ({entry.source})", " ".join(as_texts(values))]
    return textwrap.fill(
        "; ".join(part for part in parts if part),
        86,
        initial_indent=f"  {entry.name}: ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _presets(launcher: str, presets: Mapping[str, Preset]) -> list[str]:
    shown = []
    for name, preset in presets.items():
        sets = " ".join(as_flag(key, value) for key, value in preset.fields.items())
        parts = [
            f"sets {sets}",
            preset.command(launcher, name),
            f"expect: {preset.expect}",
        ]
        lines = [f"  {name}: {preset.about}"]
        for part in parts:
            lines += textwrap.wrap(
                part,
                86,
                initial_indent="    ",
                subsequent_indent="      ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        shown.append("\n".join(lines))
    return shown
