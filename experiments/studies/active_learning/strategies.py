"""Query strategies by name, and their options from flags."""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Sequence
from typing import Any

from robustjax import checks
from robustjax.methods.active_learning import (
    STRATEGIES,
    QueryStrategy,
    make_strategy,
    strategy_options,
)

_WORDS = {"true": True, "yes": True, "false": False, "no": False, "none": None}
_TYPES = {
    bool: "true or false",
    int: "an int",
    float: "a float",
    str: "a text",
    type(None): "none",
}


def resolve_strategies(entries: Sequence[str]) -> dict[str, str]:
    """Label -> strategy, in order.

    Args:
      entries: "all", or names of strategies, or "label=strategy".

    Raises:
      ValueError: none, an unknown strategy, or a label that occurs twice or cannot be
        the name of a folder.
    """
    if tuple(entries) == ("all",):
        return {name: name for name in STRATEGIES}
    found: dict[str, str] = {}
    for entry in entries:
        label, equals, name = entry.partition("=")
        name = name if equals else label
        checks.one_of("strategies", name, STRATEGIES)
        if not label.replace("-", "_").isidentifier():
            raise ValueError(
                f"strategies: got {entry!r}, expected a label of letters, digits and _"
            )
        if label in found:
            raise ValueError(f"strategies: got {label} twice, expected each name once")
        found[label] = name
    if not found:
        raise ValueError("strategies: got none, expected at least one")
    return found


def preset_options(labels: dict[str, str], entries: Sequence[str]) -> tuple[str, ...]:
    """A preset's options, which are for strategies, as options of labels.

    Args:
      labels: of `resolve_strategies`.
      entries: "strategy.option=value"; those of strategies that do not run are left
        out.
    """
    found = []
    for entry in entries:
        name, _, rest = entry.partition(".")
        found += [f"{label}.{rest}" for label, own in labels.items() if own == name]
    return tuple(found)


def make_strategies(
    labels: dict[str, str], entries: Sequence[str]
) -> dict[str, QueryStrategy]:
    """Label -> strategy with its options.

    Args:
      labels: of `resolve_strategies`.
      entries: "label.option=value", later ones over earlier ones.

    Raises:
      ValueError: an entry of another form, an unknown label or option, or a value of
        another type or outside its range.
    """
    options: dict[str, dict[str, Any]] = {label: {} for label in labels}
    for entry in entries:
        name, equals, value = entry.partition("=")
        label, dot, key = name.partition(".")
        if not (equals and dot and value and key):
            raise ValueError(f"options: got {entry!r}, expected strategy.option=value")
        checks.one_of("options", label, labels)
        known = [known for known in strategy_options(labels[label]) if known != "name"]
        if key not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(f"options: {label} has no {key!r}; it has {listed}")
        options[label][key] = _checked(entry, labels[label], key, _parse(value))
    return {
        label: make_strategy(name, **{"name": label, **options[label]})
        for label, name in labels.items()
    }


def _parse(value: str) -> Any:
    """A number, a truth value or None where it is one, else the text."""
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value


def _checked(entry: str, strategy: str, key: str, value: Any) -> Any:
    """The value, if it is of the option's type.

    Raises:
      ValueError: it is not.
    """
    hint = typing.get_type_hints(type(make_strategy(strategy)))[key]
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    # A truth value is an int to Python, and no number to a person.
    fits = type(value) in allowed or (type(value) is int and float in allowed)
    if not fits:
        names = [_TYPES[each] for each in allowed]
        raise ValueError(
            f"options: got {entry!r}, expected {' or '.join(names)} for {key}"
        )
    return value
