"""Flags of the optimiser that would change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.study.flags import Use, check_of_use
from robustjax.tools.optimizer import unused_drops, unused_flags
from robustjax.tools.options.groups import OptimizerFlags, SgdFlags


def check_given(given: Mapping[str, Any], *configs: OptimizerFlags) -> None:
    """Raises `ValueError` for a flag that would change nothing; presets may have it.

    Args:
      given: the fields that were given as flags.
      *configs: every field, of every method that has a setting of its own.
    """
    first, *others = [unused_flags(config) for config in configs]
    uses = [
        Use(name, not all(name in unused for unused in others), why)
        for name, why in first.items()
    ]
    check_of_use(given, uses)


def check_given_drops(given: Mapping[str, Any], config: SgdFlags) -> None:
    """The same of studies whose optimiser is SGD with drops of the rate."""
    unused = unused_drops(config).items()
    check_of_use(given, [Use(name, False, why) for name, why in unused])
