"""The entries of this family in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from robustjax.methods._entry import Entry
from robustjax.methods.bias._bias_swap import bias_swap
from robustjax.methods.bias._conflict_sampling import conflict_sampling
from robustjax.methods.bias._dfa import dfa
from robustjax.methods.bias._group_dro import group_dro
from robustjax.methods.bias._hex import hex_projection
from robustjax.methods.bias._jtt import jtt
from robustjax.methods.bias._lff import lff
from robustjax.methods.bias._pgd import pgd
from robustjax.methods.bias._plain import gce_biased, vanilla
from robustjax.methods.bias._repair import repair
from robustjax.training import Recipe

SETTING_ARGUMENTS = frozenset(
    {
        "model",
        "optimizer",
        "epochs",
        "augment",
        "preprocess",
        "groups",
        "bias",
        "conflicting",
        "convolution",
        "networks",
        "patches",
    }
)

_NAM = "Nam et al., NeurIPS 2020"
_LEE = "Lee et al., NeurIPS 2021"


def _entry(
    name: str,
    make: Callable[..., Recipe],
    description: str,
    source: str,
    published: Mapping[str, Mapping[str, Any]] | None = None,
    needs: tuple[str, ...] = (),
) -> Entry:
    return Entry(
        name,
        "bias",
        "recipe",
        make,
        description,
        source,
        published=published or {},
        setting_arguments=SETTING_ARGUMENTS,
        needs=frozenset(needs),
    )


def _dfa(
    lambda_dis: float, lambda_swap_bias: float, lambda_swap: float
) -> dict[str, Any]:
    return {
        "lambda_dis": lambda_dis,
        "lambda_swap_bias": lambda_swap_bias,
        "lambda_swap": lambda_swap,
        "swap_from_step": 10_000,
    }


_LFF = {"q": 0.7, "decay": 0.7}

ENTRIES = (
    _entry("vanilla", vanilla, "cross-entropy", "the standard loss"),
    _entry(
        "gce_biased",
        gce_biased,
        "generalised cross-entropy, to learn the bias",
        f"{_NAM}, after Zhang, Sabuncu, NeurIPS 2018",
        {"colored_mnist": {"q": 0.7}, "corrupted_cifar10": {"q": 0.7}},
    ),
    _entry(
        "lff",
        lff,
        "learning from failure: weights by a biased network",
        _NAM,
        {"colored_mnist": _LFF, "corrupted_cifar10": _LFF},
    ),
    _entry(
        "jtt",
        jtt,
        "just train twice: errors of a first training up-weighted",
        "Liu et al., ICML 2021",
    ),
    _entry(
        "conflict_sampling",
        conflict_sampling,
        "a given share of conflicting examples in batches, maybe of few of them",
        _LEE,
        needs=("conflicting",),
    ),
    _entry(
        "group_dro",
        group_dro,
        "group distributionally robust optimisation",
        "Sagawa et al., ICLR 2020",
        {"waterbirds": {"step_size": 0.01}},
        needs=("groups",),
    ),
    _entry(
        "pgd",
        pgd,
        "draws by per-sample gradients of a biased network",
        "Ahn, Kim, Yun, ICLR 2023",
        {"colored_mnist": {"q": 0.7, "order": 0.7}},
        needs=("features",),
    ),
    _entry(
        "repair",
        repair,
        "examples kept by weights under which the bias says little",
        "Li, Vasconcelos, CVPR 2019",
        {
            "colored_mnist": {
                "weight_epochs": 200,
                "weight_learning_rate": 10.0,
                "classifier_learning_rate": 1e-3,
                "rule": "class_rank",
                "keep": 0.5,
            }
        },
        needs=("bias",),
    ),
    _entry(
        "dfa",
        dfa,
        "disentangled features of class and bias, swapped",
        _LEE,
        {
            "colored_mnist": _dfa(10.0, 10.0, 1.0),
            "corrupted_cifar10/99": _dfa(5.0, 5.0, 1.0),
            "corrupted_cifar10/98": _dfa(5.0, 5.0, 1.0),
            "corrupted_cifar10/99.5": _dfa(1.0, 1.0, 1.0),
            "corrupted_cifar10/95": _dfa(1.0, 1.0, 1.0),
            "bffhq": _dfa(2.0, 2.0, 0.1),
        },
        needs=("two_encoders",),
    ),
    _entry(
        "bias_swap",
        bias_swap,
        "images that are given the bias of conflicting ones",
        "Kim, Lee, Choo, ICCV 2021",
        needs=("class_maps",),
    ),
    _entry(
        "hex",
        hex_projection,
        "what texture explains is projected out",
        "Wang et al., ICLR 2019",
        needs=("features",),
    ),
)
"""In the order in which a launcher runs them."""
