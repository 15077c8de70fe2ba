"""The page of all published methods, from their registry."""

from __future__ import annotations

from typing import Any

from robustjax.methods import FAMILIES, NEEDS, Entry, entries

_LAUNCHED = {
    "bias": "`python -m experiments.dataset_bias` compares them.",
    "instructions": (
        "`python -m experiments.instruction_selection` compares them, "
        "`robustjax select-instructions` selects by one."
    ),
}
"""What to say of families without a study of their name."""


def page() -> str:
    """The text of the page."""
    lines = [
        "# All methods",
        "",
        "By family, as launchers and `robustjax.methods.entries` have them. Options",
        "are set by `--options=method.name=value` or as arguments of `entry.make`; one",
        "in bold has no default. [How to add a method](../project/contributing.md).",
        "",
    ]
    for family in FAMILIES:
        found = entries(family)
        lines += [
            f"## {family}",
            "",
            f"{len(found)} methods; {_LAUNCHED.get(family, _compared(family))}",
            "",
            "| method | what | source | options | needs |",
            "|---|---|---|---|---|",
            *map(_row, found),
            "",
        ]
    lines += ["## What a method can need", "", "| need | what |", "|---|---|"]
    lines += [f"| {name} | {_cell(what)} |" for name, what in NEEDS.items()]
    return "\n".join([*lines, ""])


def _compared(family: str) -> str:
    return f"`python -m experiments.{family}` compares them."


def _row(entry: Entry) -> str:
    options = ", ".join(
        f"**`{name}`**" if option.required else f"`{name}={_text(option.default)}`"
        for name, option in entry.options.items()
    )
    cells = (
        f"`{entry.name}`",
        _cell(entry.description),
        _cell(entry.source),
        options,
        ", ".join(sorted(entry.needs)),
    )
    return f"| {' | '.join(cells)} |"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return getattr(value, "__name__", None) or repr(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
