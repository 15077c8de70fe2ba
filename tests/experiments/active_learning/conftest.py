"""Data sets of the open-set study."""

from __future__ import annotations

import pytest

from robustjax import data
from tests.experiments.active_learning.open_set_runs import (
    images,
)


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Small data sets as .npz files, by name."""
    folder = tmp_path_factory.mktemp("sets")
    found = {}
    for name, classes, size, seed in (("target", 6, 8, 0), ("other", 2, 10, 5)):
        splits = {}
        for number, (split, count) in enumerate((("train", 120), ("test", 60))):
            pixels, labels = images(count, classes, size, seed + number)
            names = [f"{name}_{c}" for c in range(classes)]
            splits[split] = data.make_dataset(pixels, labels, class_names=names)
        found[name] = str(folder / f"{name}.npz")
        data.save_npz(found[name], **splits)
    return found
