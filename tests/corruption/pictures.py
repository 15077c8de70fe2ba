"""Images for tests of corruptions: smooth, with edges, noise, grey and black."""

from __future__ import annotations

import numpy as np


def pictures(count: int = 6, height: int = 32, width: int = 32) -> np.ndarray:
    """(N, H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    images = np.empty((count, height, width, 3), np.uint8)
    for image in images:
        wave = rng.uniform(0.5, 2, (3, 2)) * np.pi
        phase = rng.uniform(0, 6, 3)
        level = np.sin(rows[..., None] * wave[:, 0] + columns[..., None] * wave[:, 1])
        level = 110 + 90 * np.sin(level * 2 + phase)
        level[height // 3 : height // 2, width // 4 :] = rng.uniform(0, 255, 3)
        level[-6:, -6:] = rng.uniform(0, 255)  # Grey.
        level[:4, :5] = 0
        image[:] = np.clip(level + rng.normal(0, 6, level.shape), 0, 255)
        image[-6:, -6:] = image[-6:, -6:, :1]
        image[:4, :5] = 0
    return images
