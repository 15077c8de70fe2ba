"""Prune4ReL: the subset from which re-labelling can repair most of the rest.

Park, Choi, Kim, Song, Lee, "Robust Data Pruning under Label Noise via Maximizing
Re-labeling Accuracy" (NeurIPS 2023). An example is re-labelled well if its neighbours
in the subset are confident: the reduced neighbourhood confidence of example i is

    NN_i = sum over picked j with s_ij > tau of s_ij C_j,

and the objective (Eq. 5.8 of the thesis) is `sum_i tanh(NN_i / eta)` over all N.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from robustjax import arrays, checks
from robustjax.placement import on_host, per_example
from robustjax.row_source import RowSource
from robustjax.selection import _ahead as ahead
from robustjax.selection import _coverage as coverage
from robustjax.selection._class_layout import class_layout, one_class
from robustjax.selection._class_turns import BALANCES, class_turns
from robustjax.selection._cosine_kernel import SIMILARITIES
from robustjax.selection._greedy import (
    Progress,
    Selection,
    check_budget,
    check_rows,
    selection,
)
from robustjax.selection._own_gain import OwnGain, own_examples, own_shared
from robustjax.selection._projection_bound import WIDTH
from robustjax.sharded_rows import ShardedRows, placed

OBJECTIVES = ("own", "coverage")
RANKINGS = ("stable", "float32")
"""Values of `ranking` in `prune4rel`."""

# Of the largest confidence over the temperature. Logarithms of gains are rounded as
# numbers of this size are; below, gains vanish, and all would be equal.
_LEAST, _MOST = 1e-30, 1e4


class Estimate(NamedTuple):
    """What a selection will need.

    Attributes:
      seconds: extrapolated from the first picks, compilation left out.
      bytes: of the largest arrays that are alive together, the float32 features
        included.
    """

    seconds: float
    bytes: int


def _check(
    features: Any,
    confidence: Any,
    budget: int,
    *,
    threshold: float,
    temperature: float,
    objective: str,
    labels: Any,
    balance: str,
    similarity: str,
    ranking: str,
) -> np.ndarray:
    """Raises `ValueError` for what cannot be; returns classes, all 0 without labels."""
    checks.one_of("objective", objective, OBJECTIVES)
    checks.one_of("similarity", similarity, SIMILARITIES)
    checks.one_of("ranking", ranking, RANKINGS)
    checks.one_of("balance", balance, BALANCES)
    check_rows("features", features, nonzero=True)
    confidence = arrays.numbers("confidence", confidence, 1)
    size = checks.same_length(features=features, confidence=confidence)
    checks.finite("confidence", confidence)
    arrays.check_resolved("confidence", confidence)
    check_budget(budget, size)
    low = float(np.min(confidence))
    if low < 0:
        raise ValueError(
            f"confidence: got {low:g} at row {int(np.argmin(confidence))}, expected "
            "non-negative numbers"
        )
    checks.in_range("threshold", threshold, 0, 1)
    checks.in_range("temperature", temperature, 0, np.inf, low_open=True)
    largest = float(np.max(confidence))
    if largest and not _LEAST <= largest / temperature <= _MOST:
        raise ValueError(
            f"temperature: got {temperature:g} for confidences up to {largest:.3g}, "
            f"expected a quotient of the two in [{_LEAST:g}, {_MOST:g}], of which "
            "float32 tells gains apart"
        )
    if labels is None:
        if balance != "even":
            raise ValueError(
                f"labels: got None, expected labels for balance={balance!r}"
            )
        return np.zeros(size, np.int32)
    checks.same_length(features=features, labels=labels)
    return checks.labels("labels", labels)


def _ranks(size: int, key: jax.Array | None) -> np.ndarray | None:
    return None if key is None else np.asarray(jax.random.permutation(key, size))


def prune4rel(
    features: Any,
    confidence: Any,
    budget: int,
    *,
    threshold: float = 0.975,
    temperature: float = 1.0,
    objective: str = "own",
    labels: Any = None,
    balance: str = "even",
    similarity: str = "shifted",
    ranking: str = "stable",
    key: jax.Array | None = None,
    candidates: int = ahead.CANDIDATES,
    max_bytes: int = 4 * 2**30,
    mesh: Mesh | None = None,
    on_progress: Progress | None = None,
) -> Selection:
    """Greedy selection of confident neighbours for as many examples as possible.

    Two objectives:
      * "own": as printed (Alg. 3 and 4) and as in the published code. A candidate's
        gain is that of its own term alone, `tanh((NN + C) / eta) - tanh(NN / eta)`;
        then NN of all examples takes in the pick. This is not greedy on Eq. 5.8, and
        the (1 - 1/e) guarantee does not hold for it.
      * "coverage": the gain in the sum over all N terms, for which it does. It needs
        the thresholded similarities as a sparse matrix, see `max_bytes`.

    Published settings: threshold 0.975 (CIFAR-10N), 0.95 (CIFAR-100N, WebVision,
    ImageNet-N), 0.8 (Clothing1M) **of the shifted similarity**: cosines above 0.95,
    0.9 and 0.6. A threshold of 1 leaves no neighbours, and the most confident examples
    are picked. The temperature is in no text: 1 in most scripts, 100 by default in the
    code, which makes tanh linear and the selection nearly one by confidence. The
    published code rounds features and confidence to float16 before; pass them so to
    have the same.

    Exact ties, frequent with rounded confidences, go to the lowest index, or to a
    random order drawn by `key`; rows that are equal have a similarity of exactly 1.
    Similarities are float32: a pair whose similarity is within rounding of the
    threshold may fall on either side.

    Args:
      features: (N, d) finite floats, no row zero; for "own" also rows of a file
        (`data.open_rows`), which stay there and are read three times at first, and then
        once for every round of up to `candidates / 4` picks; with a mesh each device
        holds its part of them. Of a JAX array that devices hold in parts of rows these
        stay there; where several processes have them, all call.
      confidence: (N,) non-negative floats, C: the largest probability of the warm-up
        classifier (MaxProb) or the difference of the two largest (DiffProb).
      budget: 1 … N.
      threshold: tau in [0, 1]; neighbours have a similarity strictly above it.
      temperature: eta > 0, within a factor of 1e4 below the largest confidence and of
        1e30 above it.
      objective: "own" or "coverage".
      labels: (N,) given labels for a class-balanced selection: picks come from one
        class after the other; by default from all.
      balance: what happens when a class has no example left. "even": its turns are
        skipped, so that the other classes share what it cannot give equally.
        "authors": the rule of the published code, which shifts the turns and ends
        the balance early, see `class_turns.authors_turns`.
      similarity: "shifted", (1 + cos) / 2, as in the published code, or "cosine".
      ranking: of "own". "stable" compares logarithms of exact gains. "float32"
        compares differences of float32 tanh as the published code does; they are all
        zero, and the picks in order of index, where neighbourhoods are dense. It is
        slower there, too. Of no influence on "coverage", whose gains are exact.
      key: for ties.
      candidates: looked at together; of influence on time and memory only.
      max_bytes: the largest sparse matrix for "coverage".
      mesh: devices among which the examples are divided, one axis of kind Auto; by
        default those that hold them, or one that has all. Each gets its own part from
        the host. For "coverage" they find the similarities, of which one device then
        picks.
      on_progress: called now and then with the picks made and the budget.

    Returns:
      `Selection`: gains in units of the chosen objective (float32; tiny ones may be
      zero), and the value of Eq. 5.8 over all N, of either.

    Raises:
      ValueError: a wrong rank, different lengths, NaN, a zero row of features, a
        negative confidence, a number outside its range, an unknown name, labels that
        are no class indices, the authors' balance without any, neighbourhoods too dense
        for `max_bytes`, a mesh of other axes, or of other devices than hold the rows,
        or features that processes divide otherwise than by rows.

    Example:
      >>> import numpy as np
      >>> from robustjax import selection
      >>> features = np.random.default_rng(0).normal(size=(50, 8))
      >>> confidence = np.linspace(0.2, 0.9, 50)
      >>> kept = selection.prune4rel(features, confidence, 10, threshold=0.6)
      >>> len(set(kept.indices.tolist()))
      10
    """
    place, features = placed("features", features, mesh)
    confidence, labels = per_example(confidence), per_example(labels)
    classes = _check(
        features,
        confidence,
        budget,
        threshold=threshold,
        temperature=temperature,
        objective=objective,
        labels=labels,
        balance=balance,
        similarity=similarity,
        ranking=ranking,
    )
    checks.at_least("candidates", candidates, 2)
    ranks = _ranks(len(classes), key)
    plain = one_class(place.padded(len(classes)))
    turns = class_turns(classes, budget, balance)
    confidence = arrays.cast("confidence", arrays.numbers("confidence", confidence))
    # After the balanced turns, if there are fewer than picks, any class will do.
    free = plain if ranks is None else class_layout(np.zeros_like(classes), ranks)
    layout = free if labels is None else class_layout(classes, ranks)
    phases = [(layout, turns, len(turns))]
    if len(turns) < budget:
        phases.append((free, np.zeros(budget, np.int32), budget))
    if objective == "coverage":
        if isinstance(features, RowSource) and not isinstance(features, ShardedRows):
            raise ValueError(
                "features: got rows of a file with objective='coverage', expected an "
                "array; objective='own' reads them block by block"
            )
        kernel = coverage.threshold_kernel(
            place, features, threshold, similarity=similarity, max_bytes=max_bytes
        )
        return coverage.greedy(
            kernel, jnp.asarray(confidence), budget, temperature, phases, on_progress
        )

    rule = OwnGain(similarity, ranking)
    shared = own_shared(threshold, temperature, similarity)
    examples = own_examples(
        place, features, confidence, temperature, float(shared["cosine"])
    )
    size = len(classes)
    state = ahead.start(place, np.zeros(size, np.float32), np.zeros(size, bool), budget)
    for part, part_turns, end in phases:
        state = examples.advance(
            rule,
            shared,
            part,
            part_turns,
            state,
            end,
            candidates=candidates,
            on_progress=on_progress,
        )
    gains = on_host(state.scores)
    if ranking == "stable":
        gains = np.exp(gains)
    level = on_host(state.level).astype(np.float64)[:size]
    value = float(np.tanh(level / temperature).sum())
    return selection(on_host(state.picks), gains, value, size)


def prune4rel_bytes(
    examples: int, dimensions: int, *, candidates: int = ahead.CANDIDATES
) -> int:
    """Bytes that `objective="own"` holds at its peak, the float32 features included.

    The similarities of the picks of one round with all examples are what grows beside
    the features; a dozen numbers per example come on top, and the candidates.

    Args:
      examples: N.
      dimensions: d.
      candidates: as for `prune4rel`.
    """
    picks = max(1, candidates // ahead.PICKS_SHARE)
    numbers = examples * (dimensions + WIDTH + 2 * picks + 16)
    numbers += candidates * (candidates + 2 * dimensions)
    return 4 * numbers


def prune4rel_estimate(
    features: Any,
    confidence: Any,
    budget: int,
    *,
    threshold: float = 0.975,
    temperature: float = 1.0,
    similarity: str = "shifted",
    candidates: int = ahead.CANDIDATES,
) -> Estimate:
    """Time and memory of `prune4rel` with `objective="own"` and no classes.

    The first few hundred picks are made and timed. Later picks may take somewhat more
    or less: denser neighbourhoods mean fewer picks per matrix product.

    Args:
      features: as for `prune4rel`, also for the rest.
      confidence: (N,) floats.
      budget: 1 … N.
      threshold: tau.
      temperature: eta.
      similarity: "shifted" or "cosine".
      candidates: looked at together.

    Raises:
      ValueError: see `prune4rel`.
    """
    place, features = placed("features", features, None)
    confidence = per_example(confidence)
    classes = _check(
        features,
        confidence,
        budget,
        threshold=threshold,
        temperature=temperature,
        objective="own",
        labels=None,
        balance="even",
        similarity=similarity,
        ranking="stable",
    )
    size, dimensions = np.shape(features)
    layout = one_class(len(classes))
    shared = own_shared(threshold, temperature, similarity)
    examples = own_examples(
        place,
        features,
        arrays.cast("confidence", arrays.numbers("confidence", confidence)),
        temperature,
        float(shared["cosine"]),
    )
    state = ahead.start(place, np.zeros(size, np.float32), np.zeros(size, bool), budget)

    def go(state: ahead.State, stop: int) -> ahead.State:
        return examples.advance(
            OwnGain(similarity, "stable"),
            shared,
            layout,
            np.zeros(budget, np.int32),
            state,
            budget,
            stop=min(stop, budget),
            candidates=candidates,
            on_progress=None,
        )

    # The first call compiles.
    state = go(state, 1)
    before, begin = int(state.made), time.perf_counter()
    state = jax.block_until_ready(go(state, before + candidates))
    made, elapsed = int(state.made) - before, time.perf_counter() - begin
    seconds = elapsed / made * budget if made else 0.0
    memory = prune4rel_bytes(size, dimensions, candidates=candidates)
    return Estimate(seconds, memory)
