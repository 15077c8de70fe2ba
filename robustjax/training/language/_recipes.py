"""Published settings of fine-tuning, and the optimiser that they describe."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import jax
import optax

from robustjax import checks

Schedule = Literal["constant", "linear", "cosine"]
SCHEDULES = ("constant", "linear", "cosine")


@dataclasses.dataclass(frozen=True)
class FineTuningRecipe:
    """AdamW (Loshchilov and Hutter, 2019) with a schedule.

    Attributes:
      epochs: over all rows.
      batch_size: rows per step of the optimiser.
      learning_rate: its height after the warm-up.
      schedule: how it falls from there to `final_learning_rate`.
      final_learning_rate: after the last step; 0 where the schedule is constant.
      warmup_share: of all steps, in which it rises linearly from 0.
      betas: of AdamW.
      epsilon: of AdamW.
      weight_decay: of all but the gains of norms.
      residual_dropout: see `language.hidden_states`.
      max_tokens: of a text.
      max_gradient_norm: what a longer gradient is cut to; None for no limit.
    """

    epochs: int = 3
    batch_size: int = 64
    learning_rate: float = 1e-5
    schedule: Schedule = "cosine"
    final_learning_rate: float = 0.0
    warmup_share: float = 0.0
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    residual_dropout: float = 0.0
    max_tokens: int = 2048
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        checks.at_least("epochs", self.epochs, 1)
        checks.at_least("batch_size", self.batch_size, 1)
        checks.at_least("max_tokens", self.max_tokens, 2)
        checks.in_range("learning_rate", self.learning_rate, 0)
        checks.one_of("schedule", self.schedule, SCHEDULES)
        checks.in_range("final_learning_rate", self.final_learning_rate, 0)
        if self.schedule == "constant" and self.final_learning_rate:
            raise ValueError(
                f"final_learning_rate: got {self.final_learning_rate} with schedule "
                "'constant', expected 0: a constant rate does not fall"
            )
        checks.in_range("warmup_share", self.warmup_share, 0, 1, high_open=True)
        for beta in self.betas:
            checks.in_range("betas", beta, 0, 1, high_open=True)
        checks.in_range("weight_decay", self.weight_decay, 0)
        checks.in_range("residual_dropout", self.residual_dropout, 0, 1, high_open=True)
        if self.max_gradient_norm is not None:
            checks.in_range(
                "max_gradient_norm", self.max_gradient_norm, 0, low_open=True
            )

    def learning_rates(self, steps: int) -> optax.Schedule:
        """The learning rate by step, for so many of them."""
        peak, final = self.learning_rate, self.final_learning_rate
        warmup = round(self.warmup_share * steps)
        rest = max(1, steps - warmup)
        falls = {
            "constant": optax.constant_schedule(peak),
            "linear": optax.linear_schedule(peak, final, rest),
            "cosine": optax.cosine_decay_schedule(
                peak, rest, final / peak if peak else 0.0
            ),
        }
        fall = falls[self.schedule]
        if not warmup:
            return fall
        rise = optax.linear_schedule(0.0, peak, warmup)
        return optax.join_schedules([rise, fall], [warmup])

    def optimizer(self, steps: int) -> optax.GradientTransformation:
        """The optimiser of a training of so many steps."""
        parts = [
            optax.adamw(
                self.learning_rates(steps),
                *self.betas,
                eps=self.epsilon,
                weight_decay=self.weight_decay,
                mask=_is_decayed,
            )
        ]
        if self.max_gradient_norm is not None:
            parts.insert(0, optax.clip_by_global_norm(self.max_gradient_norm))
        return optax.chain(*parts)


def _is_decayed(params: Any) -> Any:
    """Truths: everything but the gains of norms."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "norm" not in str(path[-1]), params
    )


RECIPES: dict[str, FineTuningRecipe] = {
    "thesis": FineTuningRecipe(),
    "lima": FineTuningRecipe(
        epochs=15,
        batch_size=32,
        schedule="linear",
        final_learning_rate=1e-6,
        residual_dropout=0.3,
    ),
    "alpagasus": FineTuningRecipe(
        batch_size=128,
        learning_rate=2e-5,
        warmup_share=0.03,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        max_tokens=512,
    ),
}
"""Name -> settings of LLaMA-2-7B and LLaMA, all weights trained.

"thesis" is FP-Instruction's (its warm-up and final learning rate are not stated: none,
0); "lima" is Zhou et al.'s, 2023 (64 rows and dropout 0.2 for smaller models);
"alpagasus" is Chen et al.'s, 2024.
"""
