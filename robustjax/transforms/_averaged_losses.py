"""Every example's loss, averaged over its visits and scaled by its class's largest.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from
Biased Classifier", NeurIPS 2020. One visit's loss is noisy, and losses of easy classes
are smaller than those of hard ones: both would blur which example is hard *for its
class*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.transforms._base import (
    AxisName,
    Batch,
    ExampleSpec,
    LossTransform,
    Stage,
    Terms,
)
from robustjax.transforms._reduction import need_single_labels
from robustjax.transforms._rows import rowwise

UNSEEN = -1
"""The class of an example that was not visited yet."""


def update_average(
    average: jax.Array, seen: jax.Array, loss: jax.Array, decay: jax.Array | float
) -> jax.Array:
    """`decay e + (1 - decay) l`, or `l` itself at the first visit.

    Args:
      average: (B, ...) averages so far, e.
      seen: (B, ...) bool, whether there are any.
      loss: (B, ...) losses of this visit, l.
      decay: in [0, 1]; 0 keeps the last loss, 1 the first.

    Returns:
      (B, ...) averages after this visit.
    """
    return jnp.where(seen, decay * average + (1 - decay) * loss, loss)


def class_maxima(
    values: jax.Array,
    classes: jax.Array,
    num_classes: int,
    axis_name: AxisName = None,
) -> jax.Array:
    """The largest value of every class.

    Args:
      values: (N, ...) non-negative floats.
      classes: (N,) integers; rows of a class outside 0 … C-1 do not count.
      num_classes: C.
      axis_name: the mapped device axis over which the rows are divided, else None.

    Returns:
      (C, ...), 0 where a class has no row.
    """
    # A negative segment is out of range, and dropped.
    found = jax.ops.segment_max(values, classes, num_classes)
    found = jnp.maximum(found, 0.0)
    return found if axis_name is None else jax.lax.pmax(found, axis_name)


def over_largest(
    values: jax.Array, largest: jax.Array, classes: jax.Array
) -> jax.Array:
    """Values over the largest of their class.

    Args:
      values: (B, ...) non-negative floats.
      largest: (C, ...) of `class_maxima`.
      classes: (B,) integers in 0 … C-1; others give what nobody may look at.

    Returns:
      (B, ...) in [0, 1]; 0 where the class's largest is 0, NaN where it is NaN.
    """
    of_class = largest.at[classes].get(mode="clip")
    # NaN is no largest of 0: it must show in what is made of it.
    none = of_class == 0
    return jnp.where(none, 0.0, values / jnp.where(none, 1.0, of_class))


def class_of(labels: jax.Array) -> jax.Array:
    """(B,) int32 classes of labels; of a distribution, its most likely one."""
    hard = labels if labels.ndim == 1 else jnp.argmax(labels, axis=-1)
    return hard.astype(jnp.int32)


def averaged_losses(decay: float = 0.7) -> LossTransform:
    """Keeps every example's average loss over its visits; changes no term.

    The rows "average" hold `e <- decay e + (1 - decay) l`, at the first visit `l`
    itself, and the rows "class" the example's label at its last visit, -1 before the
    first. Stands after the head, whose values are what is averaged. Read the rows with
    `read_averaged_losses`.

    Args:
      decay: in [0, 1]; LfF has 0.7. 0 keeps the last loss, 1 the first.

    Raises:
      ValueError: a decay outside its range; in `update`, examples with many labels.
    """
    name = "averaged_losses"
    checks.in_range("decay", decay, 0, 1)

    def init_rows(spec: ExampleSpec) -> Any:
        count = spec.padded_examples
        return {
            "average": jnp.zeros(count, jnp.float32),
            "class": jnp.full(count, UNSEEN, jnp.int32),
        }

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch, extra
        need_single_labels(name, terms)
        seen = rows["class"] != UNSEEN
        average = update_average(rows["average"], seen, terms.value, decay)
        return terms, {"average": average, "class": class_of(terms.labels)}

    return rowwise(init_rows, update_rows, stage=Stage.ADDITIVE, name=name)


def read_averaged_losses(
    rows: Mapping[str, jax.Array],
    num_examples: int,
    num_classes: int,
    *,
    normalize: bool = True,
) -> jax.Array:
    """The averages of all examples, each over the largest of its class.

    Args:
      rows: of `averaged_losses`: `state.rows` of a lone one, `state.rows[-1]` as the
        last of a `chain`, `state.rows["its name"]` of a `named_chain`.
      num_examples: N.
      num_classes: C.
      normalize: whether to divide by the class's largest; else the averages
        themselves.

    Returns:
      (N,) float32, normalised in [0, 1]; NaN where an example was never visited.

    Raises:
      ValueError: more examples than rows.
    """
    checks.at_least("num_examples", num_examples, 1)
    checks.at_least("num_classes", num_classes, 2)
    length = rows["average"].shape[0]
    if num_examples > length:
        raise ValueError(
            f"num_examples: got {num_examples}, expected at most the {length} rows"
        )
    average, classes = rows["average"][:num_examples], rows["class"][:num_examples]
    if normalize:
        largest = class_maxima(average, classes, num_classes)
        average = over_largest(average, largest, classes)
    return jnp.where(classes != UNSEEN, average, jnp.nan)
