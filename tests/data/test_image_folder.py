"""Image folders as people and their systems leave them."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest
from PIL import Image

from robustjax import data
from robustjax.data import _image_folder as image_folder


def save(path, level=0, size=(4, 3), **options):
    """An image of one level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two images in each of two classes."""
    for row, name in enumerate(("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")):
        save(tmp_path / "set" / name, 10 * row)
    return tmp_path / "set"


def load(path, **options):
    said = []
    found = data.load_image_folder(path, report=said.append, **options)
    assert all("\n" not in sentence for sentence in said)
    return found, said


def test_what_systems_leave_is_no_class_and_no_image(folder):
    for place in (folder, folder / "cat"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", "~$0.png"):
            (place / name).write_bytes(b"\0")
        for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
            save(place / name / "cat" / "0.png", 99)
            save(place / name / "0.png", 99)
    found, said = load(folder)
    assert found.class_names == ("cat", "dog")
    assert found.ids.tolist() == ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
    np.testing.assert_array_equal(found.inputs[:, 0, 0, 0], [0, 10, 20, 30])
    assert said == []


def test_what_is_left_out_is_said_in_one_line(folder):
    save(folder / "cat" / "small" / "0.png")
    save(folder / "cat" / "small" / "deep" / "1.png")
    (folder / "cat" / "small" / ".DS_Store").write_bytes(b"")
    (folder / "dog" / "notes.txt").write_text("x")
    (folder / "dog" / "new.heic").write_bytes(b"\0\0\0\x18ftypheic")
    save(folder / "dog" / "1.png.bak", format="png")
    save(folder / "dog" / ".hidden.png")
    save(folder / ".kept" / "0.png")
    save(folder / "beside.jpg")
    (folder / "labels.csv").write_text("id,label\n")
    os.mkfifo(folder / "dog" / "pipe.png")
    found, said = load(folder)
    assert len(found) == 4
    assert said == [
        f"image folder '{folder}': left out 2 hidden (first: '.kept'), 1 beside the "
        "class folders (first: 'beside.jpg'), 2 in sub-folders of a class (first: "
        "'cat/small/0.png'), 4 no image by name or content (first: 'dog/1.png.bak')"
    ]


def test_by_default_the_log_warns(folder, caplog):
    (folder / "dog" / "notes.txt").write_text("x")
    with caplog.at_level(logging.WARNING):
        data.load(str(folder.parent), "set")
    (record,) = caplog.records
    assert "left out 1 no image by name or content" in record.getMessage()


def test_suffixes_in_any_case_and_none(folder):
    for name in ("a.JPG", "b.jfif", "c.Tif", "d", "e.jpe", "f.PNG"):
        kind = {"c": "tiff", "f": "png"}.get(name[0], "jpeg")
        save(folder / "dog" / name, 200, format=kind)
    # Told by its content, not by its name.
    save(folder / "dog" / "g.jpg", 200, format="png")
    (folder / "dog" / "README").write_text("no image")
    found, said = load(folder)
    names = ("0.png", "1.png", "a.JPG", "b.jfif", "c.Tif", "d", "e.jpe", "f.PNG")
    assert found.ids.tolist()[2:] == [f"dog/{name}" for name in (*names, "g.jpg")]
    np.testing.assert_allclose(found.inputs[4:], 200, atol=1)
    assert said == [
        f"image folder '{folder}': left out 1 no image by name or content (first: "
        "'dog/README')"
    ]


def test_images_of_all_depths_become_alike(folder):
    ramp = np.linspace(0, 65535, 12).reshape(3, 4).astype(np.uint16)
    Image.fromarray(ramp).save(folder / "dog" / "16.png")
    Image.fromarray(np.float32(ramp / 65535)).save(folder / "dog" / "float.tif")
    found, _ = load(folder)
    at = {name: row for row, name in enumerate(found.ids.tolist())}
    want = np.rint(np.linspace(0, 255, 12)).reshape(3, 4)
    for name in ("dog/16.png", "dog/float.tif"):
        np.testing.assert_array_equal(found.inputs[at[name], ..., 1], want)


def test_an_orientation_turns_before_sizes_are_compared(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "dog" / "turned.jpg", size=(3, 4), exif=exif)
    assert load(folder)[0].inputs.shape == (5, 3, 4, 3)
    save(folder / "dog" / "other.jpg", size=(3, 4))
    with pytest.raises(ValueError, match=r"other.jpg' has shape \(4, 3, 3\), others"):
        load(folder)


def test_further_pictures_are_said_to_be_left(folder):
    frames = [Image.new("L", (4, 3), level) for level in (50, 60, 70)]
    frames[0].save(folder / "cat" / "a.gif", save_all=True, append_images=frames[1:])
    found, said = load(folder)
    assert (found.inputs[2] == 50).all()
    assert said == [
        f"image folder '{folder}': took the first picture only of 1 with several "
        "(first: 'cat/a.gif')"
    ]


def test_faults_are_known_before_the_first_image_is_decoded(folder, monkeypatch):
    def decode(path):
        raise AssertionError("decoded")

    monkeypatch.setattr(image_folder, "read_rgb", decode)
    save(folder / "dog" / "9.png", size=(9, 9))
    with pytest.raises(ValueError, match=r"9.png' has shape \(9, 9, 3\), others \(3,"):
        load(folder)
    (folder / "dog" / "9.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot read .*dog/9.png': it is damaged"):
        load(folder, image_size=8)
    (folder / "dog" / "9.png").unlink()
    (folder / "dog" / "9.png").symlink_to("absent.png")
    with pytest.raises(ValueError, match=r"cannot read .*dog/9.png': No such file"):
        load(folder)
    (folder / "dog" / "9.png").unlink()
    with pytest.raises(ValueError, match="path: 4 images of shape .* take .* GiB"):
        load(folder, image_size=2**31)


def test_names_that_are_not_utf8(folder):
    name = os.fsencode(folder / "dog") + b"/caf\xe9.png"
    (folder / "dog" / "1.png").rename(os.fsdecode(name))
    with pytest.raises(
        ValueError, match=r"path: the name of '.*caf\\udce9.png' is not"
    ):
        load(folder)
    os.rename(name, folder / "dog" / "1.png")
    os.rename(folder / "dog", os.fsencode(folder) + b"/d\xf6g")
    with pytest.raises(ValueError, match=r"path: the name of '.*d\\udcf6g/0.png'"):
        load(folder)


def test_a_path_that_is_not_utf8_can_be_printed(folder):
    other = os.fsdecode(os.fsencode(folder.parent) + b"/s\xe9t")
    folder.rename(other)
    found, said = load(other)
    assert found.name.endswith("/s\\udce9t")
    assert said == []


def test_an_empty_class_says_what_it_holds_instead(folder):
    (folder / "eel").mkdir()
    with pytest.raises(ValueError, match=r"class folder 'eel' holds no image \('"):
        load(folder)
    save(folder / "eel" / "train" / "0.png")
    (folder / "eel" / "a.txt").write_text("x")
    message = (
        r"class folder 'eel' holds no image; it holds 1 no image by name or content "
        r"\(first: 'eel/a.txt'\), 1 in sub-folders of a class \(first: "
        r"'eel/train/0.png'\) \('.*eel'\)"
    )
    with pytest.raises(ValueError, match=message):
        load(folder)
    # A folder of splits is not one of classes.
    with pytest.raises(ValueError, match=r"has 1 sub-folder"):
        load(folder.parent)


def test_classes_that_look_alike(folder, monkeypatch):
    monkeypatch.setattr(image_folder, "read_rgb", None)
    save(folder / "cafe\u0301" / "0.png")
    save(folder / "caf\xe9" / "0.png")
    with pytest.raises(ValueError, match="classes 0 and 1 are both called 'café'"):
        load(folder)
