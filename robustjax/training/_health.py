"""Aborting on a non-finite loss, with the likely cause."""

from __future__ import annotations

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
