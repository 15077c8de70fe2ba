"""The entries of this family in the registry.

What is asked of foreign images, and the kinds of training that it is asked in.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

from robustjax import transforms
from robustjax.methods._entry import Entry
from robustjax.methods.features._adversarial import pgd
from robustjax.methods.features._fine_tuning import linear_probe
from robustjax.methods.features._mix_match import mix_match
from robustjax.methods.features._simclr import simclr


def _nothing() -> None:
    """No penalty: foreign images play no part in the loss."""


def _entry(
    name: str,
    role: str,
    make: Callable[..., Any],
    description: str,
    source: str,
    *needs: str,
    published: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
    given: tuple[str, ...] = (),
) -> Entry:
    """An entry; `given` are the arguments that whoever calls it provides."""
    return Entry(
        name,
        "features",
        role,
        make,
        description,
        source,
        published=published,
        setting_arguments=frozenset(given),
        needs=frozenset(needs),
    )


_PARK = "Park, Song, Kim, Lee, NeurIPS 2021"
_CHEN = "Chen, Kornblith, Norouzi, Hinton, ICML 2020"
_MIX = {"average_decay": 0.999}

ENTRIES = (
    _entry(
        "standard",
        "penalty",
        _nothing,
        "training on the target's examples alone",
        "the standard training",
    ),
    _entry(
        "joint",
        "penalty",
        _nothing,
        "pre-training on foreign images, too, then the standard training",
        f"{_PARK}, as a baseline",
        "ood_images",
        "pretraining",
    ),
    _entry(
        "oat",
        "penalty",
        transforms.oat,
        "the uniform distribution for foreign images",
        "Lee et al., ICLR 2021",
        "ood_images",
        published={"cifar": {"weight": 1.0}},
    ),
    _entry(
        "taufe",
        "penalty",
        transforms.taufe,
        "small features for foreign images",
        _PARK,
        "features",
        "ood_images",
        published={
            name: setting._asdict()
            for name, setting in transforms.TAUFE_SETTINGS.items()
        },
    ),
    _entry(
        "adversarial",
        "attack",
        pgd,
        "training on images moved against the network, by projected gradients",
        "Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018",
        published={
            "cifar10": {"radius": 8 / 255, "step_size": 2 / 255, "steps": 7},
            "mnist": {"radius": 0.3, "step_size": 0.01, "steps": 40},
        },
    ),
    _entry(
        "mix_match",
        "recipe",
        mix_match,
        "few labels, guesses for all other examples, and everything mixed",
        "Berthelot et al., NeurIPS 2019",
        "unlabeled",
        published={
            "cifar10": {"lambda_u": 75.0, **_MIX},
            "cifar100": {"lambda_u": 150.0, **_MIX},
            "svhn": {"lambda_u": 250.0, **_MIX},
            "stl10": {"lambda_u": 50.0, **_MIX},
            "taufe": {"lambda_u": 100.0, "ramp_up_steps": 16_000, **_MIX},
        },
        given=(
            "model",
            "optimizer",
            "epochs",
            "labeled",
            "ood",
            "penalty",
            "augment",
            "ood_augment",
            "preprocess",
        ),
    ),
    _entry(
        "simclr",
        "pretraining",
        simclr,
        "features without labels: two views of an image, against all other images",
        _CHEN,
        "features",
        published={"cifar10": {"temperature": 0.5}},
        given=("encoder", "optimizer", "augment", "outputs"),
    ),
    _entry(
        "linear_probe",
        "recipe",
        linear_probe,
        "the last layer of a pre-trained network, or all of it",
        f"{_CHEN}: linear evaluation and fine-tuning",
        "features",
        "pretraining",
        given=(
            "model",
            "params",
            "model_state",
            "optimizer",
            "epochs",
            "transform",
            "augment",
            "preprocess",
        ),
    ),
)
"""Penalties first, in the order in which a launcher runs them."""
