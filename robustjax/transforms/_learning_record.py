"""Recording how every example is learned: what data pruning needs, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from robustjax import arrays, checks, losses
from robustjax.losses._per_class import at_label
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossTransform,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._batches import entry
from robustjax.transforms._reduction import need_single_labels
from robustjax.transforms._rows import rowwise


class LearningRecord(NamedTuple):
    """What happened to every example over the training visits so far.

    Attributes:
      visits: (..., N) int32.
      forgetting: (..., N) int32, transitions from correct to wrong.
      learned: (..., N) bool, whether it was ever classified correctly.
      correct: (..., N) bool, whether it was at the last visit.
      loss: (..., N) float32, mean cross-entropy of the given label, in nats; low means
        easy.
      el2n: (..., N) float32, mean of `scores.el2n`; high means hard.
      margin: (..., N) float32, mean logit of the given class less the largest other:
        the area under the margin (Pleiss et al., NeurIPS 2020); low means hard.
      grand: (..., N) float32, mean of `scores.last_layer_grand`, or None where
        features were not recorded; high means hard.
    """

    visits: jax.Array
    forgetting: jax.Array
    learned: jax.Array
    correct: jax.Array
    loss: jax.Array
    el2n: jax.Array
    margin: jax.Array
    grand: jax.Array | None


def learning_record(*, features: bool = False) -> LossTransform:
    """Keeps per-example statistics of training; changes no term.

    Everything is of the training visits: in training mode, on the augmented input, at
    the moment when an example is visited, with the given label `batch["label"]` and
    not with what other transforms make of it, whatever the head. Forgetting is
    thereby that of Toneva et al. (ICLR 2019). Stands after the head, in any chain.
    Read the rows with `read_learning_record`.

    Needs `logits`, and `features` if they are to be recorded.

    Args:
      features: also record GraNd of the last layer, from `features` (B, d), the
        inputs of a last layer with bias.
    """
    # Not above: `import robustjax` alone is to load no room but the transforms'.
    from robustjax.scores import _gradient_norms as gradient_norms

    name = "learning_record"

    def init_rows(spec: ExampleSpec) -> Any:
        count = spec.padded_examples
        sums = ("loss", "el2n", "margin") + (("grand",) if features else ())
        return {
            "visits": jnp.zeros(count, jnp.int32),
            "forgetting": jnp.zeros(count, jnp.int32),
            "learned": jnp.zeros(count, bool),
            "correct": jnp.zeros(count, bool),
            **{key: jnp.zeros(count, jnp.float32) for key in sums},
        }

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared
        need_single_labels(name, terms)
        logits = jnp.asarray(need(name, extra, "logits"))
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        labels = arrays.labels_for(entry(batch, "label"))
        # Of a distribution, the class is the most likely one.
        given = labels if labels.ndim == 1 else jnp.argmax(labels, axis=-1)
        correct = jnp.argmax(logits, axis=-1) == given
        p = jax.nn.softmax(logits)
        own = jnp.arange(logits.shape[-1])[None] == given[:, None]
        others = jnp.where(own, -jnp.inf, logits)
        margin = at_label(logits, given) - jnp.max(others, axis=-1)
        new = {
            "visits": rows["visits"] + 1,
            "forgetting": rows["forgetting"] + (rows["correct"] & ~correct),
            "learned": rows["learned"] | correct,
            "correct": correct,
            "loss": rows["loss"] + losses.cross_entropy(logits, labels),
            "el2n": rows["el2n"] + gradient_norms.el2n(p, labels),
            "margin": rows["margin"] + margin,
        }
        if features:
            grand = gradient_norms.last_layer_grand(
                need(name, extra, "features"), p, labels
            )
            new["grand"] = rows["grand"] + grand
        return terms, new

    return rowwise(init_rows, update_rows, stage=Stage.ADDITIVE, name=name)


def read_learning_record(
    rows: Mapping[str, jax.Array], num_examples: int
) -> LearningRecord:
    """The record without padding, sums as means over the visits.

    Args:
      rows: of the transform: `state.rows` of a lone one, `state.rows[-1]` as the last
        of a `chain`, `state.rows["its name"]` of a `named_chain`. With repeats the
        leaves are (R, N_padded).
      num_examples: N.

    Returns:
      `LearningRecord`; means of examples that were never visited are NaN.

    Raises:
      ValueError: more examples than rows.
    """
    checks.at_least("num_examples", num_examples, 1)
    length = rows["visits"].shape[-1]
    if num_examples > length:
        raise ValueError(
            f"num_examples: got {num_examples}, expected at most the {length} rows"
        )
    there = {key: leaf[..., :num_examples] for key, leaf in rows.items()}
    visits = there["visits"]

    def mean(key: str) -> jax.Array:
        total = there[key] / jnp.maximum(visits, 1)
        return jnp.where(visits > 0, total, jnp.nan)

    return LearningRecord(
        visits=visits,
        forgetting=there["forgetting"],
        learned=there["learned"],
        correct=there["correct"],
        loss=mean("loss"),
        el2n=mean("el2n"),
        margin=mean("margin"),
        grand=mean("grand") if "grand" in there else None,
    )
