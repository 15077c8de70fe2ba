"""A folder of images as shards: the same data set, decoded block by block."""

import numpy as np
import pytest
from PIL import Image

from robustjax import data


@pytest.fixture
def folder(tmp_path):
    """Two classes of images of several sizes, and a stray one."""
    rng = np.random.default_rng(0)
    for number in range(11):
        path = tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (6 + number % 3, 7, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    (tmp_path / "images" / "stray.png").write_bytes(b"")
    return tmp_path / "images"


def test_shards_hold_what_the_folder_holds(tmp_path, folder):
    said, done = [], []
    data.write_image_shards(
        tmp_path / "set" / "train",
        folder,
        image_size=5,
        block=4,
        shard_bytes=3 * 75,
        report=said.append,
        progress=lambda some, every: done.append((some, every)),
    )
    assert done == [(4, 11), (8, 11), (11, 11)]
    whole = data.load_image_folder(folder, image_size=5, report=said.append)
    assert len(said) == 2
    assert said[0] == said[1]
    shards = data.load(str(tmp_path / "set"), "train", image_size=5)
    assert len(list((tmp_path / "set" / "train").glob("inputs-*.npy"))) == 4
    np.testing.assert_array_equal(shards.inputs, whole.inputs)
    np.testing.assert_array_equal(shards.labels, whole.labels)
    np.testing.assert_array_equal(shards.ids, whole.ids)
    assert (shards.class_names, shards.name) == (whole.class_names, whole.name)


def test_another_size_is_said_before_anything_is_read(tmp_path, folder):
    data.write_image_shards(tmp_path / "set" / "train", folder, image_size=5)
    with pytest.raises(ValueError, match="image_size: got 8, but .* of shape .5, 5, 3"):
        data.load(str(tmp_path / "set"), "train", image_size=8)


def test_sizes_that_differ_leave_nothing(tmp_path, folder):
    with pytest.raises(ValueError, match="give image_size to resize them all"):
        data.write_image_shards(tmp_path / "set" / "train", folder)
    assert not (tmp_path / "set").exists()
