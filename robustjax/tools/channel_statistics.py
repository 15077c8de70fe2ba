"""What the colours of a data set are normalised by."""

from __future__ import annotations

import numpy as np


def channel_statistics(inputs: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation of every colour channel of images, in [0, 1]."""
    scale = 255.0 if inputs.dtype == np.uint8 else 1.0
    # A sample is enough, and takes no float copy of the data set.
    sample = inputs[:: max(1, len(inputs) // 5000)].astype(np.float64) / scale
    deviation = np.maximum(sample.std(axis=(0, 1, 2)), 1e-3)
    return sample.mean(axis=(0, 1, 2)).tolist(), deviation.tolist()
