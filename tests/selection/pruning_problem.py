"""Examples of three classes, of unequal sizes, to be pruned."""

import jax
import numpy as np

from robustjax import selection

N, C, D = 60, 3, 4
KEY = jax.random.key(0)


def problem():
    """Arrays that any method is happy with; class sizes 6, 18 and 36."""
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat(np.arange(C), [6, 18, 36]))
    logits = 2 * rng.normal(size=(N, C))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return {
        "features": rng.normal(size=(N, D)).astype(np.float32),
        "probabilities": p.astype(np.float32),
        "labels": labels,
    }


def chosen(given, method, fraction=0.25, **options):
    return selection.select(**given, fraction=fraction, method=method, **options)


def first(scores, count):
    """Indices of the largest, one after the other; ties to the lowest."""
    scores = np.asarray(scores, np.float64).copy()
    picks = []
    for _ in range(count):
        picks.append(int(np.argmax(scores)))
        scores[picks[-1]] = -np.inf
    return picks
