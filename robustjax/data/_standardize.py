"""Zero mean and unit deviation, by the training set's statistics alone.

Everything is computed in double precision, block by block, from differences to one
reference example: where features lie far from zero, or deviate by very little, nothing
is lost before the result becomes float32.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from robustjax import arrays, checks, conditioning
from robustjax.data._dataset import Dataset


def standardize(train: Dataset, *others: Dataset) -> tuple[Dataset, ...]:
    """Standardises every feature by the training set's mean and deviation.

    Constant features become zero. The scale of the inputs has no influence, so that
    8-bit images and images in [0, 1] give the same.

    Args:
      train: gives the statistics.
      *others: are transformed alike.

    Returns:
      The data sets with float32 inputs, `train` first.

    Raises:
      ValueError: inputs of another shape or, where either holds 8-bit images, dtype
        than the training set's; NaN or infinity; results beyond float32.
    """
    given = [
        _flat(f"inputs of {dataset.name}", dataset) for dataset in (train, *others)
    ]
    first = given[0]
    for dataset, array in zip(others, given[1:]):
        bytes_alike = (array.dtype == np.uint8) == (first.dtype == np.uint8)
        if dataset.inputs.shape[1:] != train.inputs.shape[1:] or not bytes_alike:
            raise ValueError(
                f"others: {dataset.name} has {array.dtype.name} inputs of shape "
                f"{dataset.inputs.shape[1:]}, expected those of {train.name}, "
                f"{first.dtype.name} of {train.inputs.shape[1:]}"
            )
    reference = first[0]
    mean, deviation = _statistics(conditioning.Rows(first, reference))
    factor = np.divide(1, deviation, out=np.zeros_like(mean), where=deviation > 0)
    return tuple(
        _apply(dataset, conditioning.Rows(array, reference), mean, factor)
        for dataset, array in zip((train, *others), given)
    )


def _flat(name: str, dataset: Dataset) -> np.ndarray:
    """Checked inputs (N, d)."""
    array = arrays.numbers(name, dataset.inputs)
    if len(array) == 0:
        raise ValueError(f"{name}: got no examples, expected at least one")
    checks.finite(name, array)
    return array.reshape(len(array), -1)


def _statistics(rows: conditioning.Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (d,) of rows less their reference; 0 for constant ones."""
    count, width = rows.shape
    total, squares = np.zeros(width), np.zeros(width)
    largest = np.zeros(width)
    for here in arrays.blocks(count, width):
        block = rows(here)
        total += block.sum(axis=0)
        largest = np.maximum(largest, np.abs(block).max(axis=0))
    mean = total / count
    # Near one in size, so that the squares of small differences do not vanish.
    scale = np.where(largest > 0, largest, 1)
    for here in arrays.blocks(count, width):
        squares += (((rows(here) - mean) / scale) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / count) * scale


def _apply(
    dataset: Dataset, rows: conditioning.Rows, mean: np.ndarray, factor: np.ndarray
) -> Dataset:
    inputs = np.empty(rows.shape, np.float32)
    for here in arrays.blocks(*rows.shape):
        block = (rows(here) - mean) * factor
        inputs[here] = arrays.cast(f"inputs of {dataset.name}", block)
    return dataclasses.replace(dataset, inputs=inputs.reshape(dataset.inputs.shape))
