"""What is left of rows that are kept in two bytes a number, in plain NumPy."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

UNITS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""By how much a number may be off, relatively, by the name of the type."""


def rounded(points: np.ndarray, storage: str) -> np.ndarray:
    """Centred rows (N, d) float64, each number rounded at a size near one."""
    centred = points.astype(np.float64) - points[:1].astype(np.float64)
    centred = centred - centred.mean(axis=0)
    largest = np.abs(centred).max()
    scale = 2.0 ** np.floor(np.log2(largest)) if largest else 1.0
    near = (centred / scale).astype(np.float32)
    return near.astype(jnp.dtype(storage)).astype(np.float64) * scale
