"""Contribution weights of robust active label correction (Kim, ECCV 2022)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax import losses as losses_lib
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Reduction,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._reduction import example_mean, positions_of
from robustjax.transforms._rows import rowwise

SCALES = ("mean_loss", "pairwise")
LOSS_PASSES = ("evaluation", "training")
WEIGHTINGS = ("unit_mean", "literal")


def _mean_pairwise_distance(values: jax.Array, valid: jax.Array) -> jax.Array:
    """Mean of `|v_j - v_k|` over pairs j < k of valid values, exact by sorting."""
    # Not an integer: the pairs of 46,342 values are more than int32 can count.
    count = jnp.sum(valid, dtype=jnp.float32)
    # Valid values first, in order; the i-th of n is added i times and subtracted
    # n - 1 - i times.
    ordered = jnp.sort(jnp.where(valid, values, jnp.inf))
    place = jnp.arange(values.shape[0])
    factor = 2.0 * place - (count - 1)
    total = jnp.sum(jnp.where(place < count, factor * ordered, 0.0))
    pairs = count * (count - 1) / 2
    return total / jnp.maximum(pairs, 1)


def loss_scale(losses: jax.Array, valid: jax.Array, rule: str) -> jax.Array:
    """The scale sigma_alpha of Eq. 4 by the named heuristic.

    The paper says "determined similarly" to the graph's scale, the squared mean of
    pairwise distances. `"mean_loss"` takes the squared mean loss, so that an
    average example has g = 1/e; `"pairwise"` the squared mean of `|l_j - l_k|`.

    Args:
      losses: (N,) losses.
      valid: (N,) bool, which of them count.
      rule: "mean_loss" or "pairwise".

    Returns:
      A scalar >= 0.
    """
    if rule == "pairwise":
        return _mean_pairwise_distance(losses, valid) ** 2
    count = jnp.maximum(jnp.sum(valid), 1)
    return (jnp.sum(jnp.where(valid, losses, 0.0)) / count) ** 2


def alpha_weights(
    step_size: float = 0.1,
    *,
    scale: str | float = "mean_loss",
    freeze_scale: bool = False,
    loss_pass: str = "evaluation",
    weighting: str = "unit_mean",
    loss: Callable[[jax.Array, jax.Array], jax.Array] = losses_lib.cross_entropy,
) -> LossTransform:
    """Per-example contribution weights that fade consistently hard examples.

    Eqs. 2 to 4 of Kim, "Active Label Correction Using Robust Parameter Update and
    Entropy Propagation" (ECCV 2022): the weights alpha live on the simplex over all
    N examples, start uniform, and after every epoch move by `step_size` towards
    `g / sum(g)` with `g_j = exp(-l_j^2 / sigma)`. The paper's text calls sigma
    "delta" in one sentence; sigma -> inf makes the weights uniform.

    The state holds the relative weights `N alpha` (rows "weight"; mean 1, zero on
    padding): uniform weights are then exactly 1, and training with them equals
    training without to the last bit. An example whose loss is not finite moves
    towards weight 0.

    Args:
      step_size: delta_alpha in [0, 1]; 0 keeps the weights uniform, 1 forgets all
        but the last epoch.
      scale: sigma_alpha: a positive number, or the heuristic "mean_loss" or
        "pairwise" (see `loss_scale`).
      freeze_scale: keep the first epoch's sigma instead of following the losses.
      loss_pass: "evaluation" weighs by the losses of all examples at the epoch's
        end, given to `epoch` as `losses`; "training" by the losses each example had
        when the epoch visited it, which costs no extra pass. Examples that were
        never visited move towards the mean weight.
      weighting: "unit_mean" multiplies an example's weight by `N alpha`, which
        equals ordinary training at uniform alpha; "literal" uses alpha itself and a
        *sum* over the batch, as Eq. 2 is printed (N/B times smaller steps). Where an
        example has many labels, its loss in that sum is their mean.
      loss: what the "training" pass measures, `(logits, labels) -> (B,)`; to be left
        out with "evaluation", which is given the losses.

    Returns:
      A `LossTransform` of the weights stage. Its `update` needs `logits` only with
      `loss_pass="training"`; its `epoch` needs `losses` only with "evaluation".

    Raises:
      ValueError: an unknown flag, a number outside its range, or a `loss` that
        nothing measures.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.alpha_weights(step_size=0.5), rj.ce())
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=2))
      >>> state = tx.epoch(state, losses=jnp.array([0.1, 0.1, 0.1, 3.0]))
      >>> [round(weight, 2) for weight in state.rows[0]["weight"].tolist()]
      [1.17, 1.17, 1.17, 0.5]
    """
    name = "alpha_weights"
    checks.in_range("step_size", step_size, 0, 1)
    if isinstance(scale, str):
        checks.one_of("scale", scale, SCALES)
    else:
        checks.in_range("scale", scale, 0, low_open=True)
    checks.one_of("loss_pass", loss_pass, LOSS_PASSES)
    checks.one_of("weighting", weighting, WEIGHTINGS)
    records_losses = loss_pass == "training"
    if not records_losses and loss is not losses_lib.cross_entropy:
        raise ValueError(
            f"loss: got {getattr(loss, '__name__', loss)} with loss_pass='evaluation', "
            "expected loss_pass='training', which alone measures it"
        )

    def init_rows(spec: ExampleSpec) -> Any:
        real = jnp.arange(spec.padded_examples) < spec.num_examples
        rows = {"weight": real.astype(jnp.float32)}
        if records_losses:
            rows["loss"] = jnp.zeros(spec.padded_examples, jnp.float32)
            rows["visited"] = jnp.zeros(spec.padded_examples, bool)
        return rows

    def init_shared(spec: ExampleSpec) -> Any:
        del spec
        return {"epochs": jnp.int32(0), "scale": jnp.float32(0.0)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del batch
        relative = rows["weight"]
        if records_losses:
            now = loss(need(name, extra, "logits"), terms.labels)
            now = example_mean(name, terms, now)
            rows = {**rows, "loss": now, "visited": jnp.ones_like(rows["visited"])}
        weight = terms.weight * relative
        if weighting == "literal":
            weight = weight / shared["num_examples"]
            if terms.positions is not None and not terms.per_example:
                # `reduce` counts an example as often as it has labels.
                weight = weight / jnp.maximum(positions_of(terms), 1)
            return terms.replace(weight=weight, reduction=Reduction.SUM), rows
        return terms.replace(weight=weight), rows

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        rows, shared = state
        weight = rows["weight"]
        real = jnp.arange(weight.shape[0]) < shared["num_examples"]
        if records_losses:
            values, known = rows["loss"], real & rows["visited"]
        else:
            values, known = need(name, extra, "losses"), real
        # An example without a finite loss is as hard as can be, and tells nothing
        # about the scale of the others.
        known_loss = known & jnp.isfinite(values)
        values = jnp.where(known_loss, values, 0.0)
        if isinstance(scale, str):
            sigma = loss_scale(values, known_loss, scale)
            if freeze_scale:
                sigma = jnp.where(shared["epochs"] == 0, sigma, shared["scale"])
        else:
            sigma = jnp.asarray(scale, values.dtype)
        # All losses equal to 0 give sigma 0 and 0/0; the limit is g = 1. Shifting by
        # the smallest exponent leaves g / sum(g) unchanged and keeps one g at 1.
        exponent = values**2 / jnp.where(sigma > 0, sigma, 1.0)
        lowest = jnp.min(jnp.where(known_loss, exponent, jnp.inf))
        g = jnp.where(known_loss, jnp.exp(lowest - exponent), 0.0)
        mean_g = jnp.sum(g) / jnp.maximum(jnp.sum(known), 1)
        target = jnp.where(known, g / jnp.where(mean_g > 0, mean_g, 1.0), 1.0)
        moved = jnp.where(real, weight + step_size * (target - weight), 0.0)
        moved = moved * (shared["num_examples"] / jnp.sum(moved))
        return LossState(
            {**rows, "weight": moved},
            {**shared, "epochs": shared["epochs"] + 1, "scale": sigma},
        )

    return rowwise(
        init_rows,
        update_rows,
        stage=Stage.WEIGHTS,
        name=name,
        init_shared=init_shared,
        epoch=epoch,
        needs=frozenset() if records_losses else frozenset({"losses"}),
    )
