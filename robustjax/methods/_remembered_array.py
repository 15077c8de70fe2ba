"""A number per example that an order of training reads from the state."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from robustjax.transforms import Batch, ExampleSpec, LossState, LossTransform, Terms


def remembered_array(
    name: str,
    values: np.ndarray,
    *,
    argument: str | None = None,
    padding_value: int = 0,
) -> LossTransform:
    """Changes nothing; keeps one number per example in the rows, for orders.

    Args:
      name: of the rows.
      values: (N,).
      argument: what the error calls them, by default the name.
      padding_value: of the rows that are no examples.
    """

    def init(spec: ExampleSpec, /) -> LossState:
        if len(values) != spec.num_examples:
            raise ValueError(
                f"{argument or name}: got {len(values)} for {spec.num_examples} "
                "examples, expected one per example"
            )
        padding = spec.padded_examples - spec.num_examples
        rows = np.pad(values, (0, padding), constant_values=padding_value)
        return LossState({name: jnp.asarray(rows)}, ())

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        del batch, extra
        return terms, state

    return LossTransform(init, update, name=f"remembered({name})")
