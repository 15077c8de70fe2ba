"""Inputs of `scores_table`, exact in float16."""

from __future__ import annotations

import numpy as np

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
MAPS, KERNEL = _exact(12, 3, 3, 2), _exact(2, 3)
UNIT_MAPS = np.zeros((12, 4, 4))
for _i in range(12):
    UNIT_MAPS[_i, 1 : 2 + _i % 3, _i % 2 : 3] = (8 + _i % 4) / 16
    UNIT_MAPS[_i, 2, 3] = 0.25
BOXES = np.stack([_RNG.integers(0, 8, (12, 4)) for _ in range(2)]).astype(float)
BOXES[..., 2:] += BOXES[..., :2]
CELLS = _RNG.integers(0, 17, (4, 4)) / 16.0
BIAS = np.array([0, 1, 2, 1, 2, 0, 2, 1, 1, 1, 0, 2])
PREDICTIONS = np.array([0, 1, 1, 0, 2, 2, 2, 1, 0, 0, 1, 0])
OTHER_KERNEL = _exact(4, 3)
