"""Gradients of single texts' losses by the adapters, many at a time.

What gradient-based selection compares (Xia et al., "LESS: Selecting Influential Data
for Targeted Instruction Tuning", ICML 2024).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.models import language
from robustjax.training.language._answers import check_tokens
from robustjax.training.language._rows import TokenRows
from robustjax.training.language._text_losses import Weights, text_losses

Project = Callable[[jax.Array], jax.Array]


def per_example_lora_gradients(
    model: language.LanguageModel,
    rows: TokenRows,
    adapters: Any,
    lora: language.Lora,
    *,
    batch_size: int = 8,
    project: Project | None = None,
    dtype: Any = jnp.float32,
) -> np.ndarray:
    """The gradient of every text's mean answer loss by the adapters.

    Where the adapters are fresh, their `b` is 0 and so is the gradient by `a`: train
    them a little first (LESS: 4 epochs on 5 % of the texts).

    Args:
      model: frozen.
      rows: of `padded_rows`, or others with one text to a row.
      adapters: where the gradient is taken; of `fine_tune` or `language.init_adapters`.
      lora: what they were made by.
      batch_size: texts that go through the model together, under `vmap`.
      project: `(B, P) -> (B, d)`, applied on the device to every batch, such as a
        random projection; by default nothing.
      dtype: in which matrices are multiplied.

    Returns:
      (N, P) float32, or (N, d), by the number of a text, whatever its row: flat in the
      order of `jax.tree.leaves(adapters)`.

    Raises:
      ValueError: rows with several texts, or tokens that the model does not know.
    """
    checks.at_least("batch_size", batch_size, 1)
    if rows.texts.shape[1] > 1:
        raise ValueError(
            f"rows: got up to {rows.texts.shape[1]} texts in a row, expected padded "
            "rows"
        )
    check_tokens(model.config, rows.tokens)
    stacked = rows.stacked
    batch_size = min(batch_size, len(stacked))
    found = []
    for begin in range(0, len(stacked), batch_size):
        part = stacked[begin : begin + batch_size]
        missing = batch_size - len(part)
        part = np.pad(part, ((0, missing), (0, 0), (0, 0)))
        values = _gradients(
            model.config,
            lora.scale,
            jnp.dtype(dtype),
            project,
            model.params,
            adapters,
            part,
        )
        found.append(np.asarray(values)[: batch_size - missing])
    # Packed rows of one text each are in another order than the texts.
    return np.concatenate(found)[np.argsort(rows.texts[:, 0], kind="stable")]


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _gradients(
    config: language.LlamaConfig,
    scale: float,
    dtype: Any,
    project: Project | None,
    params: Any,
    adapters: Any,
    rows: Any,
) -> jax.Array:
    def loss(adapters: Any, row: jax.Array) -> jax.Array:
        weights = Weights(config, params, adapters, scale)
        sums, counts = text_losses(weights, row[None], 1, dtype=dtype)
        return jnp.sum(sums) / jnp.maximum(jnp.sum(counts), 1)

    found = jax.vmap(jax.grad(loss), (None, 0))(adapters, rows)
    flat = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(found)]
    joined = jnp.concatenate(flat, axis=1).astype(jnp.float32)
    return joined if project is None else project(joined)
