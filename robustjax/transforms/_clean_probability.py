"""Weights by the probability that a label is clean, from the mixture of losses."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from robustjax import checks
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
from robustjax.transforms._reduction import reweighted
from robustjax.transforms._rows import rowwise


def clean_probability(
    start_epoch: int = 10,
    *,
    average_epochs: int = 1,
    max_iterations: int = 10,
    tolerance: float = 1e-2,
    regularization: float = 5e-4,
    reduction: Reduction = Reduction.WEIGHTED_MEAN,
) -> LossTransform:
    """Multiplies the weights by the probability that the label is clean.

    After every epoch, from the end of epoch number `start_epoch` on, the losses of
    all examples are scaled to [0, 1] and a mixture of two Gaussians is fitted to
    them; an example's weight (rows "clean_probability", initially 1) is its posterior
    probability of the component of smaller mean: the co-divide step of Li et al.,
    "DivideMix" (ICLR 2020), as soft weights of one network. Losses that are infinite
    or NaN count as the largest finite one.

    Needs `losses` at the epoch's end.

    Args:
      start_epoch: the number of first epochs with weight 1; DivideMix has 10 on
        CIFAR-10 and 30 on CIFAR-100.
      average_epochs: how many epochs' scaled losses the mixture is fitted to in the
        mean; DivideMix takes 5 at a noise rate of 90 %. More than one keeps them in
        the rows "history", (N_padded, average_epochs).
      max_iterations: see `scores.fit_two_gaussians`, as the next two.
      tolerance: see there.
      regularization: see there.
      reduction: how the values become one number; the default averages over what
        the weights leave.

    Raises:
      ValueError: a number outside its range; in `epoch`, losses of another shape.
    """
    # Not above: `import robustjax` alone is to load no room but the transforms'.
    from robustjax.scores import _mixture as mixture

    name = "clean_probability"
    checks.in_range("start_epoch", start_epoch, 0)
    checks.in_range("average_epochs", average_epochs, 1)
    checks.in_range("max_iterations", max_iterations, 1)
    checks.in_range("tolerance", tolerance, 0)
    checks.in_range("regularization", regularization, 0, low_open=True)

    def init_rows(spec: ExampleSpec) -> Any:
        rows = {"clean_probability": jnp.ones(spec.padded_examples, jnp.float32)}
        if average_epochs > 1:
            shape = (spec.padded_examples, average_epochs)
            rows["history"] = jnp.zeros(shape, jnp.float32)
        return rows

    def init_shared(spec: ExampleSpec) -> Any:
        del spec
        return {"epochs": jnp.int32(0)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch, extra
        weight = terms.weight * rows["clean_probability"]
        return reweighted("clean_probability", terms, weight, reduction), rows

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        rows, shared = state
        losses = need(name, extra, "losses")
        finished = shared["epochs"] + 1
        started = finished >= start_epoch
        real = jnp.arange(losses.shape[0]) < shared["num_examples"]
        level = mixture.min_max_normalize(losses, real)
        # A loss that is no number counts as the largest, and spoils no other.
        level = jnp.where(jnp.isnan(level), 1.0, level)
        new = {}
        if "history" in rows:
            latest = jnp.where(started, level, 0.0)[:, None]
            new["history"] = jnp.concatenate([rows["history"][:, 1:], latest], axis=1)
            since = finished - jnp.maximum(start_epoch, 1) + 1
            recorded = jnp.clip(since, 1, rows["history"].shape[1])
            level = jnp.sum(new["history"], axis=1) / recorded
        fitted = mixture.fit_two_gaussians(
            level,
            real,
            max_iterations=max_iterations,
            tolerance=tolerance,
            regularization=regularization,
        )
        posterior = mixture.posterior_of_lower(level, fitted)
        new["clean_probability"] = jnp.where(real & started, posterior, 1.0)
        return LossState(new, {**shared, "epochs": finished})

    return rowwise(
        init_rows,
        update_rows,
        stage=Stage.WEIGHTS,
        name=name,
        init_shared=init_shared,
        epoch=epoch,
        needs=frozenset({"losses"}),
    )
