"""Data sets of the study of features."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import data
from robustjax.data import make_dataset, save_npz
from tests.experiments.features.feature_runs import save_images


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Small data sets as .npz files, by name."""
    folder = tmp_path_factory.mktemp("sets")
    digits = {}
    for number, split in enumerate(("train", "test")):
        labels = np.arange(40) % 4
        bars = np.zeros((40, 12, 12, 1), np.uint8)
        for image, label in zip(bars, labels):
            image[3:9, 2 + number : 4 + number + label] = 255
        digits[split] = data.make_dataset(bars, labels)
    data.save_npz(folder / "digits.npz", **digits)
    return {
        "target": save_images(folder / "target.npz", ["owl", "ship", "frog"]),
        "other": save_images(
            folder / "other.npz", ["sand", "grass"], size=10, channels=1, seed=5
        ),
        "rocks": save_images(folder / "rocks.npz", ["flint", "slate"], seed=7),
        "ships": save_images(folder / "ships.npz", ["boat", "cloud"], seed=9),
        "digits": str(folder / "digits.npz"),
        "backgrounds": save_images(
            folder / "backgrounds.npz", ["a1x", "b1x", "c1x", "d1x"], count=200, seed=3
        ),
    }


@pytest.fixture(scope="session")
def two_sets(tmp_path_factory):
    """A target with a bright row per class, and other images, as .npz files."""
    folder = tmp_path_factory.mktemp("two_sets")
    for seed, name in enumerate(("target", "other")):
        splits = {}
        for number, split in enumerate(("train", "test")):
            rng = np.random.default_rng([seed, number])
            labels = np.arange(48) % 3
            pixels = rng.integers(0, 80, (48, 8, 8, 3), np.uint8)
            if name == "target":
                pixels[np.arange(48), 2 * labels] += 150
            names = [f"{name}{c}" for c in "xyz"]
            splits[split] = make_dataset(pixels, labels, class_names=names)
        save_npz(folder / f"{name}.npz", **splits)
    return {name: str(folder / f"{name}.npz") for name in ("target", "other")}
