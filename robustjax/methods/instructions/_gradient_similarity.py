"""Records whose gradients point where those of target examples point, as LESS does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.instructions._baselines import by_value
from robustjax.methods.instructions._pool import InstructionPool, InstructionSelection
from robustjax.selection._greedy import check_features


def gradient_similarity(
    pool: InstructionPool, budget: int, *, key: jax.Array
) -> InstructionSelection:
    """The records whose gradients are most similar to those of the targets.

    After LESS (Xia, Malladi, Gururangan, Arora, Chen, "LESS: Selecting Influential Data
    for Targeted Instruction Tuning", ICML 2024): by `gradient_influence`. LESS weighs
    the records' gradients as Adam would, and adds up several checkpoints; here they are
    plain and of one checkpoint. Concatenate the normalised gradients of several.

    Args:
      pool: records with gradients and target gradients.
      budget: to keep.
      key: draws among equal ones.

    Raises:
      ValueError: a budget that is not 1 … N, no gradients, or none that is not zero.
    """
    gradients, targets = pool.need_gradients()
    similarity = gradient_influence(gradients, targets)
    return by_value(pool, budget, similarity, "similarity", key)


def gradient_influence(gradients: Any, targets: Any) -> np.ndarray:
    """The highest cosine of each gradient with those of the targets.

    Args:
      gradients: (N, P) of the records, such as those of
        `training.language.per_example_lora_gradients`.
      targets: (T, P) of what the model should learn: a mean per task.

    Returns:
      (N,) float64 in [-1, 1]; 0 where a gradient is zero, as that of a text without an
      answer.

    Raises:
      ValueError: shapes that do not fit, NaN, or targets that are all zero.
    """
    mine = _unit(check_features("gradients", gradients))
    wanted = _unit(check_features("targets", targets))
    if mine.shape[1] != wanted.shape[1]:
        raise ValueError(
            f"targets: got {wanted.shape[1]} numbers in a row, expected "
            f"{mine.shape[1]}, those of the gradients"
        )
    wanted = wanted[wanted.any(axis=1)]
    if not len(wanted):
        raise ValueError("targets: all of their gradients are zero, expected some")
    return np.asarray((mine @ wanted.T).max(axis=1), np.float64)


def gradient_sketch(dims: int, *, key: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A random projection of long gradients that is never a matrix.

    Every number is added, with a random sign, to one of `dims` sums (Charikar, Chen,
    Farach-Colton, "Finding frequent items in data streams", 2002): inner products stay
    the same in the mean, and P numbers cost P additions, where the matrix of LESS's
    projection would have P × dims entries.

    Args:
      dims: d, at least 1.
      key: PRNG key; equal keys make equal projections.

    Returns:
      A function from (B, P) to (B, d), for `per_example_lora_gradients`.
    """
    checks.at_least("dims", dims, 1)
    place_key, sign_key = jax.random.split(key)

    def project(gradients: jax.Array) -> jax.Array:
        length = gradients.shape[1]
        places = jax.random.randint(place_key, (length,), 0, dims)
        signs = jax.random.rademacher(sign_key, (1, length), gradients.dtype)
        return (
            jnp.zeros((gradients.shape[0], dims), gradients.dtype)
            .at[:, places]
            .add(gradients * signs)
        )

    return project


def _unit(rows: np.ndarray) -> np.ndarray:
    wide = rows.astype(np.float64)
    norm = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, norm, out=np.zeros_like(wide), where=norm > 0)
