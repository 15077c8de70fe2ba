"""Optimisers for parts of the parameters, of which some work at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax


def part_optimizer(
    optimizers: Mapping[str, optax.GradientTransformation], *active: str
) -> optax.GradientTransformation:
    """Moves some parts of the parameters; the others and their states stay.

    All parts have states, so that phases which move different parts share a structure.

    Args:
      optimizers: by the name of the part, the first key of the parameters.
      *active: the parts to move.
    """

    def init(params: Any) -> dict[str, Any]:
        return {name: one.init(params[name]) for name, one in optimizers.items()}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        moves = {name: jax.tree.map(jnp.zeros_like, updates[name]) for name in updates}
        states = dict(state)
        for name in active:
            moves[name], states[name] = optimizers[name].update(
                updates[name], state[name], params[name]
            )
        return moves, states

    return optax.GradientTransformation(init, update)
