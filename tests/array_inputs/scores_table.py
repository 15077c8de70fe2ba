"""Plain variants of `robustjax.scores`."""

from __future__ import annotations

import numpy as np

from robustjax import scores

from . import activation_scores, neighbor_scores
from . import scores_references as plain
from .scores_inputs import (
    BIAS,
    BOXES,
    CELLS,
    CORRECT,
    FEATURES,
    KERNEL,
    LABELS,
    LOGITS,
    MAPS,
    OTHER_KERNEL,
    PREDICTIONS,
    PROBABILITIES,
    UNIT_MAPS,
    VALUES,
)
from .variants import Row

_BAD = ("nan", "inf")
_NONE = ("empty",)
_LABELED = {"labels": LABELS}


def _cell_accuracies(predictions, labels, bias):
    found = np.full((3, 3), np.nan)
    for target in range(3):
        for value in range(3):
            mine = (labels == target) & (bias == value)
            if mine.any():
                found[target, value] = np.mean(predictions[mine] == target)
    return found


def _cell_mean(mean, of, **options):
    return Row(
        lambda cells: mean(cells),
        lambda cells: cells[of(cells)].mean(),
        {"cells": CELLS},
        must_refuse=("offset", "up", "inf", "one_row", "empty"),
        **options,
    )


TABLE = {
    **activation_scores.TABLE,
    **neighbor_scores.TABLE,
    "cell_accuracies": Row(
        lambda predictions, labels, bias: scores.cell_accuracies(
            predictions, labels, bias, 3
        ),
        _cell_accuracies,
        {},
        {"predictions": PREDICTIONS, "labels": LABELS, "bias": BIAS},
        must_refuse=_NONE,
    ),
    "unbiased_accuracy": _cell_mean(
        scores.unbiased_accuracy, lambda cells: np.ones(cells.shape, bool)
    ),
    "aligned_accuracy": _cell_mean(
        scores.aligned_accuracy, lambda cells: np.eye(len(cells), dtype=bool)
    ),
    "conflicting_accuracy": _cell_mean(
        scores.conflicting_accuracy, lambda cells: ~np.eye(len(cells), dtype=bool)
    ),
    "worst_cell_accuracy": _cell_mean(
        scores.worst_cell_accuracy, lambda cells: cells == cells.min()
    ),
    "class_medians": Row(
        lambda features, labels: scores.class_medians(features, labels),
        plain.medians,
        {"features": FEATURES},
        _LABELED,
        must_refuse=(*_BAD, *_NONE),
    ),
    "median_distances": Row(
        lambda features, labels: scores.median_distances(features, labels),
        lambda features, labels: np.linalg.norm(
            features - plain.medians(features, labels)[labels], axis=1
        ),
        {"features": FEATURES},
        _LABELED,
        must_refuse=(*_BAD, *_NONE),
    ),
    "class_thresholds": Row(
        lambda labels, pred_probs: scores.class_thresholds(labels, pred_probs),
        plain.thresholds,
        {"pred_probs": PROBABILITIES},
        _LABELED,
        must_refuse=("offset", "up", "down", *_BAD, *_NONE),
    ),
    "confident_joint": Row(
        lambda labels, pred_probs: scores.confident_joint(
            labels, pred_probs, calibrate=False
        ),
        plain.joint,
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
        plain.forgettability,
        {"events": np.arange(12.0)},
        {"learned": CORRECT[0]},
        must_refuse=(*_BAD, *_NONE),
    ),
    "el2n": Row(
        lambda probabilities, labels: scores.el2n(probabilities, labels),
        plain.el2n,
        {"probabilities": PROBABILITIES},
        _LABELED,
    ),
    "last_layer_grand": Row(
        lambda features, probabilities, labels: scores.last_layer_grand(
            features, probabilities, labels
        ),
        lambda features, probabilities, labels: (
            plain.el2n(probabilities, labels) * np.sqrt(1 + (features**2).sum(axis=1))
        ),
        {"features": FEATURES},
        {"probabilities": PROBABILITIES, "labels": LABELS},
    ),
    "bias_swap_score": Row(
        lambda probabilities, labels: scores.bias_swap_score(probabilities, labels),
        plain.bias_swap,
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
            plain.bias_swap(probabilities, labels),
            plain.el2n(probabilities, labels),
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
        plain.gradient_norms,
        lambda examples: np.linalg.norm(examples, axis=1),
        {"examples": FEATURES},
        refuses=("list",),  # It is a tree of numbers.
        must_refuse=_NONE,
    ),
    "label_loss": Row(
        lambda logits, labels: scores.label_loss(logits, labels),
        plain.loss,
        {"logits": LOGITS},
        _LABELED,
    ),
    "loss_plus_entropy": Row(
        lambda logits, labels: scores.loss_plus_entropy(logits, labels),
        lambda logits, labels: plain.loss(logits, labels) + plain.entropy(logits),
        {"logits": LOGITS},
        _LABELED,
    ),
    "loss_minus_entropy": Row(
        lambda logits, labels: scores.loss_minus_entropy(logits, labels),
        lambda logits, labels: plain.loss(logits, labels) - plain.entropy(logits),
        {"logits": LOGITS},
        _LABELED,
        unit=1.0,
    ),
    "activation_map": Row(
        lambda feature_map: scores.activation_map(feature_map),
        lambda feature_map: feature_map.sum(axis=-1),
        {"feature_map": MAPS},
    ),
    "class_activation_map": Row(
        lambda feature_map, head_kernel, labels: scores.class_activation_map(
            feature_map, head_kernel, labels
        ),
        lambda feature_map, head_kernel, labels: np.einsum(
            "bhwc,bc->bhw", feature_map, head_kernel.T[labels]
        ),
        {"feature_map": MAPS},
        {"head_kernel": KERNEL, "labels": LABELS},
        aligned=("feature_map", "labels"),
        must_refuse=_NONE,
    ),
    "resize_map": Row(
        lambda maps: scores.resize_map(maps, (3, 3)),
        lambda maps: maps,
        {"maps": MAPS[..., 0]},
        must_refuse=_NONE,
    ),
    "normalize_map": Row(
        lambda maps: scores.normalize_map(maps),
        plain.map_range,
        {"maps": MAPS[..., 0]},
    ),
    "boxes_from_maps": Row(
        lambda maps: scores.boxes_from_maps(maps, [0.3])[0],
        lambda maps: plain.boxes(maps, 0.3),
        {"maps": UNIT_MAPS},
        must_refuse=("offset", "up", *_BAD),
    ),
    "gt_known_localization": Row(
        lambda boxes, targets: scores.gt_known_localization(boxes, targets, 0.3),
        lambda boxes, targets: (plain.iou(boxes, targets) >= 0.3).mean(),
        {"boxes": BOXES[0], "targets": BOXES[1]},
        must_refuse=("offset", *_BAD, *_NONE),
    ),
    "max_box_accuracy": Row(
        lambda maps, targets: scores.max_box_accuracy(maps, targets, [0.3]).accuracy,
        lambda maps, targets: (plain.iou(plain.boxes(maps, 0.3), targets) >= 0.5).mean(
            keepdims=True
        ),
        {"maps": UNIT_MAPS},
        {"targets": np.tile([0.0, 1, 2, 2], (12, 1))},
        must_refuse=("offset", "up", *_BAD, *_NONE),
        names=("boxes",),
    ),
    "fit_two_gaussians": Row(
        lambda values: scores.fit_two_gaussians(values, tolerance=1e-4),
        lambda values: plain.em(values, tolerance=1e-4),
        {"values": np.sort(VALUES) + np.repeat([0.0, 6.0], 6)},
        must_refuse=("offset", "up", *_NONE),
        rtol=2e-3,
        atol=1e-4,
    ),
    "min_max_normalize": Row(
        lambda values: scores.min_max_normalize(values),
        plain.min_max,
        {"values": VALUES},
    ),
    "posterior_of_lower": Row(
        lambda values: scores.posterior_of_lower(values, plain.MIXTURE),
        plain.posterior,
        {"values": VALUES},
        must_refuse=("offset",),
    ),
    "energy_uncertainty": Row(
        lambda logits: scores.energy_uncertainty(logits, temperature=0.5),
        lambda logits: -plain.log_sum(logits * 2) / 2,
        {"logits": LOGITS},
    ),
    "max_softmax_uncertainty": Row(
        lambda logits: scores.max_softmax_uncertainty(logits),
        lambda logits: -plain.softmax(logits).max(axis=-1),
        {"logits": LOGITS},
    ),
    "ood_detection_metrics": Row(
        lambda in_scores, ood_scores: (
            scores.ood_detection_metrics(in_scores, ood_scores).auroc
        ),
        plain.auroc,
        {"in_scores": VALUES, "ood_scores": VALUES[::-1] + 1},
        must_refuse=(*_BAD, *_NONE),
    ),
    "energy_purity": Row(
        lambda logits: scores.energy_purity(logits), plain.log_sum, {"logits": LOGITS}
    ),
    "max_softmax_purity": Row(
        lambda logits: scores.max_softmax_purity(logits),
        lambda logits: plain.softmax(logits).max(axis=-1),
        {"logits": LOGITS},
    ),
    "nearest_in_cosine": Row(
        lambda features, references: scores.nearest_in_cosine(features, references),
        lambda features, references: (
            plain.unit(features) @ plain.unit(references).T
        ).max(axis=1),
        {"features": FEATURES},
        {"references": FEATURES[:5] + 0.5},
        aligned=("features",),
        must_refuse=(*_BAD, *_NONE),
    ),
    "nearest_ood_distance": Row(
        lambda features, references: scores.nearest_ood_distance(features, references),
        plain.nearest,
        {"features": FEATURES, "references": FEATURES[:5] + 0.5},
        must_refuse=(*_BAD, *_NONE),
    ),
    "react_purity": Row(
        lambda features, kernel: scores.react_purity(features, kernel, threshold=2.0),
        lambda features, kernel: plain.log_sum(np.minimum(features, 2) @ kernel),
        {"features": FEATURES},
        {"kernel": OTHER_KERNEL},
        aligned=("features",),
    ),
    "react_threshold": Row(
        lambda features: scores.react_threshold(features, percentile=70.0),
        lambda features: np.percentile(features, 70.0),
        {"features": FEATURES},
        must_refuse=(*_BAD, *_NONE),
    ),
    "entropy": Row(
        lambda logits: scores.entropy(logits), plain.entropy, {"logits": LOGITS}
    ),
    "least_confidence": Row(
        lambda logits: scores.least_confidence(logits),
        lambda logits: 1 - plain.softmax(logits).max(axis=-1),
        {"logits": LOGITS},
    ),
    "low_max_logit": Row(
        lambda logits: scores.low_max_logit(logits),
        lambda logits: -logits.max(axis=-1),
        {"logits": LOGITS},
    ),
    "margin_uncertainty": Row(
        lambda logits: scores.margin_uncertainty(logits),
        lambda logits: (
            1 - np.diff(np.sort(plain.softmax(logits), axis=-1)[:, -2:])[:, 0]
        ),
        {"logits": LOGITS},
    ),
}

# Functions without arrays of numbers among their arguments.
WITHOUT: dict[str, str] = {}
