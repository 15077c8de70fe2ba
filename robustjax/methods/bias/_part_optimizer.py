"""Optimisers for parts of the parameters, of which one works at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax


def part_optimizer(
    optimizers: Mapping[str, optax.GradientTransformation], active: str
) -> optax.GradientTransformation:
    """Moves one part of the parameters; the others and their states stay.

    All parts have states, so that phases which move different parts share a structure.

    Args:
      optimizers: by the name of the part, the first key of the parameters.
      active: the part to move.
    """

    def init(params: Any) -> dict[str, Any]:
        return {name: one.init(params[name]) for name, one in optimizers.items()}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        new, own = optimizers[active].update(
            updates[active], state[active], params[active]
        )
        still = {name: jax.tree.map(jnp.zeros_like, updates[name]) for name in updates}
        return {**still, active: new}, {**state, active: own}

    return optax.GradientTransformation(init, update)
