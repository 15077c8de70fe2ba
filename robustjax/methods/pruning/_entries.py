"""The entries of this family in the registry: the rules of `selection.select`."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from robustjax import selection
from robustjax.methods._entry import Entry
from robustjax.selection import PRUNING_METHODS, Selection
from robustjax.selection._greedy import selection as make_selection

_CALL = inspect.signature(selection.select, eval_str=True).parameters
_OUTER = {
    name: parameter
    for name, parameter in _CALL.items()
    if name not in ("method", "options")
}
SETTING_ARGUMENTS = frozenset(_OUTER)


def _everything(
    features: Any, probabilities: Any, labels: Any, fraction: float, **given: Any
) -> Selection:
    """All examples, as they come; the fraction is 1."""
    if fraction != 1:
        raise ValueError(f"fraction: got {fraction}, expected 1 with everything kept")
    del given
    size = len(next(x for x in (labels, features, probabilities) if x is not None))
    return make_selection(np.arange(size), np.zeros(size, np.float32), 0.0, size)


_everything.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    list(_OUTER.values())
)


def _rule(rule: str, **settled: Any) -> Callable[..., Selection]:
    """`selection.select` by one rule, with the rule's options in the signature."""
    chosen = PRUNING_METHODS[rule]
    parameters = inspect.signature(chosen.rule, eval_str=True).parameters
    own = [
        parameters[name].replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name in chosen.options
        if name not in settled
    ]

    def make(
        features: Any, probabilities: Any, labels: Any, fraction: float, **given: Any
    ) -> Selection:
        return selection.select(
            features, probabilities, labels, fraction, rule, **settled, **given
        )

    make.__name__ = make.__qualname__ = rule
    signature = inspect.Signature([*_OUTER.values(), *own])
    make.__signature__ = signature  # type: ignore[attr-defined]
    return make


def _entry(
    name: str,
    make: Callable[..., Selection],
    description: str,
    source: str,
    *needs: str,
    options: frozenset[str] = frozenset(),
    published: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
) -> Entry:
    return Entry(
        name,
        "pruning",
        "selection",
        make,
        description,
        source,
        published=published,
        setting_arguments=SETTING_ARGUMENTS - options,
        needs=frozenset(needs),
    )


_PARK = "Park et al., NeurIPS 2023"
_CONFIDENT = ("features", "probabilities")
_BALANCED = frozenset({"balance"})
_CLASSES = frozenset({"balance_labels"})
_THRESHOLDS = {
    "cifar10_n": {"threshold": 0.975},
    "cifar100_n": {"threshold": 0.95},
    "mini_webvision": {"threshold": 0.95},
    "clothing1m": {"threshold": 0.8},
    "imagenet_n": {"threshold": 0.95},
}

ENTRIES = (
    _entry("full", _everything, "everything", "the reference without pruning"),
    _entry(
        "uniform",
        _rule("uniform"),
        "at random",
        "the standard baseline",
        "key",
        options=_CLASSES,
    ),
    _entry(
        "small_loss",
        _rule("small_loss"),
        "smallest losses",
        "Jiang et al., ICML 2018; Han et al., NeurIPS 2018",
        "probabilities",
        "labels",
    ),
    _entry(
        "most_confident",
        _rule("most_confident"),
        "most confident predictions",
        "Prune4ReL's limit without neighbours, Park et al., NeurIPS 2023",
        "probabilities",
        options=_CLASSES,
    ),
    _entry(
        "margin",
        _rule("margin"),
        "least decided predictions",
        "Coleman et al., ICLR 2020",
        "probabilities",
    ),
    _entry(
        "k_center",
        _rule("k_center"),
        "farthest first",
        "Sener, Savarese, ICLR 2018",
        "features",
    ),
    _entry(
        "forgetting",
        _rule("forgetting"),
        "most forgotten",
        "Toneva et al., ICLR 2019",
        "training_record",
        "labels",
    ),
    _entry(
        "grand",
        _rule("grand"),
        "largest gradients of the last layer",
        "Paul, Ganguli, Dziugaite, NeurIPS 2021",
        "features",
        "probabilities",
        "labels",
    ),
    _entry(
        "el2n",
        _rule("el2n"),
        "largest errors",
        "Paul, Ganguli, Dziugaite, NeurIPS 2021",
        "probabilities",
        "labels",
    ),
    _entry(
        "ssp",
        _rule("ssp"),
        "far from prototypes",
        "Sorscher et al., NeurIPS 2022",
        "features",
        "key",
    ),
    _entry(
        "moderate",
        _rule("moderate"),
        "middling distances to class medians",
        "Xia et al., ICLR 2023",
        "features",
        "labels",
    ),
    _entry(
        "ccs",
        _rule("ccs"),
        "strata of the area under the margin",
        "Zheng et al., ICLR 2023",
        "training_record",
        "key",
    ),
    _entry(
        "prune4rel",
        _rule("prune4rel", objective="own"),
        "Prune4ReL as published",
        _PARK,
        *_CONFIDENT,
        published=_THRESHOLDS,
        options=_CLASSES,
    ),
    _entry(
        "prune4rel_balanced",
        _rule("prune4rel_balanced", objective="own"),
        "Prune4ReL as published, by class",
        _PARK,
        *_CONFIDENT,
        "labels",
        published=_THRESHOLDS,
        options=_BALANCED,
    ),
    _entry(
        "prune4rel_coverage",
        _rule("prune4rel", objective="coverage"),
        "Prune4ReL, greedy on its objective",
        f"{_PARK}, another optimiser",
        *_CONFIDENT,
        options=_CLASSES,
    ),
    _entry(
        "prune4rel_coverage_balanced",
        _rule("prune4rel_balanced", objective="coverage"),
        "Prune4ReL, greedy on its objective, by class",
        f"{_PARK}, another optimiser",
        *_CONFIDENT,
        "labels",
        options=_BALANCED,
    ),
)
"""In the order in which a launcher runs them."""
