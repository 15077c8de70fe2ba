"""What `robustjax.scores` should give, in plain NumPy and one row after the other."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from robustjax import scores


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


def entropy(logits):
    p = softmax(logits)
    return -np.where(p == 0, 0, p * np.log(np.where(p == 0, 1, p))).sum(axis=-1)


def loss(logits, labels):
    left = logits - logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(left).sum(axis=-1)) - left[np.arange(len(left)), labels]


def cross_class(features, labels):
    cosine = unit(features) @ unit(features).T
    apart = labels[:, None] != labels[None]
    if not apart.any():
        raise ValueError("one class")
    return cosine[apart].mean()


def correlations(features, class_scores):
    found = np.corrcoef(features.T, class_scores.T)
    return np.abs(found[: features.shape[1], features.shape[1] :]).max(axis=1)


def medians(features, labels):
    found = np.full((max(labels) + 1, features.shape[1]), np.nan)
    for label in set(labels.tolist()):
        found[label] = np.median(features[labels == label], axis=0)
    return found


def thresholds(labels, pred_probs):
    own = pred_probs[np.arange(len(labels)), labels]
    return np.array(
        [own[labels == c].mean() if (labels == c).any() else 2.0 for c in range(3)]
    )


def joint(labels, pred_probs):
    counts = np.zeros((3, 3))
    bars = thresholds(labels, pred_probs) - 1e-6
    for label, p in zip(labels, pred_probs):
        reached = np.flatnonzero(p >= bars)
        if reached.size:
            counts[label, reached[0] if reached.size == 1 else p.argmax()] += 1
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    return counts


def el2n(probabilities, labels):
    return np.linalg.norm(probabilities - np.eye(3)[labels], axis=1)


def forgettability(events, learned):
    return np.where(learned, events, max(events) + 1)


def boxes(maps, threshold):
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


def iou(boxes, targets):
    low, high = np.maximum(boxes, targets)[:, :2], np.minimum(boxes, targets)[:, 2:]
    both = np.maximum(high - low + 1, 0).prod(axis=1)
    areas = [(b[:, 2:] - b[:, :2] + 1).prod(axis=1) for b in (boxes, targets)]
    return both / (areas[0] + areas[1] - both)


def min_max(values):
    finite = values[np.isfinite(values)]
    width = finite.max() - finite.min()
    scaled = (values - finite.min()) / (width if width else 1)
    return np.where(np.isposinf(values), 1, scaled)


def em(values, steps=10, tolerance=1e-2, more=5e-4):
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


MIXTURE = scores.TwoGaussians(*(jnp.asarray(x) for x in ([0.4, 0.6], [-1, 1], [1, 2])))


def posterior(values):
    joint = [
        np.log(w) - (np.log(v) + (values - m) ** 2 / v) / 2
        for w, m, v in ((0.4, -1.0, 1.0), (0.6, 1.0, 2.0))
    ]
    # The wider one wins at infinity.
    odds = np.where(np.isinf(values), np.inf, joint[1] - joint[0])
    return 1 / (1 + np.exp(odds))


def auroc(in_scores, ood_scores):
    if len(in_scores) == 0:
        raise ValueError("none")
    higher = ood_scores[:, None] > in_scores[None]
    return (higher + (ood_scores[:, None] == in_scores[None]) / 2).mean()


def nearest(features, references):
    if len(features) == 0:
        raise ValueError("none")
    return np.linalg.norm(features[:, None] - references[None], axis=-1).min(axis=1)


def map_range(maps):
    low = maps.min(axis=(1, 2), keepdims=True)
    width = maps.max(axis=(1, 2), keepdims=True) - low
    usable = np.isfinite(width) & (width > 0)
    return np.where(usable, (maps - low) / np.where(usable, width, 1), 0)


def gradient_norms(examples):
    weights = jnp.ones(4)
    return scores.grand(lambda w, x: jnp.dot(w, x), weights, examples)


def bias_swap(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far being right is from the confidence."""
    right = probabilities.argmax(axis=1) == labels
    return np.abs(right - probabilities.max(axis=1))
