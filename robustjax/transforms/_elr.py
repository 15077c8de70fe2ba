"""Early-learning regularisation (Liu et al., NeurIPS 2020)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossTransform,
    Stage,
    Terms,
    need_shape,
)
from robustjax.transforms._reduction import example_mean
from robustjax.transforms._rows import rowwise

# What the authors clip probabilities to; log(1 - <t, p>) then stays above log(1e-4).
CLIP = 1e-4


def clipped_probabilities(logits: jax.Array) -> jax.Array:
    """Softmax in float32 or better, clipped to [1e-4, 1 - 1e-4].

    Args:
      logits: (..., C) floats.

    Returns:
      (..., C) probabilities; rows may not sum to 1 to the last 1e-4 C.
    """
    logits = jnp.asarray(logits)
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jnp.clip(jax.nn.softmax(wide), CLIP, 1 - CLIP)


def update_targets(
    targets: jax.Array, probabilities: jax.Array, decay: jax.Array | float
) -> jax.Array:
    """The running average `decay t + (1 - decay) p / sum(p)`, without gradient.

    Args:
      targets: (B, C) rows of the memory.
      probabilities: (B, C) probabilities; in ELR a network's own, clipped, in ELR+
        those of the peer's averaged network on images that were not mixed, as they
        are.
      decay: beta, in [0, 1].

    Returns:
      (B, C) new rows.
    """
    p = jax.lax.stop_gradient(probabilities)
    p = p / jnp.sum(p, axis=-1, keepdims=True)
    return decay * targets + (1 - decay) * p


def elr_penalty(probabilities: jax.Array, targets: jax.Array) -> jax.Array:
    """`log(1 - <t, p>)` per example, with gradient through p only.

    Args:
      probabilities: (..., C) clipped probabilities.
      targets: (..., C) rows of the memory, or in ELR+ their mixture.

    Returns:
      (...) values in [log 1e-4, 0].
    """
    targets = jax.lax.stop_gradient(targets)
    return jnp.log(1 - jnp.sum(targets * probabilities, axis=-1))


def elr(strength: float = 3.0, decay: float = 0.7) -> LossTransform:
    """Early-learning regularisation: holds predictions to their running average.

    Adds `strength log(1 - <t, p>)` to every value (Eq. 6 of Liu et al., "Early-
    Learning Regularization Prevents Memorization of Noisy Labels", 2020). The memory
    t (rows "target", (N_padded, ..., C) float32, initially 0) is an exponential average
    of the example's own predictions and is moved *before* the loss is taken, so the
    first visit already counts with `(1 - decay) p`. As every addition to the values
    it takes part in the example's weight.

    Published settings (strength, decay): CIFAR-10 symmetric (3, 0.7), asymmetric
    (1, 0.9), CIFAR-100 (7, 0.9). After training, examples whose largest target is
    not their label are the suspected ones.

    `strength` is tuned to cross-entropy's gradient: keep the published values on `ce`,
    smoothed labels, `bootstrap` and `sop`; take at most 1 on `symmetric_ce`,
    `forward_correction` and `active_passive`. On `gce`, whose gradient is C^-q of
    cross-entropy's at a uniform prediction and vanishes where another class is certain,
    3 drives every prediction into one class within the first steps (0.6 trains at
    C = 10, and gains a point at best); `mae`, `truncated_gce`, `nce` and `ngce` lose
    with every strength that was tried (experiments/loss_pairs.py).

    Needs `logits`, (B, C), or (B, ..., C) with the positions of the `ExampleSpec`:
    each pixel or token then has a target of its own.

    Args:
      strength: lambda >= 0.
      decay: beta in [0, 1].

    Raises:
      ValueError: a number outside its range; in `update`, logits of another shape than
        the memory's.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.ce(), rj.elr())
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=2))
      >>> logits, labels = jnp.array([[2.0, 0.0]]), jnp.array([1])
      >>> for _ in range(3):
      ...     _, state = rj.value(tx, state, logits, labels, index=jnp.array([3]))
      >>> target = state.rows[1]["target"][3]  # What it says, not the label.
      >>> [round(value, 2) for value in target.tolist()]
      [0.58, 0.08]
    """
    name = "elr"
    checks.in_range("strength", strength, 0)
    checks.in_range("decay", decay, 0, 1)

    def init_rows(spec: ExampleSpec) -> Any:
        shape = (spec.padded_examples, *spec.positions, spec.num_classes)
        return {"target": jnp.zeros(shape, jnp.float32)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch
        old = rows["target"]
        p = clipped_probabilities(need_shape(name, extra, "logits", old.shape))
        target = update_targets(old, p, decay)
        penalty = example_mean(name, terms, elr_penalty(p, target))
        if terms.positions is not None:
            target = jnp.where(terms.positions[..., None], target, old)
        value = terms.value + strength * penalty
        return terms.replace(value=value), {"target": target}

    return rowwise(init_rows, update_rows, stage=Stage.ADDITIVE, name=name)
