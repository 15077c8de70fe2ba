"""Images are decoded once, and again as soon as anything has changed."""

from __future__ import annotations

import logging
import os
import pathlib
import shutil
import time

import numpy as np
import pytest

from robustjax import data
from robustjax.data import _decoded_cache


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """Two classes of small images, old enough to be kept."""
    image_module = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(_decoded_cache, "_FEWEST_EXAMPLES", 4)
    root = tmp_path / "images"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (5, 4, 3), np.uint8)
            image_module.fromarray(pixels).save(root / name / f"{number}.png")
    _wait()
    return root


@pytest.fixture
def decodings(monkeypatch):
    """A list that grows by one with every folder that is decoded."""
    found: list[int] = []
    module = data._image_folder
    decode = module.decode

    def counted(files, image_size):
        found.append(len(files))
        return decode(files, image_size)

    monkeypatch.setattr(module, "decode", counted)
    return found


def _wait():
    time.sleep(2 * _decoded_cache._CLOCK_SECONDS)


def _same(one, other):
    for name in ("inputs", "labels", "ids"):
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert one.class_names == other.class_names
    assert one.name == other.name


def _entries(cache):
    return [path for path in cache.iterdir() if not path.name.startswith(".")]


def test_second_load_is_the_first(folder, decodings, tmp_path):
    cache = tmp_path / "cache"
    plain = data.load_image_folder(folder)
    for _ in range(3):
        _same(data.load_image_folder(folder, cache_dir=cache), plain)
    assert decodings == [6, 6]
    assert cache.stat().st_mode & 0o077 == 0


def test_size_is_part_of_the_key(folder, decodings, tmp_path):
    cache = tmp_path / "cache"
    for size in (3, 2, 3, 2):
        found = data.load_image_folder(folder, image_size=size, cache_dir=cache)
        _same(found, data.load_image_folder(folder, image_size=size))
    assert len(decodings) == 4 + 2


def _write(folder, rng):
    from PIL import Image

    image = Image.fromarray(rng.integers(0, 256, (5, 4, 3), np.uint8))
    # Size and time of the content stay: the time of the change does not.
    path = folder / "dog" / "1.png"
    stat = path.stat()
    image.save(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _exchange(folder, rng):
    del rng
    (folder / "cat" / "0.png").rename(folder / "x")
    (folder / "dog" / "0.png").rename(folder / "cat" / "0.png")
    (folder / "x").rename(folder / "dog" / "0.png")


def _add(folder, rng):
    del rng
    shutil.copy2(folder / "cat" / "0.png", folder / "dog" / "3.png")


def _remove(folder, rng):
    del rng
    (folder / "dog" / "2.png").unlink()


def _as_links(folder):
    """The images are elsewhere; their names, and so their classes, are links."""
    pool = folder.parent / "pool"
    pool.mkdir()
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        path.rename(pool / f"{number}.png")
        path.symlink_to(pool / f"{number}.png")
    _wait()


@pytest.mark.parametrize(
    ("old", "new"),
    [("cat/2.png", "dog/-.png"), ("cat/2.png", "cat/3.png"), ("cat", "car")],
)
def test_a_link_that_is_moved_is_another_example(folder, old, new, tmp_path):
    _as_links(folder)
    cache = tmp_path / "cache"
    before = data.load_image_folder(folder, cache_dir=cache)
    (folder / old).rename(folder / new)
    found = data.load_image_folder(folder, cache_dir=cache)
    _same(found, data.load_image_folder(folder))
    assert found.ids.tolist() != before.ids.tolist()
    np.testing.assert_array_equal(found.inputs, before.inputs)


@pytest.mark.parametrize("change", [_write, _exchange, _add, _remove])
def test_changed_files_are_read_again(folder, change, rng, tmp_path):
    cache = tmp_path / "cache"
    data.load_image_folder(folder, cache_dir=cache)
    change(folder, rng)
    _wait()
    for _ in range(2):
        found = data.load_image_folder(folder, cache_dir=cache)
        _same(found, data.load_image_folder(folder))


def _truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["inputs.npy", "labels.npy", "ids.npy", "entry.json"])
@pytest.mark.parametrize("damage", [_truncate, _flip, _empty, pathlib.Path.unlink])
def test_damage_is_decoded_again(folder, name, damage, decodings, tmp_path):
    cache = tmp_path / "cache"
    plain = data.load_image_folder(folder, cache_dir=cache)
    (entry,) = _entries(cache)
    damage(entry / name)
    for _ in range(2):
        _same(data.load_image_folder(folder, cache_dir=cache), plain)
    # A flip inside the record may leave what matters.
    assert len(decodings) == 2 or (damage, name) == (_flip, "entry.json")


def test_writing_into_a_data_set_leaves_the_cache(folder, tmp_path):
    cache = tmp_path / "cache"
    plain = data.load_image_folder(folder)
    for _ in range(3):
        found = data.load_image_folder(folder, cache_dir=cache)
        _same(found, plain)
        found.inputs[:] = 0
        found.labels[:] = 0


def test_fresh_files_are_not_kept(folder, rng, tmp_path):
    cache = tmp_path / "cache"
    _write(folder, rng)
    data.load_image_folder(folder, cache_dir=cache)
    assert not _entries(cache)


def test_remarks_are_made_every_time(folder, tmp_path):
    (folder / "cat" / "notes.txt").write_text("")
    _wait()
    said: list[str] = []
    for _ in range(2):
        data.load_image_folder(folder, cache_dir=tmp_path / "c", report=said.append)
    assert len(said) == 2
    assert said[0] == said[1]


def test_least_recently_used_makes_room(folder, tmp_path):
    cache = tmp_path / "cache"
    stray = cache / "precious"
    stray.mkdir(parents=True, mode=0o700)
    cache.chmod(0o700)
    for size in (8, 9, 10):
        data.load_image_folder(folder, image_size=size, cache_dir=cache)
    (cache / ".partial-old").mkdir()
    os.utime(cache / ".partial-old", (0, 0))
    found = {path.name for path in _entries(cache)}
    assert len(found) == 4
    _decoded_cache._make_room(cache, 6 * (9**2 + 10**2) * 3 + 6000)
    left = {path.name for path in cache.iterdir()}
    assert len(left) == 3
    assert "precious" in left
    before = len(_entries(cache))
    data.load_image_folder(folder, image_size=10, cache_dir=cache)
    assert len(_entries(cache)) == before


def test_folder_of_others_is_not_used(folder, tmp_path, caplog):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        found = data.load_image_folder(folder, cache_dir=cache)
    _same(found, data.load_image_folder(folder))
    assert "can be written to by others" in caplog.text
    assert not list(cache.iterdir())


def test_full_disk_is_no_error(folder, tmp_path, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_decoded_cache.np, "save", full)
    with caplog.at_level(logging.WARNING):
        found = data.load_image_folder(folder, cache_dir=tmp_path / "cache")
    _same(found, data.load_image_folder(folder))
    assert "No space left on device" in caplog.text
    assert not list((tmp_path / "cache").iterdir())


def test_tfds_split(data_dir, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    cache, source = tmp_path / "cache", str(data_dir / "tfds")
    plain = data.load_tfds("mnist", "test[:1200]", data_dir=source)
    for _ in range(2):
        _same(
            data.load("mnist", "test[:1200]", data_dir=source, cache_dir=cache), plain
        )
    assert len(_entries(cache)) == 1
    other = data.load("mnist", "test[:1300]", data_dir=source, cache_dir=cache)
    assert len(other) == 1300
