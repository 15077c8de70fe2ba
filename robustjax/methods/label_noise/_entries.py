"""The entries of this family in the registry."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

from robustjax import transforms
from robustjax.methods._entry import Entry
from robustjax.methods.label_noise import _robust_losses as losses
from robustjax.methods.label_noise._co_teaching import co_teaching
from robustjax.methods.label_noise._divide_mix import divide_mix
from robustjax.methods.label_noise._elr_plus import elr_plus
from robustjax.methods.label_noise._heteroscedastic import heteroscedastic
from robustjax.methods.label_noise._jocor import jocor
from robustjax.methods.label_noise._noise_adaptation import noise_adaptation
from robustjax.methods.label_noise._robust_losses import robust_loss
from robustjax.methods.label_noise._self_learning import self_learning
from robustjax.methods.label_noise._sop_plus import sop_plus
from robustjax.methods.label_noise._transition_training import transition_training
from robustjax.training import Recipe
from robustjax.transforms import LossTransform

SETTING_ARGUMENTS = frozenset(
    {
        "model",
        "optimizer",
        "epochs",
        "augment",
        "weak",
        "strong",
        "preprocess",
        "key",
    }
)

_ZHANG = "Zhang, Sabuncu, NeurIPS 2018"
_MA = "Ma et al., ICML 2020"
_LIU = "Liu et al., NeurIPS 2020"
_SOP = "Liu, Zhu, Qu, You, ICML 2022"
_LI = "Li, Socher, Hoi, ICLR 2020"
_PATRINI = "Patrini et al., CVPR 2017"


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
        "label_noise",
        "recipe",
        make,
        description,
        source,
        published=published or {},
        setting_arguments=SETTING_ARGUMENTS,
        needs=frozenset(needs),
    )


@dataclasses.dataclass(frozen=True)
class LossRecipe:
    """Plain training with a loss, as a factory of recipes.

    Its signature has the arguments of `robust_loss` and those of the loss.

    Attributes:
      factory: `(**options) -> transform`, a chain with a head.
    """

    factory: Callable[..., LossTransform]

    @property
    def __signature__(self) -> inspect.Signature:
        training = inspect.signature(robust_loss, eval_str=True)
        outer = [p for name, p in training.parameters.items() if name != "transform"]
        own = inspect.signature(self.factory, eval_str=True).parameters.values()
        keyword = inspect.Parameter.KEYWORD_ONLY
        return training.replace(
            parameters=[*outer, *(p.replace(kind=keyword) for p in own)]
        )

    def __call__(self, model: Any, optimizer: Any, **arguments: Any) -> Recipe:
        """The recipe; see `robust_loss`."""
        own = inspect.signature(self.factory).parameters
        options = {key: arguments.pop(key) for key in own if key in arguments}
        return robust_loss(model, optimizer, self.factory(**options), **arguments)


def _loss(
    name: str, factory: Callable[..., LossTransform], *about: Any, **more: Any
) -> Entry:
    return _entry(name, LossRecipe(factory), *about, **more)


def _corrected(correction: str) -> Callable[..., Recipe]:
    return functools.partial(transition_training, correction=correction)


ENTRIES = (
    _loss("ce", transforms.ce, "cross-entropy", "the standard loss"),
    _loss(
        "mae", transforms.mae, "mean absolute error", "Ghosh, Kumar, Sastry, AAAI 2017"
    ),
    _loss(
        "gce",
        transforms.gce,
        "generalised cross-entropy",
        _ZHANG,
        {"cifar10": {"q": 0.7}, "cifar100": {"q": 0.7}},
    ),
    _loss(
        "truncated_gce",
        transforms.truncated_gce,
        "generalised cross-entropy, improbable labels left out",
        _ZHANG,
        {
            "cifar10": {"q": 0.7, "k": 0.5, "start_epoch": 39},
            "cifar100": {"q": 0.7, "k": 0.5, "start_epoch": 79},
        },
    ),
    _loss(
        "symmetric_ce",
        transforms.symmetric_ce,
        "cross-entropy and reverse cross-entropy",
        "Wang et al., ICCV 2019",
        {
            "cifar10": {"alpha": 0.1, "beta": 1.0},
            "cifar100": {"alpha": 6.0, "beta": 0.1},
        },
    ),
    _loss("nce", transforms.nce, "normalised cross-entropy", _MA),
    _loss("nfl", transforms.nfl, "normalised focal loss", _MA),
    _loss("ngce", transforms.ngce, "normalised generalised cross-entropy", _MA),
    _loss(
        "active_passive",
        transforms.active_passive,
        "an active and a passive loss (APL)",
        _MA,
        {
            "cifar10": {"alpha": 1.0, "beta": 1.0},
            "cifar100": {"alpha": 10.0, "beta": 0.1},
        },
    ),
    _loss(
        "jensen_shannon",
        transforms.jensen_shannon,
        "Jensen-Shannon divergence of label and prediction",
        "Englesson, Azizpour, NeurIPS 2021",
        {
            "cifar10/symmetric": {"label_weight": 0.7},
            "cifar10/symmetric-60": {"label_weight": 0.9},
            "cifar10/symmetric-80": {"label_weight": 0.9},
            "cifar10/asymmetric": {"label_weight": 0.3},
            "cifar100/symmetric": {"label_weight": 0.3},
            "cifar100/symmetric-20": {"label_weight": 0.1},
            "cifar100/symmetric-60": {"label_weight": 0.5},
            "cifar100/asymmetric": {"label_weight": 0.5},
        },
    ),
    _loss(
        "bootstrap",
        transforms.bootstrap,
        "labels mixed with predictions",
        "Reed et al., ICLR 2015",
    ),
    _loss(
        "label_smoothing",
        losses.label_smoothing,
        "labels mixed with the uniform distribution",
        "Szegedy et al., CVPR 2016",
    ),
    _loss(
        "elr",
        losses.elr,
        "early-learning regularisation",
        _LIU,
        {
            "cifar10/symmetric": {"strength": 3.0, "decay": 0.7},
            "cifar10/asymmetric": {"strength": 1.0, "decay": 0.9},
            "cifar100": {"strength": 7.0, "decay": 0.9},
        },
    ),
    _loss(
        "sop",
        transforms.sop,
        "sparse over-parameterisation",
        _SOP,
        {
            "cifar10": {"lr_u": 10.0, "lr_v": 10.0},
            "cifar10/asymmetric": {"lr_u": 10.0, "lr_v": 100.0},
            "cifar100": {"lr_u": 1.0, "lr_v": 10.0},
            "cifar100/asymmetric": {"lr_u": 1.0, "lr_v": 100.0},
        },
    ),
    _loss(
        "small_loss",
        losses.small_loss,
        "only the examples of small loss",
        "Han et al., NeurIPS 2018: Co-teaching's choice, by one network",
        needs=("noise_rate",),
    ),
    _loss(
        "clean_probability",
        losses.clean_probability,
        "weights by a mixture fitted to the losses",
        f"{_LI}: DivideMix's mixture, as weights of one network",
    ),
    _entry(
        "forward",
        _corrected("forward"),
        "forward correction, estimated matrix",
        _PATRINI,
    ),
    _entry(
        "backward",
        _corrected("backward"),
        "backward correction, estimated matrix",
        _PATRINI,
    ),
    _entry(
        "noise_adaptation",
        noise_adaptation,
        "a trainable noise layer behind the network",
        "Goldberger, Ben-Reuven, ICLR 2017",
        needs=("features",),
    ),
    _entry(
        "heteroscedastic",
        heteroscedastic,
        "logits with a learned Gaussian noise",
        "Collier et al., CVPR 2021",
        needs=("features",),
    ),
    _entry(
        "elr_plus",
        elr_plus,
        "ELR with two networks, averages and mixup",
        _LIU,
        {
            "cifar10": {"strength": 3.0, "decay": 0.7},
            "cifar10/asymmetric": {"strength": 1.0, "decay": 0.9},
            "cifar100": {
                "strength": 7.0,
                "decay": 0.9,
                "ramp_steps": 40_000,
                "weight_labels": True,
            },
        },
    ),
    _entry(
        "sop_plus",
        sop_plus,
        "SOP with consistency and balance",
        _SOP,
        {
            "cifar10": {"lr_u": 10.0, "lr_v": 10.0},
            "cifar10/asymmetric": {"lr_u": 10.0, "lr_v": 100.0},
            "cifar100": {"lr_u": 1.0, "lr_v": 10.0},
            "cifar100/asymmetric": {"lr_u": 1.0, "lr_v": 100.0},
        },
        needs=("two_views",),
    ),
    _entry(
        "co_teaching",
        co_teaching,
        "two networks that pick for each other",
        "Han et al., NeurIPS 2018",
        needs=("noise_rate",),
    ),
    _entry(
        "jocor",
        jocor,
        "two networks that agree",
        "Wei, Feng, Chen, An, CVPR 2020",
        {"cifar10": {"co_lambda": 0.9}, "cifar100": {"co_lambda": 0.85}},
        needs=("noise_rate",),
    ),
    _entry(
        "self_learning",
        self_learning,
        "labels corrected by class prototypes",
        "Han, Luo, Wang, ICCV 2019",
        needs=("features",),
    ),
    _entry(
        "divide_mix",
        divide_mix,
        "two networks, clean and unclean split, MixMatch",
        _LI,
        {
            "cifar10/symmetric-20": {"lambda_u": 0.0},
            "cifar10/symmetric-50": {"lambda_u": 25.0},
            "cifar10/symmetric-80": {"lambda_u": 25.0},
            "cifar100/symmetric-20": {"lambda_u": 25.0, "warmup_epochs": 30},
            "cifar100/symmetric-50": {"lambda_u": 150.0, "warmup_epochs": 30},
        },
    ),
)
"""In the order in which a launcher runs them."""

ROBUST_LOSSES: Mapping[str, Callable[..., LossTransform]] = types.MappingProxyType(
    {e.name: e.make.factory for e in ENTRIES if isinstance(e.make, LossRecipe)}
)
"""Name -> `(**options) -> transform`, of the methods that are a loss alone."""
