"""The ways to choose a subset, from flags to the registry's methods of pruning."""

from __future__ import annotations

from typing import Any

from experiments.studies.pruning.config import DataPruningConfig
from robustjax import checks, selection
from robustjax.methods import entry
from robustjax.tools.method_options import errors_name_options, options_of

FULL = "full"
BALANCES = ("even", "authors")

_SHARED = ("confidence", "threshold", "temperature")
"""Flags that are options of methods, too, where these say nothing else."""


def settings_of(method: str, config: DataPruningConfig) -> dict[str, Any]:
    """The options of a method that the study or the user sets."""
    known = entry(method, "pruning")
    shared = {n: getattr(config, n) for n in _SHARED if n in known.options}
    return {**shared, **options_of(config.options, method, known)}


def sees_views(method: str) -> bool:
    """Whether a method gets the evaluation view of Prune4ReL, not the plain images."""
    return method.startswith("prune4rel")


def is_nested(method: str) -> bool:
    """Whether a smaller subset is the beginning of a larger one."""
    return method != "ccs"


def check(config: DataPruningConfig) -> None:
    """Raises `ValueError` for a bad name or option, before any data is loaded."""
    if not config.fractions:
        raise ValueError("fractions: got none, expected at least one")
    checks.in_range("fractions", config.fractions, 0, 1, low_open=True)
    if len(set(config.fractions)) < len(config.fractions):
        raise ValueError(f"fractions: got {config.fractions}, expected each once")
    for name in _SHARED:
        selection.check_pruning_option(name, getattr(config, name))
    for method in config.methods:
        own = settings_of(method, config)
        with errors_name_options(method, entry(method, "pruning"), own):
            for name, value in own.items():
                if name == "balance":
                    checks.one_of(name, value, BALANCES)
                else:
                    selection.check_pruning_option(name, value)
    if "ccs" in config.methods:
        default = entry("ccs", "pruning").options["hard_cutoff"].default
        cutoff = settings_of("ccs", config).get("hard_cutoff", default)
        if max(config.fractions) > 1 - cutoff + 1e-9:
            raise ValueError(
                f"fractions: got {max(config.fractions):g}, expected at most "
                f"{1 - cutoff:g}, which ccs has left with hard_cutoff={cutoff:g}"
            )
