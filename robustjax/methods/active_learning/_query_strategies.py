"""The query strategies of open-set active learning by name."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

from robustjax import checks
from robustjax.methods.active_learning._open_set_round import QueryStrategy
from robustjax.methods.active_learning._query_ccal import Ccal
from robustjax.methods.active_learning._query_diverse import Badge, Coreset
from robustjax.methods.active_learning._query_informativeness import (
    MostInformative,
    RandomQuery,
)
from robustjax.methods.active_learning._query_mqnet import MQNetQuery
from robustjax.methods.active_learning._query_similar import (
    SimilarCoverage,
    SimilarLogDet,
)


class _Entry(NamedTuple):
    """A strategy: what it does, its class, what its name settles and what is moot."""

    description: str
    make: Any
    fixed: Mapping[str, Any] = {}
    unused: tuple[str, ...] = ()


_OF_THE_FIT = (
    "reinitialize",
    "first_round",
    "monotone",
    "steps",
    "learning_rate",
    "margin",
    "batch_size",
    "weight_decay",
    "ties",
)

_ENTRIES: dict[str, _Entry] = {
    "random": _Entry("uniformly at random", RandomQuery),
    "conf": _Entry("lowest largest probability", MostInformative, {"measure": "conf"}),
    "conf_logit": _Entry(
        "lowest largest logit, CONF in MQNet's public code",
        MostInformative,
        {"measure": "conf_logit"},
    ),
    "margin": _Entry(
        "smallest gap between two probabilities", MostInformative, {"measure": "margin"}
    ),
    "entropy": _Entry("highest entropy", MostInformative, {"measure": "entropy"}),
    "ll": _Entry("highest predicted loss", MostInformative, {"measure": "ll"}),
    "coreset": _Entry("farthest from labelled IN examples (k-center)", Coreset),
    "badge": _Entry("k-means++ seeds among last-layer gradients", Badge),
    "ccal": _Entry("semantically near and distinctively far, class by class", Ccal),
    "similar_flcmi": _Entry(
        "SIMILAR: covers what is like labelled IN and unlike OOD",
        SimilarCoverage,
        {"function": "flcmi"},
    ),
    "similar_flcg": _Entry(
        "SIMILAR: covers what is unlike labelled OOD",
        SimilarCoverage,
        {"function": "flcg"},
        ("eta",),
    ),
    "similar_logdet": _Entry(
        "SIMILAR by log-determinants, its default in MQNet's public code", SimilarLogDet
    ),
    "sum": _Entry(
        "purity plus informativeness", MQNetQuery, {"rule": "sum"}, _OF_THE_FIT
    ),
    "product": _Entry(
        "purity times informativeness",
        MQNetQuery,
        {"rule": "product"},
        _OF_THE_FIT,
    ),
    "mqnet": _Entry("purity and informativeness, weighed by answers", MQNetQuery),
}

STRATEGIES: Mapping[str, str] = types.MappingProxyType(
    {name: entry.description for name, entry in _ENTRIES.items()}
)
"""Names for `make_strategy`, and what they do in a few words."""


def strategy_options(strategy: str) -> dict[str, Any]:
    """The options of a strategy and their defaults; `name` is what reports call it.

    Raises:
      ValueError: an unknown name, with the list of known ones.
    """
    checks.one_of("strategy", strategy, _ENTRIES)
    entry = _ENTRIES[strategy]
    hidden = {*entry.fixed, *entry.unused, "name"}
    options = {
        field.name: field.default
        for field in dataclasses.fields(entry.make)
        if field.name not in hidden
    }
    return {"name": strategy, **options}


def make_strategy(strategy: str, /, **options: Any) -> QueryStrategy:
    """Builds a strategy by name.

    Args:
      strategy: of `STRATEGIES`.
      **options: of `strategy_options`, instead of their defaults.

    Raises:
      ValueError: an unknown name or option, with the list of known ones, or an option
        outside its range.
    """
    known = strategy_options(strategy)
    for option in options:
        checks.one_of(f"option of {strategy}", option, known)
    entry = _ENTRIES[strategy]
    made: QueryStrategy = entry.make(**{"name": strategy, **entry.fixed, **options})
    return made
