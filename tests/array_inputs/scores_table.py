"""Plain variants of `robustjax.scores`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from robustjax import scores

from .variants import Row

_RNG = np.random.default_rng(1)


def _exact(*shape: int) -> np.ndarray:
    """Numbers that float16 holds exactly."""
    return _RNG.integers(-64, 64, shape) / 16.0


# Rows of a probability table that float16 holds exactly, without ties.
_ROWS = np.array([[8, 5, 3], [2, 9, 5], [4, 1, 11], [10, 4, 2], [3, 7, 6], [1, 5, 10]])
PROBABILITIES = np.concatenate([_ROWS, _ROWS[:, ::-1]]) / 16.0
LABELS = np.array([0, 1, 2, 0, 1, 2, 2, 1, 0, 1, 1, 2])
LOGITS, FEATURES, VALUES = _exact(12, 3), _exact(12, 4), _exact(12)
CORRECT = _RNG.random((5, 12)) < 0.5
_MAPS, _KERNEL = _exact(12, 3, 3, 2), _exact(2, 3)
_UNIT_MAPS = np.zeros((12, 4, 4))
for _i in range(12):
    _UNIT_MAPS[_i, 1 : 2 + _i % 3, _i % 2 : 3] = (8 + _i % 4) / 16
    _UNIT_MAPS[_i, 2, 3] = 0.25
_BOXES = np.stack([_RNG.integers(0, 8, (12, 4)) for _ in range(2)]).astype(float)
_BOXES[..., 2:] += _BOXES[..., :2]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities."""
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def log_sum(logits: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials."""
    top = logits.max(axis=-1)
    found = top + np.log(np.exp(logits - top[..., None]).sum(axis=-1))
    return np.where(np.isposinf(top), top, found)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _entropy(logits):
    p = softmax(logits)
    return -np.where(p == 0, 0, p * np.log(np.where(p == 0, 1, p))).sum(axis=-1)


def _loss(logits, labels):
    left = logits - logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(left).sum(axis=-1)) - left[np.arange(len(left)), labels]


def _cross_class(features, labels):
    cosine = unit(features) @ unit(features).T
    apart = labels[:, None] != labels[None]
    if not apart.any():
        raise ValueError("one class")
    return cosine[apart].mean()


def _medians(features, labels):
    found = np.full((max(labels) + 1, features.shape[1]), np.nan)
    for label in set(labels.tolist()):
        found[label] = np.median(features[labels == label], axis=0)
    return found


def _thresholds(labels, pred_probs):
    own = pred_probs[np.arange(len(labels)), labels]
    return np.array(
        [own[labels == c].mean() if (labels == c).any() else 2.0 for c in range(3)]
    )


def _joint(labels, pred_probs):
    counts = np.zeros((3, 3))
    bars = _thresholds(labels, pred_probs) - 1e-6
    for label, p in zip(labels, pred_probs):
        reached = np.flatnonzero(p >= bars)
        if reached.size:
            counts[label, reached[0] if reached.size == 1 else p.argmax()] += 1
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    return counts


def _el2n(probabilities, labels):
    return np.linalg.norm(probabilities - np.eye(3)[labels], axis=1)


def _bias_swap(probabilities, labels):
    right = probabilities.argmax(axis=1) == labels
    return np.abs(right - probabilities.max(axis=1))


def _forgettability(events, learned):
    return np.where(learned, events, max(events) + 1)


def _boxes(maps, threshold):
    found = np.zeros((len(maps), 4))
    levels = np.floor(maps * 255)
    for row, one in enumerate(levels):
        inside = one > np.floor(threshold * one.max())
        if inside.any():
            (y1, x1), (y2, x2) = (
                f(np.argwhere(inside), axis=0) for f in (np.min, np.max)
            )
            found[row] = x1, y1, x2, y2
    return found


def _iou(boxes, targets):
    low, high = np.maximum(boxes, targets)[:, :2], np.minimum(boxes, targets)[:, 2:]
    both = np.maximum(high - low + 1, 0).prod(axis=1)
    areas = [(b[:, 2:] - b[:, :2] + 1).prod(axis=1) for b in (boxes, targets)]
    return both / (areas[0] + areas[1] - both)


def _min_max(values):
    finite = values[np.isfinite(values)]
    width = finite.max() - finite.min()
    scaled = (values - finite.min()) / (width if width else 1)
    return np.where(np.isposinf(values), 1, scaled)


def _em(values, steps=10, tolerance=1e-2, more=5e-4):
    """Two Gaussians by expectation maximisation, from the extreme values."""
    values = values[np.isfinite(values)]
    centres, before = np.array([values.min(), values.max()]), None
    while before is None or (centres != before).any():
        before, high = centres, values > centres.mean()
        centres = np.array(
            [
                values[part].mean() if part.any() else centre
                for part, centre in zip((~high, high), centres)
            ]
        )
    share, means, bound = np.stack([~high, high]).astype(float), centres, -np.inf
    for step in range(steps + 1):
        mass = share.sum(axis=1) + 1e-15
        means = means + (share * (values - means[:, None])).sum(axis=1) / mass
        squares = (values - means[:, None]) ** 2
        variances = (share * squares).sum(axis=1) / mass + more
        weights = mass / mass.sum()
        joint = (
            np.log(weights)[:, None]
            - (np.log(2 * np.pi * variances)[:, None] + squares / variances[:, None])
            / 2
        )
        likelihood = log_sum(joint.T)
        share = np.exp(joint - likelihood)
        if step == steps or abs(likelihood.mean() - bound) < tolerance:
            break
        bound = likelihood.mean()
    return weights, means, variances


_MIXTURE = scores.TwoGaussians(*(jnp.asarray(x) for x in ([0.4, 0.6], [-1, 1], [1, 2])))


def _posterior(values):
    joint = [
        np.log(w) - (np.log(v) + (values - m) ** 2 / v) / 2
        for w, m, v in ((0.4, -1.0, 1.0), (0.6, 1.0, 2.0))
    ]
    # The wider one wins at infinity.
    odds = np.where(np.isinf(values), np.inf, joint[1] - joint[0])
    return 1 / (1 + np.exp(odds))


def _auroc(in_scores, ood_scores):
    if len(in_scores) == 0:
        raise ValueError("none")
    higher = ood_scores[:, None] > in_scores[None]
    return (higher + (ood_scores[:, None] == in_scores[None]) / 2).mean()


def _nearest(features, references):
    if len(features) == 0:
        raise ValueError("none")
    return np.linalg.norm(features[:, None] - references[None], axis=-1).min(axis=1)


def _map_range(maps):
    low = maps.min(axis=(1, 2), keepdims=True)
    width = maps.max(axis=(1, 2), keepdims=True) - low
    usable = np.isfinite(width) & (width > 0)
    return np.where(usable, (maps - low) / np.where(usable, width, 1), 0)


def _gradient_norms(examples):
    weights = jnp.ones(4)
    return scores.grand(lambda w, x: jnp.dot(w, x), weights, examples)


_BAD = ("nan", "inf")
_NONE = ("empty",)
_LABELED = {"labels": LABELS}

TABLE = {
    "cross_class_cosine": Row(
        lambda features, labels: scores.cross_class_cosine(features, labels),
        _cross_class,
        {"features": FEATURES},
        _LABELED,
        must_refuse=("one_row", "empty"),
        atol=1e-5,
    ),
    "mean_activation_norm": Row(
        lambda features: scores.mean_activation_norm(features),
        lambda features: np.linalg.norm(features, axis=1).mean(),
        {"features": FEATURES},
        must_refuse=_NONE,
    ),
    "class_medians": Row(
        lambda features, labels: scores.class_medians(features, labels),
        _medians,
        {"features": FEATURES},
        _LABELED,
        must_refuse=(*_BAD, *_NONE),
    ),
    "median_distances": Row(
        lambda features, labels: scores.median_distances(features, labels),
        lambda features, labels: np.linalg.norm(
            features - _medians(features, labels)[labels], axis=1
        ),
        {"features": FEATURES},
        _LABELED,
        must_refuse=(*_BAD, *_NONE),
    ),
    "class_thresholds": Row(
        lambda labels, pred_probs: scores.class_thresholds(labels, pred_probs),
        _thresholds,
        {"pred_probs": PROBABILITIES},
        _LABELED,
        must_refuse=("offset", "up", "down", *_BAD, *_NONE),
    ),
    "confident_joint": Row(
        lambda labels, pred_probs: scores.confident_joint(
            labels, pred_probs, calibrate=False
        ),
        _joint,
        {"pred_probs": PROBABILITIES},
        _LABELED,
        must_refuse=("offset", "up", "down", *_BAD, *_NONE),
    ),
    "calibrate_joint": Row(
        lambda counts: scores.calibrate_joint(counts, np.repeat([0, 1, 2], 8)),
        lambda counts: 8 * counts / counts.sum(axis=1, keepdims=True),
        {"counts": np.array([[2.0, 1, 1], [0, 4, 0], [1, 1, 2]])},
        must_refuse=(*_BAD, "one_row", "empty"),
        aligned=("counts",),
        atol=0.3,  # Whole numbers.
        names=("confident_joint",),
    ),
    "estimate_joint": Row(
        lambda labels, pred_probs: scores.estimate_joint(labels, pred_probs).sum(1),
        lambda labels, pred_probs: np.bincount(labels, minlength=3) / len(labels),
        {"pred_probs": PROBABILITIES},
        _LABELED,
        must_refuse=("offset", "up", "down", *_BAD, *_NONE),
    ),
    "find_label_issues": Row(
        lambda labels, pred_probs: scores.find_label_issues(
            labels, pred_probs, filter_by="predicted_neq_given"
        ),
        lambda labels, pred_probs: pred_probs.argmax(axis=1) != labels,
        {"pred_probs": PROBABILITIES},
        _LABELED,
        must_refuse=("offset", "up", "down", *_BAD, *_NONE),
    ),
    "label_quality_scores": Row(
        lambda labels, pred_probs: scores.label_quality_scores(labels, pred_probs),
        lambda labels, pred_probs: pred_probs[np.arange(len(labels)), labels],
        {"pred_probs": PROBABILITIES},
        _LABELED,
        must_refuse=("offset", "up", "down", *_BAD, *_NONE),
    ),
    "check_probabilities": Row(
        lambda pred_probs: scores.check_probabilities(pred_probs),
        lambda pred_probs: pred_probs,
        {"pred_probs": PROBABILITIES},
        must_refuse=("offset", "up", "down", *_BAD),
    ),
    "forgetting_events": Row(
        lambda correct: scores.forgetting_events(correct),
        lambda correct: (
            (correct[:-1] & ~correct[1:]).sum(axis=0),
            correct.any(axis=0),
        ),
        {},
        {"correct": CORRECT},
        must_refuse=_NONE,
    ),
    "forgettability": Row(
        lambda events, learned: scores.forgettability(events, learned),
        _forgettability,
        {"events": np.arange(12.0)},
        {"learned": CORRECT[0]},
        must_refuse=(*_BAD, *_NONE),
    ),
    "el2n": Row(
        lambda probabilities, labels: scores.el2n(probabilities, labels),
        _el2n,
        {"probabilities": PROBABILITIES},
        _LABELED,
    ),
    "last_layer_grand": Row(
        lambda features, probabilities, labels: scores.last_layer_grand(
            features, probabilities, labels
        ),
        lambda features, probabilities, labels: (
            _el2n(probabilities, labels) * np.sqrt(1 + (features**2).sum(axis=1))
        ),
        {"features": FEATURES},
        {"probabilities": PROBABILITIES, "labels": LABELS},
    ),
    "bias_swap_score": Row(
        lambda probabilities, labels: scores.bias_swap_score(probabilities, labels),
        _bias_swap,
        {"probabilities": PROBABILITIES},
        _LABELED,
    ),
    "conflict_threshold": Row(
        lambda scores_, labels: scores.conflict_threshold(scores_, labels),
        lambda scores_, labels: np.full(len(labels), scores_.mean()),
        {"scores_": VALUES},
        _LABELED,
        must_refuse=(*_BAD, *_NONE),
        names=("scores",),
    ),
    "bias_conflict_scores": Row(
        lambda labels, probabilities: scores.bias_conflict_scores(
            labels, probabilities
        )[::2][:2],
        lambda labels, probabilities: (
            _bias_swap(probabilities, labels),
            _el2n(probabilities, labels),
        ),
        {"probabilities": PROBABILITIES},
        _LABELED,
        must_refuse=("offset", "up", "down", *_BAD, *_NONE),
    ),
    "split_quality": Row(
        lambda conflicting, truth: scores.split_quality(conflicting, truth).recall,
        lambda conflicting, truth: conflicting[truth].mean(),
        {},
        {"conflicting": CORRECT[0], "truth": CORRECT[1]},
        must_refuse=("one_row", *_NONE),
    ),
    "grand": Row(
        _gradient_norms,
        lambda examples: np.linalg.norm(examples, axis=1),
        {"examples": FEATURES},
        refuses=("list",),  # It is a tree of numbers.
        must_refuse=_NONE,
    ),
    "label_loss": Row(
        lambda logits, labels: scores.label_loss(logits, labels),
        _loss,
        {"logits": LOGITS},
        _LABELED,
    ),
    "loss_plus_entropy": Row(
        lambda logits, labels: scores.loss_plus_entropy(logits, labels),
        lambda logits, labels: _loss(logits, labels) + _entropy(logits),
        {"logits": LOGITS},
        _LABELED,
    ),
    "loss_minus_entropy": Row(
        lambda logits, labels: scores.loss_minus_entropy(logits, labels),
        lambda logits, labels: _loss(logits, labels) - _entropy(logits),
        {"logits": LOGITS},
        _LABELED,
        unit=1.0,
    ),
    "activation_map": Row(
        lambda feature_map: scores.activation_map(feature_map),
        lambda feature_map: feature_map.sum(axis=-1),
        {"feature_map": _MAPS},
    ),
    "class_activation_map": Row(
        lambda feature_map, head_kernel, labels: scores.class_activation_map(
            feature_map, head_kernel, labels
        ),
        lambda feature_map, head_kernel, labels: np.einsum(
            "bhwc,bc->bhw", feature_map, head_kernel.T[labels]
        ),
        {"feature_map": _MAPS},
        {"head_kernel": _KERNEL, "labels": LABELS},
        aligned=("feature_map", "labels"),
        must_refuse=_NONE,
    ),
    "resize_map": Row(
        lambda maps: scores.resize_map(maps, (3, 3)),
        lambda maps: maps,
        {"maps": _MAPS[..., 0]},
        must_refuse=_NONE,
    ),
    "normalize_map": Row(
        lambda maps: scores.normalize_map(maps), _map_range, {"maps": _MAPS[..., 0]}
    ),
    "boxes_from_maps": Row(
        lambda maps: scores.boxes_from_maps(maps, [0.3])[0],
        lambda maps: _boxes(maps, 0.3),
        {"maps": _UNIT_MAPS},
        must_refuse=("offset", "up", *_BAD),
    ),
    "gt_known_localization": Row(
        lambda boxes, targets: scores.gt_known_localization(boxes, targets, 0.3),
        lambda boxes, targets: (_iou(boxes, targets) >= 0.3).mean(),
        {"boxes": _BOXES[0], "targets": _BOXES[1]},
        must_refuse=("offset", *_BAD, *_NONE),
    ),
    "max_box_accuracy": Row(
        lambda maps, targets: scores.max_box_accuracy(maps, targets, [0.3]).accuracy,
        lambda maps, targets: (_iou(_boxes(maps, 0.3), targets) >= 0.5).mean(
            keepdims=True
        ),
        {"maps": _UNIT_MAPS},
        {"targets": np.tile([0.0, 1, 2, 2], (12, 1))},
        must_refuse=("offset", "up", *_BAD, *_NONE),
        names=("boxes",),
    ),
    "fit_two_gaussians": Row(
        lambda values: scores.fit_two_gaussians(values, tolerance=1e-4),
        lambda values: _em(values, tolerance=1e-4),
        {"values": np.sort(VALUES) + np.repeat([0.0, 6.0], 6)},
        must_refuse=("offset", "up", *_NONE),
        rtol=2e-3,
        atol=1e-4,
    ),
    "min_max_normalize": Row(
        lambda values: scores.min_max_normalize(values),
        _min_max,
        {"values": VALUES},
    ),
    "posterior_of_lower": Row(
        lambda values: scores.posterior_of_lower(values, _MIXTURE),
        _posterior,
        {"values": VALUES},
        must_refuse=("offset",),
    ),
    "energy_uncertainty": Row(
        lambda logits: scores.energy_uncertainty(logits, temperature=0.5),
        lambda logits: -log_sum(logits * 2) / 2,
        {"logits": LOGITS},
    ),
    "max_softmax_uncertainty": Row(
        lambda logits: scores.max_softmax_uncertainty(logits),
        lambda logits: -softmax(logits).max(axis=-1),
        {"logits": LOGITS},
    ),
    "ood_detection_metrics": Row(
        lambda in_scores, ood_scores: (
            scores.ood_detection_metrics(in_scores, ood_scores).auroc
        ),
        _auroc,
        {"in_scores": VALUES, "ood_scores": VALUES[::-1] + 1},
        must_refuse=(*_BAD, *_NONE),
    ),
    "energy_purity": Row(
        lambda logits: scores.energy_purity(logits), log_sum, {"logits": LOGITS}
    ),
    "max_softmax_purity": Row(
        lambda logits: scores.max_softmax_purity(logits),
        lambda logits: softmax(logits).max(axis=-1),
        {"logits": LOGITS},
    ),
    "nearest_in_cosine": Row(
        lambda features, references: scores.nearest_in_cosine(features, references),
        lambda features, references: (unit(features) @ unit(references).T).max(axis=1),
        {"features": FEATURES},
        {"references": FEATURES[:5] + 0.5},
        aligned=("features",),
        must_refuse=(*_BAD, *_NONE),
    ),
    "nearest_ood_distance": Row(
        lambda features, references: scores.nearest_ood_distance(features, references),
        _nearest,
        {"features": FEATURES, "references": FEATURES[:5] + 0.5},
        must_refuse=(*_BAD, *_NONE),
    ),
    "react_purity": Row(
        lambda features, kernel: scores.react_purity(features, kernel, threshold=2.0),
        lambda features, kernel: log_sum(np.minimum(features, 2) @ kernel),
        {"features": FEATURES},
        {"kernel": _exact(4, 3)},
        aligned=("features",),
    ),
    "react_threshold": Row(
        lambda features: scores.react_threshold(features, percentile=70.0),
        lambda features: np.percentile(features, 70.0),
        {"features": FEATURES},
        must_refuse=(*_BAD, *_NONE),
    ),
    "entropy": Row(lambda logits: scores.entropy(logits), _entropy, {"logits": LOGITS}),
    "least_confidence": Row(
        lambda logits: scores.least_confidence(logits),
        lambda logits: 1 - softmax(logits).max(axis=-1),
        {"logits": LOGITS},
    ),
    "low_max_logit": Row(
        lambda logits: scores.low_max_logit(logits),
        lambda logits: -logits.max(axis=-1),
        {"logits": LOGITS},
    ),
    "margin_uncertainty": Row(
        lambda logits: scores.margin_uncertainty(logits),
        lambda logits: 1 - np.diff(np.sort(softmax(logits), axis=-1)[:, -2:])[:, 0],
        {"logits": LOGITS},
    ),
}

# Functions without arrays of numbers among their arguments.
WITHOUT: dict[str, str] = {}
