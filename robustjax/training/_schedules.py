"""Learning rates by the step."""

from __future__ import annotations

import collections
from collections.abc import Iterable

import optax


def stepwise(
    rate: float, drops: Iterable[int], factor: float, steps_per_epoch: int
) -> optax.Schedule:
    """A rate that is multiplied by a factor where epochs begin.

    Args:
      rate: before the first drop.
      drops: epochs, from 0; one that is named twice is two drops at once.
      factor: of a drop.
      steps_per_epoch: how many there are.
    """
    counts = collections.Counter(drops)
    return optax.piecewise_constant_schedule(
        rate, {epoch * steps_per_epoch: factor**n for epoch, n in counts.items()}
    )
