"""How many different conflicting examples there are, and how often they are seen.

The study of diversity and sampling ratios in Lee, Kim, Lee, Lee, Choo, "Learning
Debiased Representation via Disentangled Feature Augmentation", NeurIPS 2021.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax

from robustjax import checks, transforms
from robustjax.methods._remembered_array import remembered_array
from robustjax.methods.bias._draws import weighted_order
from robustjax.training import Recipe, TrainState, as_float, single_phase, supervised
from robustjax.training._supervised import Augment, Preprocess

_NAME = "draws_per_epoch"


def conflict_sampling(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    conflicting: np.ndarray,
    sampling_ratio: float = 0.5,
    diversity_ratio: float | None = None,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Cross-entropy on batches with a given share of bias-conflicting examples.

    Every draw, with replacement, is of a conflicting example with probability
    `sampling_ratio`, and of any of its group alike. `diversity_ratio` sets how many
    different ones there are to draw from, as a share of all examples: the others of
    them are never seen. Which ones is the same in every repeat, at even distances in
    the order of the data.

    Published, for Colored MNIST with the network and optimiser of DFA's plain
    training, as (diversity, sampling): (5 %, 50 %), (1 %, 50 %), (5 %, 1 %) and (1 %,
    1 %). The paper has a data set for each diversity; here those of 1 % can be a part
    of those of 5 %.

    Args:
      model: a Linen classifier.
      optimizer: any optax transformation.
      epochs: of training; one has as many steps as the data have batches.
      conflicting: (N,) bool, whether an example's bias contradicts its label. The same
        for all repeats.
      sampling_ratio: the expected share of conflicting examples in a batch, in (0, 1).
      diversity_ratio: how many different conflicting examples are drawn, as a share of
        all N, in (0, 1); rounded to examples. By default all that there are.
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase. The rows ["draws"]["draws_per_epoch"] hold how often an
      example is expected in an epoch. Metrics: "loss", "accuracy".

    Raises:
      ValueError: what is no vector of booleans, no example of either group, a number
        outside its range, a diversity of no example or of more than conflict; in
        `init`, another number of entries than examples.
    """
    checks.in_range(
        "sampling_ratio", sampling_ratio, 0, 1, low_open=True, high_open=True
    )
    draws = draws_per_epoch(conflicting, sampling_ratio, diversity_ratio)
    chain = transforms.named_chain(
        draws=remembered_array(_NAME, draws, argument="conflicting"),
        head=transforms.ce(),
    )
    plain = supervised(model, chain, optimizer, augment=augment, preprocess=preprocess)

    def order(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        own = state.loss_state.rows["draws"][_NAME][:num_examples]
        return weighted_order(key, own, batch_size, padding_index)

    return single_phase(plain._replace(order=order), epochs)


def draws_per_epoch(
    conflicting: Any, sampling_ratio: float, diversity_ratio: float | None
) -> np.ndarray:
    """How often every example is expected among N draws: (N,) float32, of sum N."""
    group = np.asarray(conflicting)
    if group.ndim != 1 or group.dtype != bool:
        raise ValueError(
            f"conflicting: got {group.dtype} of shape {group.shape}, expected bool (N,)"
        )
    rows = np.flatnonzero(group)
    if not 0 < rows.size < group.size:
        raise ValueError(
            f"conflicting: got {rows.size} of {group.size} examples, expected some, "
            "and not all"
        )
    if diversity_ratio is not None:
        checks.in_range(
            "diversity_ratio", diversity_ratio, 0, 1, low_open=True, high_open=True
        )
        count = round(diversity_ratio * group.size)
        if not 1 <= count <= rows.size:
            raise ValueError(
                f"diversity_ratio: got {diversity_ratio:g}, which is {count} of "
                f"{group.size} examples, expected 1 to the {rows.size} that conflict"
            )
        rows = rows[np.arange(count) * rows.size // count]
    draws = np.zeros(group.size)
    draws[~group] = (1 - sampling_ratio) * group.size / np.sum(~group)
    draws[rows] = sampling_ratio * group.size / rows.size
    return draws.astype(np.float32)
