"""How launchers read data sets."""

from __future__ import annotations

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.study.decoded_cache import define_no_cache, heed_no_cache
from robustjax.tools.decoded_cache import decoded_folder
from robustjax.tools.inputs import load


@pytest.fixture
def images(tmp_path, rng):
    """A folder of 1,000 images: fewer are not worth an entry."""
    image_module = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / "images/train" / name).mkdir(parents=True)
        for number in range(500):
            pixels = rng.integers(0, 256, (2, 2, 3), np.uint8)
            path = tmp_path / "images/train" / name / f"{number}.png"
            image_module.fromarray(pixels).save(path)
    return str(tmp_path / "images")


def test_decoded_images_are_kept(images, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("ROBUSTJAX_DECODED_CACHE", str(cache))
    with monkeypatch.context() as patch, flagsaver.flagsaver():
        patch.setenv("ROBUSTJAX_DECODED_CACHE", str(cache))
        define_no_cache()
        flags.FLAGS(["launcher", "--no_cache"])
        heed_no_cache()
        assert decoded_folder() is None
        plain = load(images, "train", data_dir=None)
        assert not cache.exists()
    for _ in range(2):
        found = load(images, "train", data_dir=None)
        np.testing.assert_array_equal(found.inputs, plain.inputs)
        assert len(list(cache.iterdir())) == 1


def test_empty_variable_is_no_cache(monkeypatch):
    monkeypatch.setenv("ROBUSTJAX_DECODED_CACHE", "")
    assert decoded_folder() is None


def test_folder_of_the_user_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("ROBUSTJAX_DECODED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert decoded_folder() == tmp_path / "robustjax" / "decoded"


def test_size_zero_keeps_the_images(images):
    assert load(images, "train", data_dir=None, image_size=0).inputs.shape[1:] == (
        2,
        2,
        3,
    )
