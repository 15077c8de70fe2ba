"""Files of arrays as people have them: the right values or one line."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from robustjax import data
from robustjax.data import read_arrays
from robustjax.data._names import check_class_names

X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.arange(6) % 3
NAMES = np.array(["cat", "dog", "eel"])


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", ["<f2", ">f4", ">f8", ">i2", "<u4", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_layout_gives_its_values(tmp_path, dtype, order):
    x = np.asarray(X, dtype, order=order)
    path = save(tmp_path / "a.npz", inputs=x, labels=Y.astype(">i8"))
    got = data.load_npz(path)
    np.testing.assert_array_equal(got.inputs, X.astype(dtype))
    assert got.inputs.dtype == x.dtype.newbyteorder("=")
    assert got.inputs.dtype.isnative
    np.testing.assert_array_equal(got.labels, Y)


def test_an_npy_file_and_an_npz_file_are_told_by_content(tmp_path):
    np.save(tmp_path / "a.npy", X)
    os.rename(tmp_path / "a.npy", tmp_path / "a.npz")
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz", "x")["x"], X)
    with pytest.raises(ValueError, match="lacks train_inputs and train_labels; it hol"):
        data.load_npz(tmp_path / "a.npz")


RECORDS = np.zeros(6, [("width", float), ("height", float)])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": X.astype(object)}, "path: cannot read .*'inputs' holds Python obj"),
        ({"labels": Y.astype(object)}, "path: cannot read .*'labels' holds Python obj"),
        ({"inputs": RECORDS}, "'inputs' holds records of width, height, expected num"),
        ({"inputs": X[:, :0]}, r"inputs: got shape \(6, 0\)"),
        ({"inputs": X[:0], "labels": Y[:0]}, "labels: got no labels"),
        ({"inputs": X.astype("M8[s]")}, r"inputs: got datetime64\[s\], expected"),
        ({"inputs": X.astype(str)}, "inputs: got str.*, expected integers, floats"),
        ({"inputs": X.astype(complex)}, "inputs: got complex"),
        ({"inputs": np.float32(1)}, r"inputs: got shape \(\), expected"),
        ({"labels": np.int64(1)}, r"labels: got shape \(\)"),
        ({"labels": Y.astype(float)}, "labels: got float64, expected integer"),
        ({"labels": NAMES[Y]}, "labels: got str.*, expected integer"),
        ({"labels": Y[:5]}, "lengths differ"),
        ({"ids": Y}, "ids: 3 id.* occur more than once"),
        (
            {"ids": np.array(["a", "b", "c", "d", "e", "\udce9"])},
            "ids: 1 value.* not UT",
        ),
        ({"class_names": NAMES[[0, 1, 0]]}, "classes 0 and 2 are both called 'cat'"),
        ({"class_names": np.array(["cat", "cat ", "x"])}, "0 and 1 are both called"),
        (
            {"class_names": np.array(["a\u0301", "\xe1", "x"])},
            "0 and 1 are both called",
        ),
        ({"class_names": np.array(["cat", " ", "x"])}, "the name of class 1 is blank"),
        (
            {"class_names": np.array("cat")},
            "class_names: got an .* expected a sequence",
        ),
        ({"class_names": NAMES[:, None]}, "class_names: got an .* expected a sequence"),
        ({"class_names": np.arange(3.0)}, "class_names: got 0.0 for class 0, expected"),
        (
            {"class_names": np.array([b"a", b"\xe9", b"c"])},
            "class 1, b'.xe9', is not UT",
        ),
        ({"train_inputs": X}, "'.*' holds both inputs and train_inputs, expected one"),
        ({"train_ids": Y}, "holds train_ids and inputs, expected train_ before both"),
        ({"train_class_names": NAMES, "class_names": NAMES}, "holds both class_names"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, arrays, message):
    path = save(tmp_path / "a.npz", **{"inputs": X, "labels": Y, **arrays})
    with pytest.raises(ValueError, match=message) as error:
        data.load_npz(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", ["u2", "i8", ">i4", "i1"])
def test_integer_images_must_say_what_is_white(tmp_path, dtype):
    images = np.zeros((6, 2, 2, 1), dtype)
    path = save(tmp_path / "a.npz", inputs=images, labels=Y)
    with pytest.raises(ValueError, match=r"inputs: got u?int\d+ of shape \(6, 2, 2, 1"):
        data.load_npz(path)
    for good in (images.astype(np.uint8), images.astype(bool), images.astype("f4")):
        assert data.make_dataset(good, Y).inputs.dtype == good.dtype
    # Counts and other numbers are no images.
    native = images.dtype.newbyteorder("=")
    assert data.make_dataset(images[..., 0], Y).inputs.dtype == native


def test_what_is_not_asked_for_may_be_anything(tmp_path):
    path = save(tmp_path / "a.npz", inputs=X, labels=Y, notes=X.astype(object))
    assert len(data.load_npz(path)) == 6


def test_names_as_bytes_and_numbers(tmp_path):
    path = save(tmp_path / "a.npz", inputs=X, labels=Y, class_names=NAMES.astype("S3"))
    assert data.load_npz(path).class_names == tuple(NAMES)
    assert check_class_names(np.array([3, 1])) == ("3", "1")
    with pytest.raises(ValueError, match="expected a sequence"):
        check_class_names("cat")


def test_archives_that_are_no_npz(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inputs", b"no array")
    with pytest.raises(ValueError, match="cannot read .*'inputs' is no array"):
        read_arrays(path, "features")
    whole = save(tmp_path / "b.npz", inputs=X, labels=Y).read_bytes()
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(tmp_path / "b.npz", "a") as archive,
    ):
        archive.writestr("labels.npy", archive.read("labels.npy"))
    with pytest.raises(ValueError, match="it holds 2 arrays called 'labels'"):
        data.load_npz(tmp_path / "b.npz")
    np.save(tmp_path / "o.npy", X.astype(object), allow_pickle=True)
    for content in (b"", b"text", whole[:200], (tmp_path / "o.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="features: cannot read .*a.npz' as "):
            read_arrays(path, "features")
    with pytest.raises(ValueError, match="features: cannot read .*: Is a directory"):
        read_arrays(tmp_path, "features")


def test_damage_is_named(tmp_path, rng):
    path = save(tmp_path / "a.npz", inputs=X, labels=Y)
    whole = path.read_bytes()
    refused = []
    for _ in range(200):
        content = bytearray(whole)
        content[int(rng.integers(len(whole)))] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(content))
        try:
            got = data.load_npz(path)
        except ValueError as error:
            refused.append(str(error))
        else:
            # Only in parts that say nothing about the arrays, such as dates.
            np.testing.assert_array_equal(got.inputs, X)
            np.testing.assert_array_equal(got.labels, Y)
    assert len(refused) > 100
    assert all(text.startswith("path: ") and "\n" not in text for text in refused)


def test_boxes_with_and_without_the_prefix(tmp_path):
    images = np.zeros((3, 4, 4, 3), np.uint8)
    boxes = np.tile([0, 0, 2, 2], (3, 1)).astype(">f8")
    arrays = {"inputs": images, "labels": np.arange(3), "boxes": boxes}
    found = data.load_located_npz(save(tmp_path / "a.npz", **arrays))
    np.testing.assert_array_equal(found.boxes, boxes)
    path = save(tmp_path / "b.npz", **arrays, train_boxes=boxes)
    with pytest.raises(ValueError, match="holds both boxes and train_boxes"):
        data.load_located_npz(path)
    arrays["boxes"] = boxes.astype(object)
    with pytest.raises(ValueError, match="'boxes' holds Python objects"):
        data.load_located_npz(save(tmp_path / "c.npz", **arrays))


def test_saving_replaces_a_file_whole_or_not_at_all(tmp_path, monkeypatch):
    dataset = data.make_dataset(X, Y, class_names=NAMES)
    data.save_npz(tmp_path / "set", train=dataset)
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]
    before = (tmp_path / "set.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        data.save_npz(tmp_path / "set.npz", train=dataset)
    assert (tmp_path / "set.npz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]
