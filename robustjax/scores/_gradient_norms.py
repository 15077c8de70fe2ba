"""How hard an example pulls at the network: EL2N and GraNd. High means hard.

Paul, Ganguli, Dziugaite, "Deep Learning on a Data Diet: Finding Important Examples
Early in Training" (NeurIPS 2021). With clean labels hard examples are the ones to keep;
under label noise the largest scores belong to wrong labels.

Scores of several networks, or of several epochs, are averaged by the caller; the paper
takes ten networks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks, losses
from robustjax.scores._given_labels import check_unit_interval

_LOG_LARGEST = float(np.log(np.finfo(np.float32).max))


def el2n(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    """Euclidean norm of the error, `||p - 1_y||`.

    Args:
      probabilities: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.

    Returns:
      (...) values in [0, sqrt 2]; NaN where an integer label is out of range.

    Raises:
      ValueError: shapes that do not match, or numbers outside [0, 1], unless they are
        traced.
    """
    return norm_of(_error(probabilities, labels))


def _error(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    """`p - 1_y`, (..., C)."""
    p = arrays.float32("probabilities", probabilities)
    check_unit_interval("probabilities", p)
    own = arrays.labels_for(labels)
    # Ones and zeros that are integers would each be taken for a class.
    whole = jnp.issubdtype(own.dtype, jnp.integer)
    if own.shape != (p.shape[:-1] if whole else p.shape):
        raise ValueError(
            f"labels: got shape {own.shape} of {own.dtype} for probabilities "
            f"{p.shape}, expected {p.shape[:-1]} integers or {p.shape} floats"
        )
    return p - losses.as_distributions(own, p.shape[-1])


def norm_of(
    rows: jax.Array, *, least: float = 0.0, order: jax.Array | float = 2.0
) -> jax.Array:
    """The norm of rows (..., d), of any size, each with a further entry `least`.

    `order` r in (0, inf]: `(least^r + sum |entry|^r)^(1/r)`, the largest entry for
    infinity; a traced one must be finite.
    """
    # The largest entry out of the square: tiny and huge rows have a norm, too.
    scale = jnp.max(jnp.abs(rows), axis=-1, initial=least)
    scale = jax.lax.stop_gradient(
        jnp.where((scale > 0) & jnp.isfinite(scale), scale, 1.0)
    )
    relative = rows / scale[..., None]
    if not checks.is_traced(order):
        if order == 2:
            square = jnp.sum(relative**2, axis=-1)
            return scale * jnp.sqrt(square + (least / scale) ** 2)
        if np.isinf(order):
            # Not the scale, which is 1 for rows of zeros and of infinities.
            return jnp.max(jnp.abs(rows), axis=-1, initial=least)
    total = jnp.sum(jnp.abs(relative) ** order, axis=-1) + (least / scale) ** order
    return scale * total ** (1 / order)


def last_layer_grand(
    features: jax.Array,
    probabilities: jax.Array,
    labels: jax.Array,
    *,
    bias: bool = True,
    order: jax.Array | float = 2.0,
) -> jax.Array:
    """GraNd of the last layer alone, in closed form: no gradient is taken.

    The gradient of the cross-entropy is `p - 1_y` for the bias and its outer product
    with the features f for the weights, so the norm of both is
    `||p - 1_y|| sqrt(1 + ||f||^2)`. Public code divides by the batch size, by which
    examples of a smaller last batch get larger scores; this does not.

    An outer product's entrywise r-norm is the product of two r-norms, so any `order`
    has the same closed form. PGD (Ahn et al., ICLR 2023) draws examples by the norm of
    the weights' gradient, `bias=False`; its code has r = 0.7 by default and its paper
    compares 1, 2 and infinity.

    Args:
      features: (..., d) floats, the inputs of the last layer.
      probabilities: (..., C) floats.
      labels: (...) integers in 0 … C-1, or (..., C) distributions.
      bias: whether the layer has one; without it the factor is `||f||`.
      order: r of the entrywise norm, > 0, infinity included; below 1 it is none, but
        ranks all the same, down to where float32 overflows (0.16 for a million
        weights).

    Returns:
      (...) values in [0, inf); NaN where an integer label is out of range.

    Raises:
      ValueError: an order that is not positive or too small, shapes that do not match,
        or probabilities outside [0, 1], unless they are traced.
    """
    checks.in_range("order", order, 0, low_open=True)
    f = arrays.float32("features", features)
    error = _error(probabilities, labels)
    if not checks.is_traced(order):
        # Of rows that are all ones, which the largest entry is taken out for.
        least = np.log((f.shape[-1] + 1) * error.shape[-1]) / _LOG_LARGEST
        checks.in_range("order", order, least)
    if f.shape[:-1] != error.shape[:-1]:
        raise ValueError(
            f"features: got shape {f.shape} for probabilities {error.shape}, expected "
            "the same examples"
        )
    norm = norm_of(f, least=1.0 if bias else 0.0, order=order)
    return norm_of(error, order=order) * norm


def grand(
    loss: Callable[[Any, Any], jax.Array],
    params: Any,
    examples: Any,
    *,
    block_size: int = 64,
) -> jax.Array:
    """GraNd exactly: the norm of the gradient of every example's own loss.

    Args:
      loss: `(params, example) -> scalar`, of one example without a batch axis, such
        as its input and label; nothing in it may depend on other examples, so
        BatchNorm has to be in prediction mode.
      params: pytree of floats, what the gradient is taken in.
      examples: pytree whose leaves lead with N.
      block_size: gradients held at a time, each of the size of `params`.

    Returns:
      (N,) values in [0, inf), at least float32.

    Raises:
      ValueError: a block size below 1, leaves without examples, or numbers beyond
        float32 or int32.
    """
    checks.at_least("block_size", block_size, 1)
    examples = jax.tree.map(lambda leaf: arrays.floats("examples", leaf), examples)
    for leaf in jax.tree.leaves(examples):
        if np.ndim(leaf) == 0 or leaf.shape[0] == 0:
            raise ValueError(
                f"examples: got a leaf of shape {np.shape(leaf)}, expected (N, …), "
                "N >= 1"
            )

    def norm(example: Any) -> jax.Array:
        leaves = jax.tree.leaves(jax.grad(loss)(params, example))
        wide = [
            leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in leaves
        ]
        return norm_of(jnp.stack([norm_of(leaf.reshape(-1)) for leaf in wide]))

    return jax.lax.map(norm, examples, batch_size=block_size)
