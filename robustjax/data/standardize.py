"""Zero mean and unit deviation, by the training set's statistics alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from robustjax.data.dataset import Dataset


def standardize(train: Dataset, *others: Dataset) -> tuple[Dataset, ...]:
    """Standardises every feature by the training set's mean and deviation.

    Constant features become zero. 8-bit images are first scaled to [0, 1].

    Args:
      train: gives the statistics.
      *others: are transformed alike.

    Returns:
      The data sets with float32 inputs, `train` first.
    """
    scale = np.float32(1 / 255) if train.inputs.dtype == np.uint8 else np.float32(1)
    reference = train.inputs.astype(np.float32) * scale
    mean = reference.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = reference.std(axis=0, dtype=np.float64).astype(np.float32)
    factor = np.where(deviation > 0, 1 / np.maximum(deviation, 1e-12), 0)
    factor = factor.astype(np.float32)

    def apply(dataset: Dataset) -> Dataset:
        inputs = (dataset.inputs.astype(np.float32) * scale - mean) * factor
        return dataclasses.replace(dataset, inputs=inputs)

    return tuple(apply(dataset) for dataset in (train, *others))
