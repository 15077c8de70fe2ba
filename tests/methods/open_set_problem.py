"""Blobs as an open-set pool, and the simplest classifier and strategies for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.methods.active_learning import Observation
from robustjax.methods.active_learning._open_set_round import Query


@dataclasses.dataclass(frozen=True)
class Blobs:
    """Points around corners; the last kind of corner belongs to no class."""

    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    num_classes: int


def make_blobs(count=120, num_classes=3, noise_ratio=0.4, seed=0):
    rng = np.random.default_rng(seed)
    corners = 4 * np.eye(num_classes + 1, dtype=np.float32)
    outside = round(noise_ratio * count)
    labels = np.arange(count - outside) % num_classes
    labels = np.concatenate([labels, np.full(outside, num_classes)])
    labels = rng.permutation(labels).astype(np.int32)
    test_labels = (np.arange(60) % num_classes).astype(np.int32)

    def points(labels):
        noise = rng.normal(size=(len(labels), num_classes + 1))
        return (corners[labels] + noise).astype(np.float32)

    return Blobs(points(labels), labels, points(test_labels), test_labels, num_classes)


class NearestMean:
    """Logits are the points' products with the means of the labelled classes."""

    def __init__(self, inputs, num_classes, *, losses=False, ood_output=False):
        self.inputs = jnp.asarray(inputs)
        self.outputs = num_classes + ood_output
        self.losses = losses
        self.seen: list[tuple[Any, np.ndarray]] = []

    def fit(self, key, labels):
        self.seen.append((np.asarray(jax.random.key_data(key)), labels.copy()))
        rows = [np.flatnonzero(labels == c) for c in range(self.outputs)]
        means = [
            self.inputs[r].mean(axis=0) if len(r) else jnp.zeros(self.inputs.shape[1])
            for r in rows
        ]
        return jnp.stack(means, axis=1)

    def predict(self, fitted, inputs):
        return jnp.asarray(inputs) @ fitted - (fitted**2).sum(axis=0)[None] / 2

    def observe(self, fitted):
        logits = self.predict(fitted, self.inputs)
        bias = -(fitted**2).sum(axis=0) / 2
        losses = -logits.max(axis=1) if self.losses else None
        return Observation(logits, self.inputs, (fitted, bias), losses)


@dataclasses.dataclass(frozen=True)
class InOrder:
    """Asks in the order of a score; its memory counts what it was told."""

    name: str = "in_order"
    wants: frozenset[str] = frozenset()
    descending: bool = True

    def init_memory(self, key):
        return {
            "in": jnp.int32(0),
            "ood": jnp.int32(0),
            "draw": jax.random.uniform(key),
        }

    def select(self, view, memory, count):
        assert 0 < count <= len(view.unlabeled)
        score = np.asarray(view.observation.logits.max(axis=1))
        score = score if self.descending else -score
        order = np.argsort(-score[view.unlabeled], kind="stable")
        return Query(view.unlabeled[order[:count]], {"purity": score})

    def learn(self, view, memory, query, answers):
        assert (view.labels[query.rows] == -1).all()
        assert len(query.notes["purity"]) == len(view.labels)
        is_in = answers < view.num_classes
        return {
            **memory,
            "in": memory["in"] + int(is_in.sum()),
            "ood": memory["ood"] + int((~is_in).sum()),
        }
