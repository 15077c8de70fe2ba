"""What the colours of a data set are normalised by."""

from __future__ import annotations

import numpy as np

_MOST_NUMBERS = 2**27


def channel_statistics(inputs: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation of every colour channel of images, in [0, 1]."""
    scale = 255.0 if inputs.dtype == np.uint8 else 1.0
    # A sample is enough, and takes no float copy of the data set.
    count = min(5000, _MOST_NUMBERS // int(np.prod(inputs.shape[1:])) + 1)
    sample = inputs[:: max(1, len(inputs) // count)].astype(np.float64) / scale
    deviation = np.maximum(sample.std(axis=(0, 1, 2)), 1e-3)
    return sample.mean(axis=(0, 1, 2)).tolist(), deviation.tolist()
