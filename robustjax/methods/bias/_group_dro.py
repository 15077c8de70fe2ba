"""Group DRO with labels of the bias: the worst group counts most.

Sagawa, Koh, Hashimoto, Liang, "Distributionally Robust Neural Networks for Group
Shifts: On the Importance of Regularization for Worst-Case Generalization", ICLR 2020.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, transforms
from robustjax.methods._remembered_array import remembered_array
from robustjax.methods.bias._draws import weighted_order
from robustjax.training import (
    Recipe,
    TrainState,
    as_float,
    single_phase,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import Batch
from robustjax.transforms._rows import gather_rows


def bias_groups(labels: Any, bias: Any, num_biases: int | None = None) -> np.ndarray:
    """The group of every example: its label and its bias attribute.

    Args:
      labels: (N,) integers in 0 … C-1.
      bias: (N,) integers in 0 … K-1.
      num_biases: K; by default the largest attribute plus one.

    Returns:
      (N,) int32, `label K + bias`.

    Raises:
      ValueError: other shapes or lengths, no integers, an attribute out of range.
    """
    given = checks.labels("labels", labels)
    attribute = checks.labels("bias", bias, num_biases)
    checks.same_length(labels=given, bias=attribute)
    count = int(attribute.max()) + 1 if num_biases is None else num_biases
    return given * np.int32(count) + attribute


def group_dro(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    groups: np.ndarray,
    step_size: float = 0.01,
    adjustment: float = 0.0,
    balanced: bool = True,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Cross-entropy under group weights that grow with the groups' losses.

    Batches are drawn with replacement, all groups alike, as published; see
    `transforms.group_dro` for the loss. Of 100 groups about 8 % are missing in a
    balanced batch of 256, and lose weight there.

    Published: step size 0.01, with a large weight decay or early stopping, which the
    method needs where networks fit everything. LfF's table names no setting; network,
    optimiser and steps are best those of `vanilla`.

    Args:
      model: a Linen classifier.
      optimizer: any optax transformation.
      epochs: of training; one has as many steps as the data have batches.
      groups: (N,) integers in 0 … G-1 with an example in every group: `bias_groups` of
        labels and bias attributes. The same for all repeats.
      step_size: eta >= 0; 0 leaves the groups' weights equal.
      adjustment: K >= 0 of the size adjustment, `K / sqrt(n_g)`.
      balanced: whether groups are drawn alike; else batches are shuffled.
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase. The groups' weights are the shared
      ["dro"]["group_weight"]. Metrics: "loss", "accuracy".

    Raises:
      ValueError: groups that are no integers from 0 on or leave one empty, a number
        outside its range; in `init`, another number of groups than examples.
    """
    found = checks.labels("groups", groups)
    num_groups = int(found.max()) + 1
    checks.labels("groups", found, num_groups, need_every_class=True)
    counts = np.bincount(found, minlength=num_groups)
    chain = transforms.named_chain(
        groups=remembered_array("groups", found),
        head=transforms.ce(),
        dro=transforms.group_dro(
            num_groups, step_size, adjustment=adjustment, group_counts=counts
        ),
    )
    plain = supervised(model, chain, optimizer, augment=augment, preprocess=preprocess)

    def objective(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> Any:
        own = state.loss_state.rows["groups"]
        group = gather_rows(own, batch, batch["mask"])["groups"]
        batch = {**batch, "group": group}
        return plain.objective(params, state, batch, key, axis_name)

    def order(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        own = state.loss_state.rows["groups"]["groups"][:num_examples]
        weights = jnp.asarray(1 / counts, jnp.float32)[own]
        return weighted_order(key, weights, batch_size, padding_index)

    algorithm = plain._replace(objective=objective)
    if balanced:
        algorithm = algorithm._replace(order=order)
    return single_phase(algorithm, epochs)
