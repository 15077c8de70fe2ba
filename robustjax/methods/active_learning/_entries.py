"""The entries of this family in the registry: query strategies, and their sources."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

from robustjax.methods._entry import Entry, made_by_name
from robustjax.methods.active_learning._csi import csi
from robustjax.methods.active_learning._learning_loss import learning_loss
from robustjax.methods.active_learning._open_set_round import QueryStrategy
from robustjax.methods.active_learning._query_ccal import Ccal
from robustjax.methods.active_learning._query_diverse import Badge, Coreset
from robustjax.methods.active_learning._query_informativeness import (
    MostInformative,
    RandomQuery,
)
from robustjax.methods.active_learning._query_mqnet import OF_THE_FIT, MQNetQuery
from robustjax.methods.active_learning._query_similar import (
    SimilarCoverage,
    SimilarLogDet,
)

_OF_MQNET = (*OF_THE_FIT, "first_round")
# MQNet's fit as in the authors' code: 100 epochs of at least 100 steps. It ends long
# before the loss has, so that the defaults differ, see `MQNetQuery`. In confidence mode
# their first round is `first_round="raw"`.
_CODE_OF_THE_FIT = {
    "margin": 1.0,
    "learning_rate": 0.001,
    "weight_decay": 0.0,
    "batch_size": 32,
    "ties": "as_lower",
    "clip": None,
}
_PARK = "Park et al., NeurIPS 2022"
_SIMILAR = "Kothawade, Beck, Killamsetty, Iyer, NeurIPS 2021"
_UNCERTAINTY = "uncertainty sampling; Lewis, Gale, SIGIR 1994"


def _entry(
    name: str,
    make: Callable[..., QueryStrategy],
    description: str,
    source: str,
    *needs: str,
    published: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
    unused: tuple[str, ...] = (),
    **fixed: Any,
) -> Entry:
    """An entry whose strategy is called by its name, unless told otherwise."""
    return Entry(
        name,
        "active_learning",
        "strategy",
        functools.partial(make, name=name, **fixed),
        description,
        source,
        published=published,
        setting_arguments=frozenset({"name"}),
        needs=frozenset(needs),
        unused=frozenset(unused),
    )


STRATEGIES = (
    _entry("random", RandomQuery, "uniformly at random", "the standard baseline"),
    _entry(
        "conf",
        MostInformative,
        "lowest largest probability",
        _UNCERTAINTY,
        measure="conf",
    ),
    _entry(
        "conf_logit",
        MostInformative,
        "lowest largest logit, CONF in MQNet's public code",
        f"public code of {_PARK}",
        measure="conf_logit",
    ),
    _entry(
        "margin",
        MostInformative,
        "smallest gap between two probabilities",
        "Scheffer, Decomain, Wrobel, IDA 2001",
        measure="margin",
    ),
    _entry(
        "entropy",
        MostInformative,
        "highest entropy",
        "uncertainty sampling; Settles, Craven, EMNLP 2008",
        measure="entropy",
    ),
    _entry(
        "ll",
        MostInformative,
        "highest predicted loss",
        "Yoo, Kweon, CVPR 2019",
        "loss_prediction",
        measure="ll",
    ),
    _entry(
        "coreset",
        Coreset,
        "farthest from labelled IN examples (k-center)",
        "Sener, Savarese, ICLR 2018",
    ),
    _entry(
        "badge",
        Badge,
        "k-means++ seeds among last-layer gradients",
        "Ash et al., ICLR 2020",
    ),
    _entry(
        "ccal",
        Ccal,
        "semantically near and distinctively far, class by class",
        "Du et al., ICCV 2021",
        "rotations",
    ),
    _entry(
        "similar_flcmi",
        SimilarCoverage,
        "SIMILAR: covers what is like labelled IN and unlike OOD",
        _SIMILAR,
        "ood_output",
        function="flcmi",
    ),
    _entry(
        "similar_flcg",
        SimilarCoverage,
        "SIMILAR: covers what is unlike labelled OOD",
        _SIMILAR,
        "ood_output",
        unused=("eta",),
        function="flcg",
    ),
    _entry(
        "similar_logdet",
        SimilarLogDet,
        "SIMILAR by log-determinants, its default in MQNet's public code",
        _SIMILAR,
        "ood_output",
    ),
    _entry(
        "sum",
        MQNetQuery,
        "purity plus informativeness",
        f"{_PARK}, as a baseline",
        "projections",
        "loss_prediction",
        unused=_OF_MQNET,
        rule="sum",
    ),
    _entry(
        "product",
        MQNetQuery,
        "purity times informativeness",
        f"{_PARK}, as a baseline",
        "projections",
        "loss_prediction",
        unused=_OF_MQNET,
        rule="product",
    ),
    _entry(
        "mqnet",
        MQNetQuery,
        "purity and informativeness, weighed by answers",
        _PARK,
        "projections",
        "loss_prediction",
        published={
            data: {**_CODE_OF_THE_FIT, "steps": steps}
            for data, steps in (
                ("cifar10", 11_200),
                ("cifar100", 11_200),
                ("imagenet50", 12_800),
                ("cross_cifar10", 12_800),
                ("cross_cifar100", 12_600),
                ("cross_imagenet50", 12_800),
            )
        },
    ),
)
"""In the order in which a launcher runs them."""

ENTRIES = (
    *STRATEGIES,
    Entry(
        "csi",
        "active_learning",
        "pretraining",
        csi,
        "features without labels: views of an image, against its own rotations, too",
        "Tack, Mo, Jeong, Shin, NeurIPS 2020",
        published={"cifar10": {"temperature": 0.5, "projection": (512, 128)}},
        setting_arguments=frozenset({"encoder", "optimizer", "augment", "outputs"}),
        needs=frozenset({"features", "square_images"}),
    ),
    Entry(
        "learning_loss",
        "active_learning",
        "recipe",
        learning_loss,
        "a classifier beside a module that predicts its losses",
        "Yoo, Kweon, CVPR 2019",
        published={"cifar10": {"detach_after": 0.6}},
        setting_arguments=frozenset({"make_recipe", "classifier", "epochs"}),
        needs=frozenset({"features"}),
    ),
)
"""The strategies, and what they take from the pool or from the classifier."""


def make_strategy(method: str, /, **options: Any) -> QueryStrategy:
    """Builds a query strategy by name.

    Args:
      method: the name of a strategy's entry.
      **options: of that entry, instead of their defaults; and `name`, what reports
        call it.

    Raises:
      ValueError: an unknown name or option, with the list of known ones, or an option
        outside its range.
    """
    made: QueryStrategy = made_by_name(STRATEGIES, method, options)
    return made
