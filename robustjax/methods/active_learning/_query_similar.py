"""SIMILAR as query strategies: near labelled IN examples, away from OOD ones.

Kothawade, Beck, Killamsetty, Iyer, "SIMILAR: Submodular Information Measures Based
Active Learning in Realistic Scenarios" (NeurIPS 2021), in the use for pools with OOD
examples: U the unlabelled pool, Q the labelled IN and P the labelled OOD examples.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._open_set_round import Query, RoundView
from robustjax.methods.active_learning._query_common import (
    Memoryless,
    open_rows,
    repeated,
    shuffled,
)
from robustjax.selection._cosine_kernel import SIMILARITIES
from robustjax.selection._facility_location import (
    facility_location_cg,
    facility_location_cmi,
)
from robustjax.selection._log_det import log_det_cmi

FUNCTIONS = ("flcmi", "flcg")
"""Names for `SimilarCoverage.function`."""


def gradient_factors(view: RoundView) -> tuple[jax.Array, jax.Array]:
    """Factors r and h of the last layer's gradients, up to the length of r.

    The gradient of the cross-entropy with respect to kernel and bias is the outer
    product of `r = softmax - onehot(y)` and `h = [1, features]`, where y is the
    answer, k for OOD, or the prediction for examples that are not labelled. Cosines do
    not depend on the length of r, and its direction does not depend on the logit of y:
    so no confidence, however high, makes it vanish.

    Args:
      view: of the round, with k + 1 logits.

    Returns:
      (N, k + 1) and (N, d + 1) float32; no row is zero.

    Raises:
      ValueError: another number of logits.
    """
    logits, features = view.observation.logits, view.observation.features
    width = view.num_classes + 1
    if np.ndim(logits) != 2 or np.shape(logits)[1] != width:
        raise ValueError(
            f"logits: got shape {np.shape(logits)}, expected (N, {width}), of a "
            "classifier with an output for OOD examples"
        )
    return _gradient_factors(logits, features, view.labels)


@jax.jit
def _gradient_factors(
    logits: jax.Array, features: jax.Array, labels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    logits = jnp.asarray(logits, jnp.float32)
    target = jnp.where(labels >= 0, labels, jnp.argmax(logits, axis=1))
    hot = jax.nn.one_hot(target, logits.shape[1], dtype=bool)
    others = jnp.where(hot, -jnp.inf, logits)
    # Relative to the largest of the others, which becomes 1.
    share = jnp.exp(others - jnp.max(others, axis=1, keepdims=True))
    r = jnp.where(hot, -jnp.sum(share, axis=1, keepdims=True), share)
    return r, jnp.pad(features.astype(jnp.float32), ((0, 0), (1, 0)), constant_values=1)


def outer_rows(
    r: np.ndarray, h: np.ndarray, *, max_width: int, key: jax.Array
) -> np.ndarray:
    """Rows `r (x) h`, or random projections of them where they would be too wide.

    A projection onto `max_width` numbers takes products of a random projection of r
    and one of h; its inner products are those of the outer products in expectation,
    and cosines are off by some `2 / sqrt(max_width)`.

    Args:
      r: (M, C) floats.
      h: (M, D) floats.
      max_width: of the result, >= 1.
      key: of the projections.

    Returns:
      (M, min(C D, max_width)) float32.
    """
    width = r.shape[1] * h.shape[1]
    if width <= max_width:
        return (r[:, :, None] * h[:, None, :]).reshape(-1, width)
    keys = jax.random.split(key)
    one, other = (
        np.asarray(jax.random.normal(k, (part.shape[1], max_width)))
        for k, part in zip(keys, (r, h))
    )
    return (r @ one) * (h @ other)


def _candidates(view: RoundView, count: int, pool_limit: int | None) -> np.ndarray:
    """The unlabelled rows, or a random subset of them, in random order."""
    rows = shuffled(view, open_rows(view, count))
    return rows if pool_limit is None else rows[: max(count, pool_limit)]


def _check_limit(pool_limit: int | None) -> None:
    if pool_limit is not None:
        checks.at_least("pool_limit", pool_limit, 1)


@dataclasses.dataclass(frozen=True)
class SimilarCoverage(Memoryless):
    """Asks for what covers the pool, is like labelled IN and unlike OOD examples.

    Greedy maximisation of FLCMI or FLCG (see `selection.facility_location_cmi`) over
    cosines of last-layer gradients, whose outer products are never formed. With no OOD
    example labelled, nothing is to be avoided (p = 0). With no IN example labelled,
    FLCMI is 0 whatever is asked for, and FLCG takes its place. Of equal gains a random
    one is taken. FLCMI saturates: once the pool is covered as well as Q covers it, all
    further gains are 0 and the rest of the query is random.

    Published settings: eta = nu = 1; similarity (1 + cos) / 2 in the authors' later
    code and the cosine in their earlier one.

    Attributes:
      function: "flcmi", the conditional mutual information, or "flcg", the
        conditional gain, in which Q plays no part.
      name: for reports.
      eta: how far likeness to Q counts, >= 0.
      nu: how strictly likeness to P is avoided, >= 0.
      similarity: "shifted", (1 + cos) / 2, or "cosine".
      pool_limit: at most this many of the unlabelled examples, drawn at random, are
        looked at, or `count` if that is more; None for all. The comparison of MQNet
        has 50,000. Time grows with the square.

    Raises:
      ValueError: an unknown name or a number outside its range.
    """

    function: str = "flcmi"
    name: str = "similar_flcmi"
    eta: float = 1.0
    nu: float = 1.0
    similarity: str = "shifted"
    pool_limit: int | None = None

    def __post_init__(self) -> None:
        """Checks the arguments early."""
        checks.one_of("function", self.function, FUNCTIONS)
        checks.one_of("similarity", self.similarity, SIMILARITIES)
        for name in ("eta", "nu"):
            checks.in_range(name, getattr(self, name), 0, np.inf, high_open=True)
        _check_limit(self.pool_limit)

    @property
    def wants(self) -> frozenset[str]:
        """An output for OOD examples."""
        return frozenset({"ood_output"})

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`."""
        del memory
        rows = _candidates(view, count, self.pool_limit)
        factors = gradient_factors(view)

        def part(rows: np.ndarray) -> tuple[jax.Array, ...] | None:
            return tuple(f[rows] for f in factors) if rows.size else None

        # Maxima over Q and P do not mind an example that is there twice.
        known, hidden = (
            part(repeated(some)) if some.size else None
            for some in (view.labeled_in, view.labeled_ood)
        )
        if self.function == "flcg" or known is None:
            picked = facility_location_cg(
                part(rows), hidden, count, nu=self.nu, similarity=self.similarity
            )
        else:
            picked = facility_location_cmi(
                part(rows),
                known,
                hidden,
                count,
                eta=self.eta,
                nu=self.nu,
                similarity=self.similarity,
            )
        return Query(rows[picked.indices])


@dataclasses.dataclass(frozen=True)
class SimilarLogDet(Memoryless):
    """Asks for a diverse set like labelled IN and unlike labelled OOD examples.

    Greedy maximisation of LogDetCMI (see `selection.log_det`), the default of the
    comparison in MQNet's public code, over the cosines (1 + cos) / 2 of last-layer
    gradients. These are formed here, N rows of (k + 1)(d + 1) numbers; wider ones than
    `max_width` are projected at random. With no OOD example labelled, nothing is to be
    avoided. With no IN example labelled, the function is 0 whatever is asked for, and
    FLCG takes its place (`SimilarCoverage`). Of equal gains a random one is taken.

    Attributes:
      name: for reports.
      noise: lambda, what is added to the diagonal, > 0; 1 is published.
      max_width: of the gradients. Memory grows with it, by a square, too.
      pool_limit: see `SimilarCoverage`.

    Raises:
      ValueError: a number outside its range.
    """

    name: str = "similar_logdet"
    noise: float = 1.0
    max_width: int = 4_096
    pool_limit: int | None = None

    def __post_init__(self) -> None:
        """Checks the arguments early."""
        checks.in_range("noise", self.noise, 0, np.inf, low_open=True, high_open=True)
        checks.at_least("max_width", self.max_width, 1)
        _check_limit(self.pool_limit)

    @property
    def wants(self) -> frozenset[str]:
        """An output for OOD examples."""
        return frozenset({"ood_output"})

    def select(self, view: RoundView, memory: Any, count: int) -> Query:
        """See `QueryStrategy`."""
        if not view.labeled_in.size:
            coverage = SimilarCoverage("flcg", pool_limit=self.pool_limit)
            return coverage.select(view, memory, count)
        rows = _candidates(view, count, self.pool_limit)
        r, h = (np.asarray(factor) for factor in gradient_factors(view))
        key = jax.random.fold_in(view.key, 1)

        def part(rows: np.ndarray) -> np.ndarray | None:
            if not rows.size:
                return None
            return outer_rows(r[rows], h[rows], max_width=self.max_width, key=key)

        picked = log_det_cmi(
            part(rows),
            part(view.labeled_in),
            part(view.labeled_ood),
            count,
            noise=self.noise,
        )
        return Query(rows[picked.indices])
