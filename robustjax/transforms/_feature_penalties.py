"""Penalties on out-of-distribution examples: TAUFE on features, OAT on the softmax.

Both add a `Penalty`, which has a mean of its own over the out-of-distribution (OOD)
rows of a step; how many there are beside the batch is free. Rows where `ood_mask` is
False are padding, and count for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from robustjax import checks, losses
from robustjax.losses._feature_penalties import NORM_REDUCTIONS, NormReduction
from robustjax.transforms._base import (
    Batch,
    LossTransform,
    Penalty,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._rows import stateless

FeatureTensor = Literal["features", "feature_map"]
_TENSOR_RANKS: dict[FeatureTensor, int] = {"features": 2, "feature_map": 4}


class TaufeSetting(NamedTuple):
    """What is penalised and how much: `taufe(**setting._asdict())`.

    Attributes:
      weight: lambda, the coefficient of the mean over OOD examples.
      tensor: "features" (pooled) or "feature_map" (before pooling).
      reduction: "mean" or "sum" over the entries of an example.
    """

    weight: float
    tensor: FeatureTensor = "features"
    reduction: NormReduction = "mean"


TAUFE_SETTINGS: Mapping[str, TaufeSetting] = MappingProxyType(
    {
        # Weight: paper. Tensor (m = 512, ResNet-18) and mean: code.
        "cifar": TaufeSetting(0.1, "features", "mean"),
        # The formula and the weight as the paper prints them: m = 512 times "cifar".
        "cifar_as_printed": TaufeSetting(0.1, "features", "sum"),
        # Weight: paper, by grid search (code: 0.1). Tensor (m = 2048): code.
        "imagenet10": TaufeSetting(0.01, "features", "mean"),
        # The same at 64 pixels, where the code takes the map (m = 5 * 5 * 2048).
        "imagenet10_64": TaufeSetting(0.01, "feature_map", "mean"),
        # Code alone (m = 7 * 7 * 2048); the paper gives no weight for boxes.
        "boxes": TaufeSetting(0.1, "feature_map", "mean"),
        # Wide ResNet-28-2 (m = 128), added to MixMatch.
        "mix_match": TaufeSetting(0.1, "features", "mean"),
    }
)
"""The settings of TAUFE by name, of the paper where it gives them, else of its code.

The paper prints `||f||^2`, a sum, and its code takes the mean over the m entries, to
which the weights belong; the "sum" that equals a "mean" has a weight m times smaller.
For weakly supervised localisation and for adversarial training neither gives a
weight (an early version of the code penalises the map in localisation).
"""


def _ood_rows(
    name: str, extra: Mapping[str, Any], key: str, rank: int
) -> tuple[jax.Array, jax.Array | None]:
    """The OOD tensor `extra[key]`, zero on padding, and its mask if there is one."""
    tensor = jnp.asarray(need(name, extra, key))
    checks.rank(key, tensor, rank)
    if tensor.shape[0] == 0:
        raise ValueError(f"{key}: got no rows, expected out-of-distribution examples")
    mask = extra.get("ood_mask")
    if mask is None:
        return tensor, None
    mask = checks.truths("ood_mask", mask)
    if (fault := checks.untrue(mask)) is not None:
        # A product, so that the gradient shows it too.
        tensor = tensor * jnp.where(fault, jnp.nan, 1.0)
    mask = jnp.asarray(mask, bool)
    if mask.shape != tensor.shape[:1]:
        raise ValueError(
            f"ood_mask: got shape {mask.shape}, expected {tensor.shape[:1]}, the rows "
            f"of {key}"
        )
    # Infinities on padding would reach the gradient as 0 * inf.
    real = mask.reshape(mask.shape + (1,) * (tensor.ndim - 1))
    return jnp.where(real, tensor, 0), mask


def taufe(
    weight: jax.Array | float,
    *,
    tensor: FeatureTensor = "features",
    reduction: NormReduction = "mean",
) -> LossTransform:
    """Pushes the features of OOD examples to zero, for any task.

    Adds `weight` times the mean over OOD examples of `losses.squared_feature_norm`
    (Park et al., "Task-Agnostic Undesirable Feature Deactivation Using
    Out-of-Distribution Data", NeurIPS 2021). The penalty is a function of the feature
    extractor alone, so that the head learns from the task's own examples, and the two
    updates of the paper's Algorithm 1 are one gradient step.

    Needs `ood_features` (M, d) or `ood_feature_map` (M, h, w, c), by `tensor`.
    Optional: `ood_mask` (M,) bool, False on padding.

    Args:
      weight: lambda >= 0; see `TAUFE_SETTINGS` for the published ones.
      tensor: what is penalised: "features", the pooled vector that the head sees, or
        "feature_map", the map before pooling.
      reduction: "mean" (the published code) or "sum" (the paper's formula) over the m
        entries of an example; "sum" is m times "mean".

    Raises:
      ValueError: a negative weight, an unknown tensor or reduction; when called, a
        tensor of the wrong rank or without rows, or a mask of another length.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.ce(), rj.taufe(weight=0.1))
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=2))
      >>> logits, labels = jnp.zeros((1, 2)), jnp.array([1])
      >>> foreign = jnp.full((3, 8), 2.0)  # Features of three images of no class.
      >>> loss, _ = rj.value(tx, state, logits, labels, ood_features=foreign)
      >>> round(float(loss), 3)  # log(2) + 0.1 * 4
      1.093
    """
    name = "taufe"
    checks.in_range("weight", weight, 0, high_open=True)
    checks.one_of("tensor", tensor, _TENSOR_RANKS)
    checks.one_of("reduction", reduction, NORM_REDUCTIONS)
    rank = _TENSOR_RANKS[tensor]

    def apply(terms: Terms, batch: Batch, /, **extra: Any) -> Terms:
        del batch
        features, mask = _ood_rows(name, extra, f"ood_{tensor}", rank)
        value = losses.squared_feature_norm(features, reduction=reduction)
        penalty = Penalty(value, weight, mask)
        return terms.replace(penalties=(*terms.penalties, penalty))

    return stateless(apply, stage=Stage.ADDITIVE, name=name)


def oat(weight: jax.Array | float = 1.0) -> LossTransform:
    """Pulls the predictions for OOD examples to the uniform distribution.

    Adds `weight` times the mean over OOD examples of `losses.uniform_cross_entropy`
    (Lee et al., "Removing Undesirable Feature Contributions Using Out-of-Distribution
    Data", ICLR 2021). It acts on the softmax, so it needs a classifier; the gradient
    reaches the head as well as the feature extractor. The authors' code for
    adversarial training uses a weight of 5.

    Needs `ood_logits` (M, C). Optional: `ood_mask` (M,) bool, False on padding.

    Args:
      weight: >= 0; 1 where OAT is compared with TAUFE.

    Raises:
      ValueError: a negative weight; when called, logits of a rank other than 2 or
        without rows, a mask of another length, or a task without logits (`boxes`
        are given and `ood_logits` are not).
    """
    name = "oat"
    checks.in_range("weight", weight, 0, high_open=True)

    def apply(terms: Terms, batch: Batch, /, **extra: Any) -> Terms:
        del batch
        if "boxes" in extra and extra.get("ood_logits") is None:
            raise ValueError(
                "oat: got a task that predicts boxes, expected a classifier's logits "
                "as ood_logits; OAT acts on the softmax (taufe acts on the features, "
                "and suits any task)"
            )
        logits, mask = _ood_rows(name, extra, "ood_logits", 2)
        penalty = Penalty(losses.uniform_cross_entropy(logits), weight, mask)
        return terms.replace(penalties=(*terms.penalties, penalty))

    return stateless(apply, stage=Stage.ADDITIVE, name=name)
