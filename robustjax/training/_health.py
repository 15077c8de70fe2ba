"""Aborting on a non-finite loss or parameter, with the likely cause."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


class NonFiniteLossError(RuntimeError):
    """Training diverged; the message says where and the likely reason."""


def check_losses(losses: np.ndarray, *, epoch: int) -> None:
    """Raises if any step of an epoch had a non-finite loss.

    Args:
      losses: (R, S) per repeat and step.
      epoch: number of the epoch, from 0.

    Raises:
      NonFiniteLossError: naming epoch, step and repeat, with the likely cause as
        read off the losses before it.
    """
    bad = ~np.isfinite(losses)
    if not bad.any():
        return
    repeats, steps = np.nonzero(bad)
    first = int(steps.argmin())
    repeat, step = int(repeats[first]), int(steps[first])
    before = losses[repeat, :step]
    if step == 0 and epoch == 0:
        cause = (
            "the very first loss is already non-finite: look at the scale of the "
            "inputs and at the labels"
        )
    elif before.size and before[-1] > 10 * np.median(before[: max(1, step // 2)]):
        cause = (
            f"the loss grew from {np.median(before[: max(1, step // 2)]):.3g} to "
            f"{before[-1]:.3g} just before: the learning rate is too high"
        )
    else:
        cause = (
            "the loss was ordinary just before: the learning rate may be too high, or "
            "the loss or its gradient may divide by or take the logarithm of zero"
        )
    raise NonFiniteLossError(
        f"loss: non-finite in epoch {epoch}, step {step} (repeat {repeat}); {cause}"
    )


def check_parameters(params: Any, *, epoch: int) -> None:
    """Raises if the last step of an epoch, which no loss has seen, made no numbers.

    Args:
      params: leaves (R, ...); copied to the host one by one.
      epoch: number of the epoch, from 0.

    Raises:
      NonFiniteLossError: naming epoch, repeat and the first parameter.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jax.dtypes.issubdtype(leaf.dtype, np.inexact):
            continue
        values = np.asarray(jax.device_get(leaf))
        bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if bad.any():
            raise NonFiniteLossError(
                f"parameters: {jax.tree_util.keystr(path)} is non-finite after epoch "
                f"{epoch} (repeat {int(bad.argmax())}); its losses were finite, so the "
                "last step went wrong: the learning rate may be too high, or the "
                "gradient may divide by or take the logarithm of zero"
            )
