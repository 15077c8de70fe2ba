"""Out-of-distribution (OOD) detection with a classifier: scores, and how well they do.

Every score is larger for what is more likely OOD.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks

# Those by which float32 logits can be divided.
_TEMPERATURES = 1e-30, 1e30


def max_softmax_uncertainty(logits: jax.Array) -> jax.Array:
    """Minus the largest class probability (Hendrycks and Gimpel, ICLR 2017).

    Very confident predictions are rounded to -1 and then tie; `energy_uncertainty`
    does not saturate.

    Args:
      logits: (..., C) floats.

    Returns:
      (...) values in [-1, -1/C].
    """
    return -jnp.max(jax.nn.softmax(arrays.logits("logits", logits)), axis=-1)


def energy_uncertainty(
    logits: jax.Array, *, temperature: jax.Array | float = 1.0
) -> jax.Array:
    """The free energy, `-T logsumexp(z / T)` (Liu et al., NeurIPS 2020, Eq. 4).

    Args:
      logits: (..., C) floats.
      temperature: T in [1e-30, 1e30], possibly traced.

    Returns:
      (...) values, unbounded.

    Raises:
      ValueError: a temperature out of range, or several.
    """
    checks.rank("temperature", temperature, 0)
    checks.in_range("temperature", temperature, *_TEMPERATURES)
    if np.shape(logits)[-1:] in ((), (0,)):
        raise ValueError(
            f"logits: got shape {np.shape(logits)}, expected (…, C), C >= 1"
        )
    level: jax.Array | float = 0.0
    if not isinstance(logits, jax.Array):
        # Differences of logits are taken before the cast that would round them.
        logits = arrays.numbers("logits", logits)
        top = logits.max(axis=-1)
        level = arrays.float32("logits", np.where(np.isfinite(top), top, 0))
    wide = arrays.logits("logits", logits)
    if isinstance(level, jax.Array) and not arrays.is_wide(np.asarray(logits)):
        level = 0.0
    logsumexp = jax.nn.logsumexp(wide / temperature, axis=-1)
    return -(level + temperature * logsumexp)


class DetectionMetrics(NamedTuple):
    """How well a score tells OOD examples from in-distribution (IN) ones, in [0, 1].

    Attributes:
      auroc: the probability that an OOD example scores higher than an IN one, a tie
        counting one half. Higher is better.
      aupr_out: average precision with OOD as the positive class. Higher is better.
      fpr95_in_pos: the share of OOD examples that are accepted as IN where 95 % of
        the IN examples are accepted. Lower is better.
      fpr95_ood_pos: the share of IN examples that are flagged as OOD where 95 % of
        the OOD examples are flagged. Lower is better.
    """

    auroc: float
    aupr_out: float
    fpr95_in_pos: float
    fpr95_ood_pos: float


def _sorted_scores(name: str, scores: Any) -> np.ndarray:
    """Returns scores in ascending order, as float64, after checking them."""
    array = arrays.numbers(name, scores, 1)
    if array.size == 0:
        raise ValueError(f"{name}: got no scores, expected at least one")
    checks.finite(name, array)
    return np.sort(array.astype(np.float64))


def ood_detection_metrics(in_scores: Any, ood_scores: Any) -> DetectionMetrics:
    """Measures how well scores separate OOD examples from IN ones, on the host.

    Equal scores always share one decision. The operating points:

    - `fpr95_in_pos` accepts what scores at most t, where t is the smallest IN score
      by which at least 95 % of the IN examples are accepted;
    - `fpr95_ood_pos` flags what scores at least t, where t is the OOD score whose
      recall is nearest to 95 %, from either side; of two equally near the one of
      higher recall. (So does the public code on OOD detection, save that of all
      thresholds with this recall, unless it is 1, it takes the lowest, which flags in
      addition the IN examples down to the next OOD score.)

    The two false positive rates are different numbers, and papers say "FPR95" for
    either.

    Args:
      in_scores: (n,) numbers, of the task's own examples.
      ood_scores: (m,) numbers, larger meaning more likely OOD.

    Returns:
      `DetectionMetrics`.

    Raises:
      ValueError: an empty side, a rank other than 1, NaN or infinity.
    """
    inside = _sorted_scores("in_scores", in_scores)
    outside = _sorted_scores("ood_scores", ood_scores)
    n, m = inside.size, outside.size
    thresholds = np.unique(outside)[::-1]
    found = m - np.searchsorted(outside, thresholds, side="left")
    flagged = n - np.searchsorted(inside, thresholds, side="left")
    above = n - np.searchsorted(inside, thresholds, side="right")
    new = np.diff(found, prepend=0)
    auroc = 1 - np.sum(new * (flagged + above)) / (2 * n * m)
    aupr_out = np.sum(new * (found / (found + flagged))) / m
    # In hundredths, since a comparison of rounded shares would break ties at random.
    accept = inside[-(-95 * n // 100) - 1]
    accepted = np.searchsorted(outside, accept, side="right")
    gaps = np.abs(100 * found - 95 * m)
    nearest = np.flatnonzero(gaps == gaps.min())[-1]
    return DetectionMetrics(
        auroc=float(auroc),
        aupr_out=float(aupr_out),
        fpr95_in_pos=float(accepted / m),
        fpr95_ood_pos=float(flagged[nearest] / n),
    )
