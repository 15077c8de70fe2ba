"""The ways to choose a subset, from flags to the registry's methods of pruning."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from experiments.studies.pruning.config import DataPruningConfig
from robustjax import checks, selection
from robustjax.methods import Entry, entries
from robustjax.tools.method_options import (
    choose_methods,
    errors_name_options,
    options_of,
)

FULL = "full"
BALANCES = ("even", "authors")

_SHARED = ("confidence", "threshold", "temperature")
"""Flags that are options of methods, too, where these say nothing else."""
# In the published comparison what was never learned was never forgotten; as the most
# forgotten it would be nearly all that is kept of noisy data.
_COMPARED: Mapping[str, Mapping[str, Any]] = types.MappingProxyType(
    {"forgetting": {"never_learned": "least"}}
)


def methods_of(config: DataPruningConfig) -> dict[str, Entry]:
    """Label -> method; a method may run under several labels.

    Raises:
      ValueError: an unknown method or a bad label.
    """
    return choose_methods(config.methods, entries("pruning"))


def settings_of(label: str, config: DataPruningConfig) -> dict[str, Any]:
    """The options of a label's method that the study or the user sets."""
    known = methods_of(config)[label]
    shared = {n: getattr(config, n) for n in _SHARED if n in known.options}
    compared = _COMPARED.get(known.name, {})
    return {**shared, **compared, **options_of(config.options, label, known)}


def sees_views(method: str) -> bool:
    """Whether a method gets the evaluation view of Prune4ReL, not the plain images."""
    return method.startswith("prune4rel") or method == "most_confident"


def is_nested(method: str) -> bool:
    """Whether a smaller subset is the beginning of a larger one."""
    return method != "ccs"


def check(config: DataPruningConfig) -> None:
    """Raises `ValueError` for a bad name or option, before any data is loaded."""
    if not config.fractions:
        raise ValueError("fractions: got none, expected at least one")
    checks.in_range("fractions", config.fractions, 0, 1, low_open=True)
    # Files are named by so many digits.
    if len({f"{each:g}" for each in config.fractions}) < len(config.fractions):
        raise ValueError(f"fractions: got {config.fractions}, expected each once")
    for name in _SHARED:
        selection.check_pruning_option(name, getattr(config, name))
    for label, known in methods_of(config).items():
        own = settings_of(label, config)
        with errors_name_options(label, known, own):
            for name, value in own.items():
                if name == "balance":
                    checks.one_of(name, value, BALANCES)
                elif name == "balance_labels":
                    checks.one_of(name, value, selection.BALANCE_LABELS)
                else:
                    selection.check_pruning_option(name, value)
        if known.name == FULL and label != FULL:
            raise ValueError(f"methods: got {label}={FULL}, expected {FULL} alone")
        if known.name == "ccs":
            _check_left(config, label, known)


def _check_left(config: DataPruningConfig, label: str, known: Entry) -> None:
    """Raises `ValueError` for fractions larger than what CCS does not cut off."""
    default = known.options["hard_cutoff"].default
    cutoff = settings_of(label, config).get("hard_cutoff", default)
    if max(config.fractions) > 1 - cutoff + 1e-9:
        raise ValueError(
            f"fractions: got {max(config.fractions):g}, expected at most "
            f"{1 - cutoff:g}, which {label} has left with hard_cutoff={cutoff:g}"
        )
