"""What is minimised: a loss transform over texts or over their tokens."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp

from robustjax import checks, transforms

Form = Literal["texts", "tokens"]
"""What a transform sees: a text of two classes, or each of its tokens of V classes."""

Average = Literal["tokens", "texts"]
"""Whether every answer token, or every text has the same share of the loss."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """How the loss of a batch comes about, and how it is computed.

    Attributes:
      transform: a chain with a head; see `robustjax.transforms`. By default
        cross-entropy.
      form: "texts" gives it one example per text, of two classes (`sequence_logits`);
        memory is two numbers a text. "tokens" gives it (B, T, V) logits with the
        answers' mask; memory by class takes T x V numbers a text, so that only
        transforms without it are of use for real vocabularies. Needs padded rows.
      average: of what the loss is the mean.
      dtype: in which matrices are multiplied.
      rows_at_once: of a batch, rows that go through the model together; by default
        all. Fewer take less memory and a second forward pass; the step is the same
        (gradient accumulation).
      remat: whether a layer's activations are computed again for its gradient.
    """

    transform: transforms.LossTransform = dataclasses.field(
        default_factory=transforms.ce
    )
    form: Form = "texts"
    average: Average = "tokens"
    dtype: Any = jnp.float32
    rows_at_once: int | None = None
    remat: bool = False

    def __post_init__(self) -> None:
        checks.one_of("form", self.form, ("texts", "tokens"))
        checks.one_of("average", self.average, ("tokens", "texts"))
        if self.rows_at_once is not None:
            checks.at_least("rows_at_once", self.rows_at_once, 1)
        if transforms.Stage.HEAD not in self.transform.stages:
            raise ValueError(
                f"transform: got {self.transform.name}, expected a chain with a head"
            )
        if self.form == "tokens" and self.transform.needs:
            raise ValueError(
                f"transform: {self.transform.name} needs the losses of examples, "
                "expected form 'texts' for it"
            )
