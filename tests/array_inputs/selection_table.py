"""Plain variants of `robustjax.selection`."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

from robustjax import graph, selection

from . import budget_rows
from .scores_inputs import PROBABILITIES
from .scores_references import softmax
from .set_functions import kernel_of, location, log_det, query_location
from .variants import Row

_RNG = np.random.default_rng(3)
_KEY = jax.random.key(0)
_BUDGET = 4  # As many as there are different rows among the duplicates.


def _exact(*shape: int) -> np.ndarray:
    return _RNG.integers(-64, 64, shape) / 16.0


FEATURES, LOGITS, SCORES = _exact(12, 4), _exact(12, 3), _exact(12)
_QUERY, _PRIVATE = _exact(3, 4), _exact(2, 4)
_CONFIDENCE = _RNG.integers(1, 16, 12) / 16.0
_LABELS = np.array([0, 1, 2, 0, 1, 2, 2, 1, 0, 1, 1, 2])
_NEAREST = np.array([0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1])
_LAPLACIAN = np.eye(12) - (np.roll(np.eye(12), 1, 0) + np.roll(np.eye(12), -1, 0)) / 2
_DIFFUSION = graph.clamped_diffusion(
    sparse.BCOO.fromdense(jnp.asarray(_LAPLACIAN, jnp.float32)),
    step_size=0.5,
    steps=2,
    solver="euler",
)


def _copies(picks, features):
    """Picks as the first row that is equal to each, since copies are as good."""
    features = np.asarray(features)
    _, first, inverse = np.unique(
        features, axis=0, return_index=True, return_inverse=True
    )
    assert len(set(np.asarray(picks).tolist())) == len(picks)
    return first[inverse.reshape(-1)][np.asarray(picks)]


def _farthest_first(features):
    points = features - features[:1]
    level, picks, gains = np.full(len(points), np.inf), [0], []
    for _ in range(_BUDGET - 1):
        level = np.minimum(level, ((points - points[picks[-1]]) ** 2).sum(axis=1))
        picks.append(int(level.argmax()))
        gains.append(np.sqrt(level.max()))
    level = np.minimum(level, ((points - points[picks[-1]]) ** 2).sum(axis=1))
    return _copies(picks, features), np.array(gains), np.sqrt(level.max())


def _k_center(features):
    found = selection.k_center(features, _BUDGET)
    return _copies(found.indices, features), found.gains[1:], found.objective


def _select(features):
    found = selection.select(features, None, None, 4 / 12, "k_center")
    return _copies(found.indices, features), found.gains[1:], found.objective


def _halved(points):
    found = selection.size_constrained_kmeans(
        points, 2, max(1, -(-len(points) // 2)), key=jax.random.key(1)
    )
    return found.inertia, sorted(found.sizes.tolist())


def _best_half(points):
    """The lowest inertia of all divisions into two parts of the same size."""
    size = len(points)
    points = points - points.mean(axis=0)

    def inertia(rows):
        part = points[rows]
        return ((part - part.mean(axis=0)) ** 2).sum()

    lowest = min(
        inertia(list(rows)) + inertia([row for row in range(size) if row not in rows])
        for rows in itertools.combinations(range(size), size // 2)
    )
    return lowest, [size // 2, size // 2]


def _badge(logits, features):
    p = softmax(logits)
    residuals = p - np.eye(3)[logits.argmax(axis=1)]
    embedded = np.einsum("nc,nd->ncd", residuals, features).reshape(len(p), -1)
    uniforms = np.asarray(jax.random.uniform(_KEY, (_BUDGET - 1,)), np.float64)
    nearest, picks, gains = np.full(len(p), np.inf), [], []
    for number in range(_BUDGET):
        if number == 0:
            lengths = np.linalg.norm(embedded, axis=1)
            # Equal lengths may be rounded apart.
            pick = int(np.flatnonzero(lengths >= lengths.max() * (1 - 1e-12))[0])
            gains.append(lengths[pick])
        else:
            flat = not (nearest > 0).any()
            taken = np.isin(np.arange(len(p)), picks)
            weights = np.where(taken, 0.0, 1.0) if flat else nearest
            running = np.cumsum(weights)
            above = (running > uniforms[number - 1] * running[-1]) & (weights > 0)
            pick = int(above.argmax())
            gains.append(np.sqrt(nearest[pick]))
        picks.append(pick)
        nearest = np.minimum(nearest, ((embedded - embedded[pick]) ** 2).sum(axis=1))
        nearest[picks] = 0
    return np.array(picks), np.array(gains)


def _min_max(values):
    low, width = values.min(), values.max() - values.min()
    return (values - low) / (width if width else 1)


def _ccal(semantic, distinctive):
    scaled = np.stack([_min_max(column) for column in distinctive.T], axis=1)
    gate = np.tanh(100 * (_min_max(semantic) - 0.9) / 2)
    values = gate[:, None] + 1 - scaled
    left, picks = np.ones(len(semantic), bool), []
    for number in range(2):
        order = np.argsort(-np.where(left, values[:, number], -np.inf), kind="stable")
        picks.extend(order[:2].tolist())
        left[order[:2]] = False
    return np.array(picks), np.concatenate([values[picks[:2], 0], values[picks[2:], 1]])


def _call_ccal(semantic, distinctive):
    nearest = _NEAREST[: len(semantic)]
    found = selection.ccal(
        semantic,
        selection_distinctive(distinctive, nearest),
        _BUDGET,
        nearest_only=False,
    )
    return found.indices, found.gains


def selection_distinctive(scores, nearest):
    """The scores of `selection.ccal`, in whatever form they come."""
    from robustjax.selection._ccal import Distinctive

    return Distinctive(scores, nearest)


def _strata(hardness):
    return selection.coverage_centric(hardness, 5, _KEY, strata=3, hard_cutoff=0.1)


def _entropies(entropies, candidates, usable):
    e, picks, left = entropies.copy(), [], usable.copy()
    step = np.eye(12) - 0.5 * _LAPLACIAN
    for _ in range(3):
        place = np.where(left, e[candidates], -np.inf).argmax()
        left[place] = False
        picks.append(candidates[place])
        for _ in range(2):
            e[picks[-1]] = 0
            e = step @ e
    return np.array(picks), e


def _near(features):
    kernel = kernel_of(features, features)
    return np.where(kernel > 0.8, kernel, 0)


def _prune4rel(features, confidence):
    near, level = _near(features), np.zeros(len(features))
    taken, gains = np.zeros(len(features), bool), []
    for _ in range(_BUDGET):
        gain = np.tanh(level + confidence) - np.tanh(level)
        pick = int(np.where(taken, -np.inf, gain).argmax())
        taken[pick] = True
        gains.append(gain[pick])
        level = level + near[pick] * confidence[pick]
    return np.array(gains), np.tanh(level).sum()


def _call_prune4rel(features, confidence):
    found = selection.prune4rel(features, confidence, _BUDGET, threshold=0.8)
    _copies(found.indices, np.arange(len(found.indices) + 12)[:, None])
    return found.gains, found.objective


def _gains(found):
    assert len(set(found.indices.tolist())) == len(found.indices)
    return found.gains


def _prototypes(features):
    return selection.prototype_distances(features, 3, _KEY, metric="euclidean")


def _plain_prototypes(features):
    points = features - features[:1]
    size = np.abs(points).max() or 1.0
    return np.asarray(_prototypes(points / size), np.float64) * size


def _ranked(scores, labels):
    order, picks = np.argsort(-scores, kind="stable").tolist(), []
    while len(picks) < _BUDGET:
        for label in sorted(set(labels.tolist())):
            own = [i for i in order if labels[i] == label and i not in picks]
            picks.extend(own[:1])
    return np.array(picks[:_BUDGET])


_BAD = ("nan", "inf", "empty")
_FEW = (*_BAD, "one_row")

TABLE = {
    "size_constrained_kmeans": Row(
        _halved,
        _best_half,
        {"points": FEATURES},
        must_refuse=_FEW,
        names=("clusters",),
        # Moves of single points do not bring three copies over: another local optimum.
        skips=("duplicates",),
        rtol=1e-3,
    ),
    "k_center": Row(
        _k_center, _farthest_first, {"features": FEATURES}, must_refuse=_FEW, atol=2e-3
    ),
    "select": Row(
        _select,
        _farthest_first,
        {"features": FEATURES},
        must_refuse=_FEW,
        names=("fraction",),
        atol=2e-3,
    ),
    "badge": Row(
        lambda logits, features: selection.badge(_KEY, logits, features, _BUDGET)[:2],
        _badge,
        {"logits": LOGITS, "features": FEATURES},
        must_refuse=_FEW,
        atol=2e-3,
    ),
    "ccal": Row(
        _call_ccal,
        _ccal,
        {"semantic": SCORES, "distinctive": _exact(12, 2)},
        names=("distinctive.nearest",),
        must_refuse=_FEW,
        atol=1e-5,
    ),
    "coverage_centric": Row(
        _strata,
        lambda hardness: _strata(_min_max(hardness)),
        {"hardness": SCORES},
        must_refuse=_FEW,
        names=("hard_cutoff",),
    ),
    "propagate_entropy": Row(
        lambda entropies, candidates, usable: selection.propagate_entropy(
            entropies, candidates, usable, _DIFFUSION, num_queries=3
        ),
        _entropies,
        {"entropies": np.abs(SCORES)},
        {"candidates": np.arange(12)[::-1].copy(), "usable": np.arange(12) != 5},
        aligned=("entropies",),
        must_refuse=("offset", *_FEW),
    ),
    "log_det_cmi": Row(
        lambda pool: _gains(selection.log_det_cmi(pool, _QUERY, _PRIVATE, _BUDGET)),
        lambda pool: log_det(pool, _QUERY, _PRIVATE, _BUDGET),
        {"pool": FEATURES},
        must_refuse=_FEW,
        rtol=1e-3,
        atol=1e-3,
    ),
    "facility_location_cmi": Row(
        lambda pool, query: _gains(
            selection.facility_location_cmi(pool, query, _PRIVATE, _BUDGET)
        ),
        lambda pool, query=None: location(pool, _PRIVATE, _BUDGET, query),
        {"pool": FEATURES},
        {"query": _QUERY},
        aligned=("pool",),
        must_refuse=_FEW,
        rtol=1e-3,
        atol=1e-5,
    ),
    "facility_location_qmi": Row(
        lambda pool, query: _gains(
            selection.facility_location_qmi(pool, query, _BUDGET)
        ),
        lambda pool, query: query_location(pool, query, _BUDGET),
        {"pool": FEATURES, "query": _QUERY},
        must_refuse=_FEW,
        rtol=1e-3,
        atol=1e-5,
    ),
    "facility_location_cg": Row(
        lambda pool: _gains(selection.facility_location_cg(pool, _PRIVATE, _BUDGET)),
        lambda pool, query=None: location(pool, _PRIVATE, _BUDGET, query),
        {"pool": FEATURES},
        must_refuse=_FEW,
        rtol=1e-3,
        atol=1e-5,
    ),
    "prune4rel": Row(
        _call_prune4rel,
        _prune4rel,
        {"features": FEATURES},
        {"confidence": _CONFIDENCE},
        must_refuse=_FEW,
        rtol=1e-4,
    ),
    "prune4rel_estimate": Row(
        lambda features, confidence: (
            selection.prune4rel_estimate(features, confidence, _BUDGET).bytes
        ),
        lambda features, confidence: selection.prune4rel_bytes(12, 4),
        {"features": FEATURES},
        {"confidence": _CONFIDENCE},
        must_refuse=_FEW,
    ),
    "neighborhood_confidence": Row(
        lambda features, confidence: selection.neighborhood_confidence(
            features, confidence, threshold=0.8
        ),
        lambda features, confidence: _near(features) @ confidence,
        {"features": FEATURES},
        {"confidence": _CONFIDENCE},
        must_refuse=_BAD,
    ),
    "prototype_distances": Row(
        _prototypes,
        _plain_prototypes,
        {"features": FEATURES},
        must_refuse=_FEW,
        names=("clusters",),
        atol=1e-3,
    ),
    "confidence_of": Row(
        lambda probabilities: selection.confidence_of(probabilities, "diff_prob"),
        lambda probabilities: np.diff(np.sort(probabilities, axis=1)[:, -2:])[:, 0],
        {"probabilities": PROBABILITIES},
        must_refuse=("nan", "inf"),
    ),
    "rank_by_class": Row(
        lambda scores, labels: selection.rank_by_class(
            scores, _BUDGET, labels=labels, balance="even"
        ),
        _ranked,
        {"scores": SCORES},
        {"labels": _LABELS},
        must_refuse=("nan", "empty", "one_row"),
    ),
    "fast_argmax": Row(
        lambda values: selection.fast_argmax(values),
        lambda values: values.argmax(),
        {"values": SCORES},
        must_refuse=("nan", "empty"),
    ),
    "top_available": Row(
        lambda scores, available: selection.top_available(scores, available, 4),
        lambda scores, available: (
            np.lexsort((-scores, ~available))[:4],
            np.ones(4, bool),
        ),
        {"scores": SCORES},
        {"available": np.arange(12) % 3 != 1},
        must_refuse=("nan", "empty", "one_row"),
    ),
    **budget_rows.ROWS,
}

# Functions without arrays of numbers among their arguments.
WITHOUT = {
    "budget_from_fraction": "two numbers",
    "check_features": "is a check itself",
    "check_pruning": "names",
    "check_pruning_option": "an option",
    "even_turns": "counts, and a number",
    "prune4rel_bytes": "two numbers",
}
