"""Epoch rules that look at all examples, and must not take padding for some."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax.training import TrainState
from robustjax.transforms import Batch, ExampleSpec, LossState, LossTransform, Terms

NAME = "examples"
"""What `example_count` is called in the `named_chain` that `real_examples` reads."""


def example_count() -> LossTransform:
    """Changes nothing; its shared state is the number of examples, not of rows."""

    def init(spec: ExampleSpec, /) -> LossState:
        return LossState(rows=(), shared=jnp.int32(spec.num_examples))

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        del batch, extra
        return terms, state

    return LossTransform(init, update, name="example_count")


def real_examples(state: TrainState, padded_examples: int) -> jax.Array:
    """Which rows of the example axis are examples.

    Args:
      state: of one repeat, whose loss transform is a `named_chain` with an
        `example_count` called `NAME`.
      padded_examples: the length of the example axis.

    Returns:
      (padded_examples,) bool, False on padding.
    """
    return jnp.arange(padded_examples) < state.loss_state.shared[NAME]
