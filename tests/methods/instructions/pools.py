"""Records, embeddings and ratings for tests."""

from __future__ import annotations

import numpy as np

from robustjax.data import Record
from robustjax.methods.instructions import InstructionPool, RecordScores


def pool_of(size=40, seed=0, **more):
    """Records with random embeddings, scores, and a few ratings in steps of a half."""
    rng = np.random.default_rng(seed)
    records = [
        Record(f"r{i}", f"q{i}", "", " ".join(["word"] * (i % 7 + 1)))
        for i in range(size)
    ]
    given = {
        "embeddings": rng.normal(size=(size, 3)).astype(np.float32),
        "ratings": rng.permutation(np.arange(size) % 4 + 7) / 2,
        "scores": None,
        "gradients": rng.normal(size=(size, 5)),
        "target_gradients": rng.normal(size=(2, 5)),
    }
    return InstructionPool(records, **{**given, **more})


def scores_of(size=40, seed=0):
    """Scores by which no record is ruled out."""
    answer = np.random.default_rng(seed).uniform(1, 2, size)
    return RecordScores(
        np.ones(size, int), answer, np.full(size, 2.5), np.zeros(size, bool)
    )
