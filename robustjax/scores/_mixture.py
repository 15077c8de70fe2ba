"""A mixture of two one-dimensional Gaussians: clean and wrong labels by their loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks, conditioning

# Lloyd's algorithm in one dimension stops by itself; this bounds it.
_KMEANS_ITERATIONS = 100
_LARGEST = 1e15


class TwoGaussians(NamedTuple):
    """A fitted mixture.

    Attributes:
      weights: (2,) shares that sum to 1.
      means: (2,) means, in no particular order.
      variances: (2,) positive variances.
    """

    weights: jax.Array
    means: jax.Array
    variances: jax.Array


def _mask(mask: Any, size: int) -> jax.Array:
    if mask is None:
        return jnp.ones(size, bool)
    checks.rank("mask", mask, 1)
    mask = checks.truths("mask", mask)
    if mask.shape[0] != size:
        raise ValueError(
            f"values: lengths differ (values {size}, mask {mask.shape[0]}), expected "
            "one length"
        )
    return jnp.asarray(mask, bool)


def min_max_normalize(values: Any, mask: Any = None) -> jax.Array:
    """Scales values to [0, 1] by the smallest and the largest; constant ones to 0.

    The smallest and the largest are those of the finite values: infinity becomes 1,
    minus infinity 0, NaN stays, and neither spoils the others.

    Args:
      values: (N,) numbers.
      mask: (N,) bool, which of them count; by default all. The others become 0.

    Returns:
      (N,) floats.

    Raises:
      ValueError: another rank, no values, or a mask of another length, or of other
        numbers than 0 and 1.
    """
    checks.rank("values", values, 1)
    if np.shape(values)[0] == 0:
        raise ValueError("values: got none, expected at least one")
    counts = _mask(mask, np.shape(values)[0])
    # A cast would make large integers equal that are not.
    exact = (
        isinstance(values, jax.Array)
        and not checks.is_traced(values)
        and values.dtype.kind in "iu"
    )
    if isinstance(values, jax.Array) and not exact:
        level = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    else:
        level = _level(arrays.numbers("values", values), counts)
    finite = counts & jnp.isfinite(level)
    low = jnp.min(jnp.where(finite, level, jnp.inf))
    # Halves: the range of the largest numbers is no number.
    width = jnp.max(jnp.where(finite, level, -jnp.inf)) / 2 - low / 2
    scaled = (level / 2 - low / 2) / jnp.where(width > 0, width, 1.0)
    infinite = jnp.where(level > 0, 1.0, jnp.where(level < 0, 0.0, jnp.nan))
    return jnp.where(counts, jnp.where(finite, scaled, infinite), 0.0)


def _level(values: np.ndarray, counts: jax.Array) -> jax.Array:
    """Values as float32, near 1 in size, less an offset in their own precision."""
    mask = np.ones(len(values), bool)
    if arrays.is_wide(values) and not checks.is_traced(counts):
        mask = np.asarray(counts) & np.isfinite(values)
    if not arrays.is_wide(values) or not mask.any():
        return arrays.float32("values", values)
    wide = values.astype(np.float64)
    if values.dtype.kind in "iu":
        wide = np.zeros(len(values))
        wide[mask] = conditioning.Rows(values[mask])(slice(None))
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = wide[mask].min(), wide[mask].max()
        size = high / 2 - low / 2
        level = (wide / 2 - low / 2) / (size if size > 0 else 1)
        return jnp.asarray(level.astype(np.float32))


def _log_joint(values: jax.Array, mixture: TwoGaussians) -> jax.Array:
    """(2, N) log of weight times density."""
    squares = (values[None] - mixture.means[:, None]) ** 2
    variances = mixture.variances[:, None]
    log_density = -0.5 * (jnp.log(2 * np.pi * variances) + squares / variances)
    return jnp.log(mixture.weights)[:, None] + log_density


def _maximize(
    values: jax.Array,
    responsibilities: jax.Array,
    means: jax.Array,
    regularization: jax.Array | float,
) -> TwoGaussians:
    """The M-step; a component that loses its examples keeps its mean."""
    # scikit-learn guards its shares in the same way, but lets such a mean go to 0.
    guard = 10 * jnp.finfo(values.dtype).eps
    guarded = jnp.sum(responsibilities, axis=1) + guard
    # As a shift of the old mean, which rounding leaves alone if the values equal it.
    shifts = jnp.sum(responsibilities * (values[None] - means[:, None]), axis=1)
    means = means + shifts / guarded
    squares = (values[None] - means[:, None]) ** 2
    variances = jnp.sum(responsibilities * squares, axis=1) / guarded + regularization
    return TwoGaussians(guarded / jnp.sum(guarded), means, variances)


def _two_means(values: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """k-means from the extreme values: (which belong to the upper, the centres)."""
    some = jnp.any(mask)
    low = jnp.where(some, jnp.min(jnp.where(mask, values, jnp.inf)), 0.0)
    high = jnp.where(some, jnp.max(jnp.where(mask, values, -jnp.inf)), 0.0)

    def mean(chosen: jax.Array, otherwise: jax.Array) -> jax.Array:
        count = jnp.sum(chosen)
        total = jnp.sum(jnp.where(chosen, values - low, 0.0))
        return jnp.where(count > 0, low + total / jnp.maximum(count, 1), otherwise)

    def upper(centres: jax.Array) -> jax.Array:
        return mask & (values > jnp.mean(centres))

    Carry = tuple[jax.Array, jax.Array, jax.Array]

    def move(carry: Carry) -> Carry:
        centres, _, step = carry
        high = upper(centres)
        new = jnp.stack([mean(mask & ~high, centres[0]), mean(high, centres[1])])
        return new, jnp.any(new != centres), step + 1

    def unfinished(carry: Carry) -> jax.Array:
        _, moving, step = carry
        return moving & (step < _KMEANS_ITERATIONS)

    start = jnp.stack([low, high])
    centres, _, _ = jax.lax.while_loop(unfinished, move, (start, some, jnp.int32(0)))
    return upper(centres), centres


@jax.jit
def _fit(
    values: jax.Array,
    mask: jax.Array,
    max_iterations: jax.Array | int,
    tolerance: jax.Array | float,
    regularization: jax.Array | float,
) -> TwoGaussians:
    """The fit itself, compiled once per shape also where the caller compiles none."""
    # What does not count may be anything, and 0 * inf is not 0.
    values = jnp.where(mask, values, 0.0)
    count = jnp.maximum(jnp.sum(mask), 1)
    high, centres = _two_means(values, mask)
    first = jnp.stack([mask & ~high, high]).astype(values.dtype)
    mixture = _maximize(values, first, centres, regularization)

    Carry = tuple[TwoGaussians, jax.Array, jax.Array, jax.Array]

    def step(carry: Carry) -> Carry:
        mixture, before, _, iteration = carry
        joint = _log_joint(values, mixture)
        likelihood = jax.nn.logsumexp(joint, axis=0)
        share = jnp.where(mask[None], jnp.exp(joint - likelihood[None]), 0.0)
        mixture = _maximize(values, share, mixture.means, regularization)
        bound = jnp.sum(jnp.where(mask, likelihood, 0.0)) / count
        return mixture, bound, jnp.abs(bound - before) < tolerance, iteration + 1

    def unfinished(carry: Carry) -> jax.Array:
        _, _, converged, iteration = carry
        return ~converged & (iteration < max_iterations)

    start = (
        mixture,
        jnp.asarray(-jnp.inf, values.dtype),
        jnp.asarray(False),
        jnp.int32(0),
    )
    return jax.lax.while_loop(unfinished, step, start)[0]


def _check_values(values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("values: got no finite number, expected at least one")
    largest = float(np.abs(finite).max())
    if largest > _LARGEST:
        raise ValueError(
            f"values: got {largest:g}, expected numbers up to {_LARGEST:g}, whose "
            "variance float32 holds; scale them with min_max_normalize"
        )


def fit_two_gaussians(
    values: Any,
    mask: Any = None,
    *,
    max_iterations: int = 10,
    tolerance: float = 1e-2,
    regularization: float = 5e-4,
) -> TwoGaussians:
    """Fits a mixture of two Gaussians by expectation maximisation.

    The defaults are DivideMix's (Li et al., ICLR 2020), and the steps those of
    `sklearn.mixture.GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4)`: hard
    responsibilities from k-means, then E- and M-steps until the mean log-likelihood
    changes by less than the tolerance. scikit-learn starts k-means at random points;
    here it starts at the smallest and the largest value, so the fit is
    deterministic, and agrees wherever both find the same two clusters. Equal values
    all belong to one component. Values that are not finite do not count. Works under
    `jit` and `vmap`.

    Args:
      values: (N,) numbers, in DivideMix losses scaled by `min_max_normalize`.
      mask: (N,) bool, which of them count; by default all.
      max_iterations: the largest number of steps, >= 1.
      tolerance: >= 0.
      regularization: added to the variances, in [1e-30, 1e30].

    Returns:
      A `TwoGaussians`.

    Raises:
      ValueError: a number outside its range, shapes that do not match, or values
        whose differences float32 does not resolve.
    """
    checks.rank("values", values, 1)
    arrays.check_resolved("values", values)
    if not isinstance(values, jax.Array):
        _check_values(arrays.numbers("values", values))
    if not checks.is_traced(max_iterations):
        checks.at_least("max_iterations", max_iterations, 1)
    checks.in_range("tolerance", tolerance, 0)
    checks.in_range("regularization", regularization, 1 / _LARGEST**2, _LARGEST**2)
    values = arrays.float32("values", values)
    # One that is not finite belongs to neither, and would make all of both NaN.
    mask = _mask(mask, values.shape[0]) & jnp.isfinite(values)
    return _fit(values, mask, max_iterations, tolerance, regularization)


def posterior_of_lower(values: Any, mixture: TwoGaussians) -> jax.Array:
    """The probability that a value comes from the component of smaller mean.

    For losses this is the probability that a label is clean (Li et al., 2020). Where
    the components have equal means it is the first component's.

    Args:
      values: (N,) numbers on the scale of the fit.
      mixture: from `fit_two_gaussians`.

    Returns:
      (N,) probabilities; NaN of NaN. Far from both, the component of larger variance
      is the likely one.

    Raises:
      ValueError: another rank.
    """
    checks.rank("values", values, 1)
    arrays.check_resolved("values", values)
    return _posterior(
        arrays.float32("values", values), TwoGaussians(*map(jnp.asarray, mixture))
    )


@jax.jit
def _posterior(values: jax.Array, mixture: TwoGaussians) -> jax.Array:
    # Beyond this nothing changes, and squares would overflow.
    values = jnp.clip(values, -_LARGEST, _LARGEST)
    weights, means, variances = mixture
    away = (values[None] - means[:, None]) / jnp.sqrt(variances)[:, None]
    # The difference of the squares as a product, of which no part is infinite.
    squares = (away[1] - away[0]) * (away[1] + away[0])
    level = jnp.log(weights) - 0.5 * jnp.log(variances)
    log_odds = level[0] - level[1] + squares / 2
    return jax.nn.sigmoid(jnp.where(means[0] <= means[1], log_odds, -log_odds))
