"""Moving a state to another padding of the example axis."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.transforms._base import (
    ExampleSpec,
    LossState,
    LossTransform,
    own_constants,
)


@own_constants
def repad(tx: LossTransform, state: LossState, spec: ExampleSpec) -> LossState:
    """The same state with its example axis padded as `spec` says.

    For a state that was saved on some number of devices and goes on on another: restore
    it with the `ExampleSpec` of then, and call this with that of now.

    Args:
      tx: whose state it is.
      state: rows with leaves (N_padded, ...), of one repeat.
      spec: of the same examples and classes, with another `pad_to`.

    Returns:
      The state with `spec.padded_examples` rows; padding is as `tx.init` makes it.

    Raises:
      ValueError: a state of another number of examples, or rows of other shapes.
    """
    count = spec.num_examples

    def move(old: Any, new: jax.Array) -> jax.Array:
        if jnp.ndim(old) == 0 or old.shape[0] < count or old.shape[1:] != new.shape[1:]:
            raise ValueError(
                f"state: got rows of shape {jnp.shape(old)}, expected at least "
                f"{(count, *new.shape[1:])} by the ExampleSpec"
            )
        return new.at[:count].set(jnp.asarray(old)[:count].astype(new.dtype))

    for path, leaf in jax.tree_util.tree_leaves_with_path(state.shared):
        named = getattr(path[-1], "key", None) == "num_examples"
        if not named or checks.is_traced(leaf):
            continue
        with jax.transfer_guard("allow"):
            before = int(leaf)
        if before != count:
            raise ValueError(
                f"spec: got num_examples {count}, expected {before}, those of the state"
            )
    fresh = tx.init(spec)
    return state._replace(rows=jax.tree.map(move, state.rows, fresh.rows))
