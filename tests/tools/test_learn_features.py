"""Features of images without labels, as a person makes them: a command and its file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from robustjax import data
from tests.harness.tool_runs import endings, run_verb


@pytest.fixture
def images(tmp_path):
    """Bright and dark squares: 12 to train on, 6 to test."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for number in range(2 * count):
            place = tmp_path / "images" / split / ("hell ☀", "dark")[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 60, (8, 8, 3)) + 190 * (number % 2 == 0)
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "images"


def _flags(images, **more):
    return {
        "dataset": images,
        "out": images.parent / "features.npz",
        "channels": "4",
        "projection": "4",
        "epochs": 1,
        "batch_size": 4,
    } | more


@pytest.mark.slow
def test_features_of_a_folder_are_a_data_set(images):
    flags = _flags(images)
    done = run_verb("learn-features", **flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"features: {flags['out']}\n")
    assert "linear classifier on the features: " in done.stdout
    train, test = (data.load(str(flags["out"]), split) for split in ("train", "test"))
    given = data.load(str(images), "train")
    assert train.class_names == given.class_names == ("dark", "hell ☀")
    np.testing.assert_array_equal(train.ids, given.ids)
    np.testing.assert_array_equal(train.labels, given.labels)
    assert train.inputs.shape[0] == 12
    assert train.inputs.ndim == 2
    assert len(test) == 6
    assert np.isfinite(train.inputs).all()
    assert train.inputs.std() > 0
    assert not (images.parent / "features.npz.training").exists()


def test_bad_options_are_named(images):
    changes = (
        {"out": None},
        {"learning_rate": 0},
        {"dataset": "digits.csv"},
        {"out": images},
    )
    messages = endings("learn-features", [_flags(images, **c) for c in changes])
    expected = ("out: got nothing", "learning_rate: got 0.0", "dataset: ", "out: ")
    for message, begin in zip(messages, expected):
        assert message.startswith(begin), message
