"""From values of positions to values of examples, and from those to one number."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.transforms._base import AxisName, Reduction, Terms


def example_mean(name: str, terms: Terms, values: jax.Array) -> jax.Array:
    """The mean of (B, ...) values over the positions that count, per example.

    Args:
      name: of the transform, for the error.
      terms: of the batch.
      values: (B, ...) in the shape of the labels; NaN where a position does not count
        is allowed.

    Returns:
      (B,) means, 0 for an example without any position; (B,) values as they are.

    Raises:
      ValueError: another shape.
    """
    positions = terms.positions
    wanted = terms.mask.shape if positions is None else positions.shape
    if values.shape != wanted:
        raise ValueError(
            f"{name}: got values of shape {values.shape}, expected {wanted}, one per "
            "label of the batch"
        )
    if positions is None:
        return values
    axes = tuple(range(1, values.ndim))
    total = jnp.sum(jnp.where(positions, values, 0.0), axis=axes)
    return total / jnp.maximum(positions_of(terms), 1)


def reweighted(
    name: str, terms: Terms, weight: jax.Array, reduction: Reduction
) -> Terms:
    """Terms with other weights, and how they become one number.

    Raises:
      ValueError: a mean over the weights of what is to be a sum, in which a common
        factor of the weights, such as that of `alpha_weights(weighting="literal")`,
        would be lost.
    """
    if terms.reduction is Reduction.SUM and reduction is Reduction.WEIGHTED_MEAN:
        raise ValueError(
            f"{name}: got terms that a transform before it wants summed (alpha_weights "
            "with weighting='literal', say), expected a mean, or a reduction of its own"
        )
    kept = terms.reduction if terms.reduction is Reduction.SUM else reduction
    return terms.replace(weight=weight, reduction=kept)


def positions_of(terms: Terms) -> jax.Array:
    """(B,) float32, how many labels of each example count."""
    assert terms.positions is not None
    axes = tuple(range(1, terms.positions.ndim))
    return jnp.sum(terms.positions, axis=axes, dtype=jnp.float32)


def _counted(terms: Terms) -> tuple[jax.Array, jax.Array]:
    """(B,) factors of the values in the numerator, and what the denominator sums."""
    weight, size = terms.weight, jnp.ones_like(terms.weight)
    if terms.positions is not None and not terms.per_example:
        size = positions_of(terms)
        weight = weight * size
    by_weight = terms.reduction is Reduction.WEIGHTED_MEAN
    return weight, weight if by_weight else size


def shares(terms: Terms, axis_name: AxisName = None) -> jax.Array:
    """(B,) the factors with which `reduce` adds the values, zero on padding.

    Args:
      terms: of the batch.
      axis_name: the mapped device axis under `pmap` or `shard_map`, else None.
    """
    weight, _ = _counted(terms)
    weight = jnp.where(terms.mask, weight, 0.0)
    if terms.reduction is Reduction.SUM:
        return weight
    if terms.whole is not None:
        mask, positions = terms.whole
        terms = terms.replace(mask=mask, positions=positions)
    _, counted = _counted(terms)
    return weight / _positive_total(jnp.where(terms.mask, counted, 0.0), axis_name)


def _positive_total(counted: jax.Array, axis_name: AxisName) -> jax.Array:
    """The sum over a batch; 1 of padding alone, whose loss is 0 and not 0/0."""
    total = jnp.sum(counted)
    if axis_name is not None:
        total = jax.lax.psum(total, axis_name)
    return jnp.where(total > 0, total, 1.0)


def reduce(terms: Terms, axis_name: AxisName = None) -> jax.Array:
    """Turns terms into the scalar loss; the only place where a mean is taken.

    Numerator and denominator are each summed over `axis_name`, so the result is the
    loss of the global batch on every device. Gradients: under `jax.jit` with sharded
    arrays and under `jax.shard_map` nothing remains to be done; under `jax.pmap`
    each device holds its own share scaled by the device count, so take
    `jax.lax.pmean` of the gradients (a no-op under `shard_map` with its default
    replication check; needed there too with `check_vma=False`).

    Args:
      terms: what the last transform returned.
      axis_name: the mapped device axis under `pmap` or `shard_map`, else None.

    Returns:
      A scalar; NaN, with gradients of NaN, if an index of the batch was wrong.

    Raises:
      ValueError: values or weights that are not (B,), or a penalty's mask that is not
        bool.
    """
    check_terms("reduce", terms)

    def total(x: jax.Array) -> jax.Array:
        return x if axis_name is None else jax.lax.psum(x, axis_name)

    weight, counted = _counted(terms)
    numerator = jnp.sum(jnp.where(terms.mask, weight * terms.value, 0.0))
    if terms.fault is not None:
        # A product, so that the gradient shows it too.
        numerator = numerator * jnp.where(terms.fault, jnp.nan, 1.0)
    loss = total(numerator)
    if terms.reduction is not Reduction.SUM:
        loss = loss / _positive_total(jnp.where(terms.mask, counted, 0.0), axis_name)
    for penalty in terms.penalties:
        value = penalty.value
        if penalty.mask is None:
            count = total(jnp.float32(value.size))
        else:
            checks.truth("penalty.mask", penalty.mask)
            value = jnp.where(penalty.mask, value, 0.0)
            count = total(jnp.sum(penalty.mask, dtype=jnp.float32))
            count = jnp.where(count > 0, count, 1.0)
        loss = loss + penalty.weight * total(jnp.sum(value)) / count
    return loss


def check_terms(name: str, terms: Terms) -> None:
    """Raises `ValueError` unless value and weight have one number per example."""
    for field in ("value", "weight"):
        shape = jnp.shape(getattr(terms, field))
        if shape != terms.mask.shape:
            raise ValueError(
                f"{name}: got {field} of shape {shape}, expected {terms.mask.shape}, "
                "one per example"
            )


def need_single_labels(name: str, terms: Terms) -> None:
    """Raises `ValueError` where an example has many labels (pixels, tokens)."""
    if terms.positions is not None:
        raise ValueError(
            f"{name}: got labels of shape {terms.positions.shape}, expected (B,): its "
            "memory is of examples with one label each"
        )
