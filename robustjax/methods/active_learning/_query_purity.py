"""Purity of a pool in a round: which examples look like the task's own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._open_set_round import RoundView
from robustjax.methods.active_learning._query_common import (
    embedding,
    in_logits,
    repeated,
)
from robustjax.scores._purity import (
    energy_purity,
    max_softmax_purity,
    nearest_in_cosine,
    nearest_ood_distance,
    react_purity,
    react_threshold,
)

PURITIES = ("csi", "features", "msp", "energy", "react", "ood_distance")
"""Names for `purity`."""


def wanted_by(measure: str) -> frozenset[str]:
    """What `purity` of this name needs, see `QueryStrategy.wants`."""
    return frozenset({"projections"} if measure in ("csi", "ood_distance") else ())


def purity(view: RoundView, measure: str) -> np.ndarray | None:
    """Raw scores of all examples of the pool, larger meaning more likely IN.

    A classifier with an output for OOD examples is looked at without it.

    Args:
      view: of the round.
      measure: what to take:
        "csi": the largest cosine to a labelled IN example in "projections", with CSI
          (Tack et al., NeurIPS 2020) behind them the purity of MQNet's public code;
        "features": the same with the classifier's features;
        "msp": the largest class probability;
        "energy": the logsumexp of the logits;
        "react": the same after clipping features at the 90th percentile of those of
          the labelled IN examples; without any of these, "energy";
        "ood_distance": the distance to the nearest labelled OOD example in
          "projections". The paper of MQNet names it as the OOD score, which would
          have the opposite sign, see `scores.nearest_ood_distance`.

    Returns:
      (N,) float32, on the host; None where there is no labelled example to compare
      with.

    Raises:
      ValueError: an unknown measure, or no "projections" where they are needed.
    """
    checks.one_of("purity", measure, PURITIES)
    if measure == "msp":
        return np.asarray(jax.jit(max_softmax_purity)(in_logits(view)))
    if measure == "energy":
        return np.asarray(jax.jit(energy_purity)(in_logits(view)))
    if measure == "react":
        return _react(view)
    compare = nearest_ood_distance if measure == "ood_distance" else nearest_in_cosine
    others = view.labeled_ood if measure == "ood_distance" else view.labeled_in
    if measure == "features":
        points = view.observation.features
    else:
        points = embedding(view, "projections")
    if not others.size:
        return None
    points = jnp.asarray(points)
    return np.asarray(compare(points, points[repeated(others)]))


def _react(view: RoundView) -> np.ndarray:
    features, k = view.observation.features, view.num_classes
    kernel, bias = view.observation.head
    known = np.asarray(features[view.labeled_in])
    threshold = react_threshold(known) if known.size else np.float32(np.inf)
    # Refuses logits that do not fit, as the other measures do.
    in_logits(view)
    return np.asarray(
        jax.jit(react_purity)(features, kernel[:, :k], bias[:k], threshold=threshold)
    )
