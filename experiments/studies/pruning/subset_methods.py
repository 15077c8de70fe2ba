"""The ways to choose a subset, by name: from flags to `selection.select`."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

from experiments.studies.pruning.config import DataPruningConfig
from robustjax import checks, scores
from robustjax.selection import CONFIDENCES, KEEPS, RANKINGS

FULL = "full"
BALANCES = ("even", "authors")


@dataclasses.dataclass(frozen=True)
class SubsetMethod:
    """A way to choose a subset.

    Attributes:
      rule: one of `selection.PRUNING_METHODS`; None keeps everything.
      description: one line for people.
      options: of the rule, that make it this method.
      flags: options of the rule -> flags that they are taken from.
    """

    rule: str | None
    description: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flags: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def settings(self, config: DataPruningConfig) -> dict[str, Any]:
        """All options of the rule."""
        return {
            **self.options,
            **{option: getattr(config, flag) for option, flag in self.flags.items()},
        }


_NEIGHBORS = {
    name: name for name in ("confidence", "threshold", "temperature", "ranking")
}
_BALANCED = {**_NEIGHBORS, "balance": "balance"}

SUBSET_METHODS: Mapping[str, SubsetMethod] = types.MappingProxyType(
    {
        FULL: SubsetMethod(None, "everything"),
        "uniform": SubsetMethod("uniform", "at random"),
        "small_loss": SubsetMethod("small_loss", "smallest losses"),
        "margin": SubsetMethod("margin", "least decided predictions"),
        "k_center": SubsetMethod("k_center", "farthest first"),
        "forgetting": SubsetMethod(
            "forgetting",
            "most forgotten",
            flags={"never_learned": "never_learned"},
        ),
        "grand": SubsetMethod("grand", "largest gradients of the last layer"),
        "el2n": SubsetMethod("el2n", "largest errors"),
        "ssp": SubsetMethod("ssp", "far from prototypes", flags={"keep": "ssp_keep"}),
        "moderate": SubsetMethod("moderate", "middling distances to class medians"),
        "ccs": SubsetMethod(
            "ccs",
            "strata of the area under the margin",
            flags={"hard_cutoff": "hard_cutoff"},
        ),
        "prune4rel": SubsetMethod(
            "prune4rel", "Prune4ReL as published", {"objective": "own"}, _NEIGHBORS
        ),
        "prune4rel_balanced": SubsetMethod(
            "prune4rel_balanced",
            "Prune4ReL as published, by class",
            {"objective": "own"},
            _BALANCED,
        ),
        "prune4rel_coverage": SubsetMethod(
            "prune4rel",
            "Prune4ReL, greedy on its objective",
            {"objective": "coverage"},
            _NEIGHBORS,
        ),
        "prune4rel_coverage_balanced": SubsetMethod(
            "prune4rel_balanced",
            "Prune4ReL, greedy on its objective, by class",
            {"objective": "coverage"},
            _BALANCED,
        ),
    }
)
"""The launcher's methods."""


def sees_views(method: str) -> bool:
    """Whether a method gets the evaluation view of Prune4ReL, not the plain images."""
    rule = SUBSET_METHODS[method].rule
    return rule is not None and rule.startswith("prune4rel")


def is_nested(method: str) -> bool:
    """Whether a smaller subset is the beginning of a larger one."""
    return SUBSET_METHODS[method].rule != "ccs"


def check(config: DataPruningConfig) -> None:
    """Raises `ValueError` for a bad name or option, before any data is loaded."""
    if not config.methods:
        raise ValueError("methods: got none, expected at least one")
    for name in config.methods:
        checks.one_of("methods", name, SUBSET_METHODS)
    if len(set(config.methods)) < len(config.methods):
        raise ValueError(
            f"methods: got {','.join(config.methods)}, expected each name once"
        )
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
