"""A small data set whose labels are corrected."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import data


@pytest.fixture(scope="session")
def noisy():
    """300 digits with string ids, half of the labels wrong, and the true labels."""
    whole = data.load("digits", "train")
    part = data.take(whole, np.arange(300))
    rng = np.random.default_rng(3)
    wrong = rng.random(300) < 0.5
    labels = np.where(wrong, (part.labels + rng.integers(1, 10, 300)) % 10, part.labels)
    dataset = data.make_dataset(
        part.inputs,
        labels,
        ids=[f"digit_{i:04d}" for i in part.ids],
        class_names=[f"number {c}" for c in range(10)],
        name="noisy digits",
    )
    return dataset, part.labels
