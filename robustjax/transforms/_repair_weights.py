"""REPAIR: example weights under which a bias feature says little about the label.

Li, Vasconcelos, "REPAIR: Removing Representation Bias by Dataset Resampling", CVPR
2019.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.losses._classification import cross_entropy
from robustjax.transforms._averaged_losses import UNSEEN, class_of
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Stage,
    Terms,
    need,
)
from robustjax.transforms._reduction import need_single_labels
from robustjax.transforms._rows import gather_rows, rowwise, scatter_rows


def repair_weights(learning_rate: float = 10.0) -> LossTransform:
    """Weights that are learned so that the network's loss is high.

    Every example has a weight `w = sigmoid(omega)`, from omega = 0, the rows "omega".
    A network that sees only a bias feature (a colour, say) minimises the mean of
    `z CE` with `z = w / mean(w)`; the weights minimise the dataset's bias

        V = 1 - sum_batch w_i CE_i / sum_batch w_i (-log q_{y_i}),
        q_c = sum_{y_j = c} w_j / sum_j w_j,

    the share of the labels' entropy that the feature explains. `update` takes a plain
    SGD step on omega, with the gradient at the moment of the network's own step: that
    of the batch's weights, and through q that of all examples', in closed form. The
    sums over the data set are over the examples that were visited so far ("class" holds
    their labels, -1 before the first visit).

    Published: SGD with rate 1e-3 and momentum 0.9 for a linear network, rate 10 for the
    weights, batches of 128, 200 epochs. Then resample by `sigmoid(omega)`.

    Needs `logits`, (B, C), of the network that sees the bias feature.

    Args:
      learning_rate: of omega, >= 0; 0 leaves all weights equal.

    Raises:
      ValueError: a negative rate; in `update`, examples with many labels.
    """
    name = "repair_weights"
    checks.in_range("learning_rate", learning_rate, 0)

    def init_rows(spec: ExampleSpec) -> Any:
        count = spec.padded_examples
        return {
            "omega": jnp.zeros(count, jnp.float32),
            "class": jnp.full(count, UNSEEN, jnp.int32),
        }

    def record(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch, extra
        need_single_labels(name, terms)
        return terms, {**rows, "class": class_of(terms.labels)}

    recording = rowwise(init_rows, record, stage=Stage.WEIGHTS, name=name)

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        layout = {
            key: extra[key] for key in ("axis_name", "local_rows") if key in extra
        }
        axis_name = layout.get("axis_name")
        terms, state = recording.update(terms, state, batch, **extra)
        omega, classes = state.rows["omega"], state.rows["class"]
        logits = jnp.asarray(need(name, extra, "logits"))
        loss = jax.lax.stop_gradient(cross_entropy(logits, terms.labels))

        # Of all examples: the weights of every class, and their mean.
        seen = classes != UNSEEN
        every = jnp.where(seen, jax.nn.sigmoid(omega), 0.0)
        num_classes = logits.shape[-1]
        by_class = jax.ops.segment_sum(every, classes, num_classes)
        count = jnp.sum(seen, dtype=jnp.float32)
        if axis_name is not None and layout.get("local_rows", False):
            by_class, count = jax.lax.psum((by_class, count), axis_name)
        total = jnp.sum(by_class)
        total = jnp.where(total > 0, total, 1.0)
        rarity = jnp.log(total) - jnp.log(jnp.where(by_class > 0, by_class, total))

        # Of the batch: both sums of V, and its weights by class.
        own = gather_rows({"omega": omega}, batch, terms.mask)["omega"]
        mine = jnp.where(terms.mask, jax.nn.sigmoid(own), 0.0)
        place = class_of(terms.labels)
        label_loss = rarity.at[place].get(mode="clip")
        loss = jnp.where(terms.mask, loss, 0.0)
        here = jnp.where(terms.mask, place, num_classes)
        sums = (
            jnp.sum(mine * loss),
            jnp.sum(mine * label_loss),
            jax.ops.segment_sum(mine, here, num_classes),
        )
        if axis_name is not None:
            sums = jax.lax.psum(sums, axis_name)
        explained, entropy, drawn = sums

        # V's slope in a weight of the batch, and in any weight through q. With one
        # class alone the entropy is 0, and there is nothing to learn.
        known = entropy > 0
        safe = jnp.where(known, entropy, 1.0)
        direct = -(loss - explained / safe * label_loss) / safe
        through = jnp.sum(drawn) / total - drawn / jnp.where(
            by_class > 0, by_class, 1.0
        )
        through = explained / safe**2 * through

        def moved(omega: jax.Array, slope: jax.Array) -> jax.Array:
            w = jax.nn.sigmoid(omega)
            step = learning_rate * slope * w * (1 - w)
            return omega - jnp.where(known, step, 0.0)

        spread = jnp.where(seen, through.at[classes].get(mode="clip"), 0.0)
        rows = {"omega": moved(omega, spread)}
        new = {"omega": moved(own, direct + through.at[place].get(mode="clip"))}
        # The duplicates of a batch were looked for when its labels were written.
        rows, _ = scatter_rows(rows, new, batch, terms.mask, name=name, **layout)
        mean = total / jnp.maximum(count, 1)
        z = mine / jnp.where(mean > 0, mean, 1.0)
        return (
            terms.replace(weight=terms.weight * z),
            state._replace(rows={**rows, "class": classes}),
        )

    return recording._replace(update=update)
