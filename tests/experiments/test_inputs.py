"""How launchers read data sets."""

from __future__ import annotations

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.study.decoded_cache import define_no_cache, heed_no_cache
from robustjax import data
from robustjax.tools.decoded_cache import decoded_folder
from robustjax.tools.inputs import load, load_foreign, load_splits


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


def test_images_of_another_set_are_shaped_like_the_target_s(images):
    cats = load(images, "train", data_dir=None)
    gray = np.zeros((3, 4, 4, 1), np.uint8)
    target = data.make_dataset(gray, [0, 0, 1], class_names=["pine", "oak"])
    whole = load_foreign(images, "train", target, data_dir=None)
    assert whole.inputs.shape == (1000, 4, 4, 1)
    assert whole.inputs.dtype == np.uint8
    np.testing.assert_array_equal(whole.ids, cats.ids)
    few, again = (
        load_foreign(
            images,
            "train",
            target,
            data_dir=None,
            most=5,
            rng=np.random.default_rng(seed),
        )
        for seed in (0, 0)
    )
    np.testing.assert_array_equal(few.inputs, again.inputs)
    rows = data.rows_of(cats, few.ids)
    assert len(set(rows.tolist())) == 5
    np.testing.assert_array_equal(few.inputs, whole.inputs[rows])
    np.testing.assert_array_equal(few.labels, cats.labels[rows])
    pets = data.make_dataset(gray, [0, 0, 1], class_names=["kitten", "oak"])
    with pytest.raises(ValueError, match="ood_names: classes overlap .*'kitten' ~ 'c"):
        load_foreign(images, "train", pets, data_dir=None)
    found = load_foreign(images, "train", pets, data_dir=None, allow_overlap=True)
    np.testing.assert_array_equal(found.inputs, whole.inputs)
    floats = data.make_dataset(gray.astype(np.float32), [0, 0, 1])
    with pytest.raises(ValueError, match="images: got uint8, expected the target's fl"):
        load_foreign(images, "train", floats, data_dir=None)


def test_a_size_that_nothing_is_resized_to_is_refused(tmp_path):
    pixels = data.make_dataset(np.zeros((4, 6, 6, 1), np.uint8), [0, 1, 0, 1])
    points = data.make_dataset(np.zeros((4, 6)), [0, 1, 0, 1])
    for name, found in (("pixels", pixels), ("points", points)):
        data.save_npz(tmp_path / f"{name}.npz", train=found, test=found)

    def size_of(name, image_size):
        path = str(tmp_path / f"{name}.npz")
        train, _ = load_splits(
            path, "train", "test", data_dir=None, image_size=image_size
        )
        return train.inputs.shape[1:]

    assert size_of("pixels", 0) == size_of("pixels", 6) == (6, 6, 1)
    assert size_of("points", 0) == (6,)
    for name, size, shape in (("pixels", 8, "6, 6, 1"), ("points", 6, "6,")):
        message = rf"image_size: got {size} for inputs of shape \({shape}\), which keep"
        with pytest.raises(ValueError, match=message):
            size_of(name, size)
