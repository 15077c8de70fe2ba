"""The ways to choose a subset, from flags to the registry's methods of pruning."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from experiments.studies.pruning.config import DataPruningConfig
from robustjax import checks, scores
from robustjax.methods import entry
from robustjax.selection import CONFIDENCES, KEEPS, RANKINGS

FULL = "full"
BALANCES = ("even", "authors")

_FLAGS: Mapping[str, str] = types.MappingProxyType(
    {
        "never_learned": "never_learned",
        "keep": "ssp_keep",
        "hard_cutoff": "hard_cutoff",
        "confidence": "confidence",
        "threshold": "threshold",
        "temperature": "temperature",
        "ranking": "ranking",
        "balance": "balance",
    }
)
"""Options of methods -> the flags that they are taken from."""


def settings_of(method: str, config: DataPruningConfig) -> dict[str, Any]:
    """The options of a method that flags set."""
    options = entry(method, "pruning").options
    return {o: getattr(config, flag) for o, flag in _FLAGS.items() if o in options}


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
    checks.one_of("confidence", config.confidence, CONFIDENCES)
    checks.in_range("threshold", config.threshold, 0, 1)
    checks.in_range("temperature", config.temperature, 0, low_open=True)
    checks.one_of("ranking", config.ranking, RANKINGS)
    checks.one_of("balance", config.balance, BALANCES)
    checks.one_of("ssp_keep", config.ssp_keep, KEEPS)
    checks.one_of("never_learned", config.never_learned, scores.NEVER_LEARNED)
    checks.in_range("hard_cutoff", config.hard_cutoff, 0, 1, high_open=True)
    most = 1 - config.hard_cutoff
    if "ccs" in config.methods and max(config.fractions) > most + 1e-9:
        raise ValueError(
            f"fractions: got {max(config.fractions):g}, expected at most {most:g}, "
            f"which ccs has left with hard_cutoff={config.hard_cutoff:g}"
        )
