"""Every source of data, on real or freshly written files."""

import numpy as np
import pytest
from PIL import Image

from robustjax import data


def test_digits_are_the_same_everywhere():
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    assert not set(train.ids) & set(test.ids)
    assert train.inputs.shape == (1437, 8, 8, 1)
    assert train.inputs.dtype == np.uint8
    assert train.inputs.max() == 255
    counts = [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    np.testing.assert_array_equal(np.bincount(test.labels), counts)
    assert np.setdiff1d(np.arange(30), train.ids).tolist() == [21, 24, 28]


@pytest.fixture
def npz(tmp_path):
    train, test = data.load("digits", "train"), data.load("digits", "test")
    data.save_npz(tmp_path / "digits.npz", train=train, test=test)
    return tmp_path / "digits.npz"


def test_npz_round_trip(npz):
    for split in ("train", "test"):
        got, want = data.load(str(npz), split), data.load("digits", split)
        for part in ("inputs", "labels", "ids"):
            np.testing.assert_array_equal(getattr(got, part), getattr(want, part))
        assert got.class_names == want.class_names


def test_npz_of_features_without_prefix(tmp_path, rng):
    features = rng.normal(size=(9, 4)).astype(np.float32)
    np.savez(tmp_path / "f.npz", inputs=features, labels=np.arange(9) % 3)
    got = data.load_npz(tmp_path / "f.npz")
    np.testing.assert_array_equal(got.inputs, features)
    assert got.ids.tolist() == list(range(9))


def test_bad_npz(npz, tmp_path):
    with pytest.raises(
        ValueError, match="lacks valid_inputs and valid_labels; it hold"
    ):
        data.load(str(npz), "valid")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(npz.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot read .*broken.npz"):
        data.load(str(broken), "train")
    with pytest.raises(ValueError, match="cannot read .*absent.npz"):
        data.load(str(tmp_path / "absent.npz"), "train")


@pytest.fixture
def folder(tmp_path, rng):
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (5, 4, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{i}.png")
    return tmp_path


def test_image_folder(folder):
    got = data.load(str(folder), "train")
    assert got.inputs.shape == (6, 5, 4, 3)
    assert got.class_names == ("cat", "dog")
    assert got.ids.tolist()[3:] == ["dog/0.png", "dog/1.png", "dog/2.png"]
    want = np.asarray(Image.open(folder / "train" / "dog" / "1.png"))
    np.testing.assert_array_equal(got.inputs[4], want)


def test_image_folder_resizes(folder):
    Image.new("L", (9, 9)).save(folder / "train" / "cat" / "grey.png")
    with pytest.raises(ValueError, match=r"has shape .*; give image_size"):
        data.load(str(folder), "train")
    got = data.load(str(folder), "train", image_size=8)
    assert got.inputs.shape == (7, 8, 8, 3)


def test_bad_image_folders(folder):
    with pytest.raises(ValueError, match="split: got 'test', but .* has only 'train'"):
        data.load(str(folder), "test")
    (folder / "train" / "dog" / "0.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"cannot read .*0.png"):
        data.load(str(folder), "train")
    (folder / "train" / "empty").mkdir()
    for file in (folder / "train" / "dog").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="class folder 'dog' holds no image"):
        data.load(str(folder), "train")


def test_a_folder_of_classes_is_all_train(folder):
    whole = data.load(str(folder / "train"), "train")
    assert whole.ids.tolist() == data.load(str(folder), "train").ids.tolist()
    assert whole.class_names == ("cat", "dog")
    with pytest.raises(ValueError, match="split: got 'test', but .* no splits"):
        data.load(str(folder / "train"), "test")


def test_images_without_labels_are_found_however_deep(folder):
    (folder / "train" / "notes.txt").write_text("x")
    (folder / "train" / ".hidden.png").write_bytes(b"x")
    (folder / "train" / ".DS_Store").write_bytes(b"x")
    Image.new("RGB", (4, 5), "red").save(folder / "train" / "ein Bild №.png")
    said = []
    found = data.load_unlabeled_images(folder, report=said.append)
    names = [f"train/{c}/{i}.png" for c in ("cat", "dog") for i in range(3)]
    assert found.ids.tolist() == [*names, "train/ein Bild №.png"]
    assert found.inputs[6].tolist() == np.full((5, 4, 3), [255, 0, 0]).tolist()
    assert found.class_names == ("unlabeled",)
    assert len(said) == 1
    assert "left out 2 hidden or no image (first: 'train/.hidden.png')" in said[0]
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="path: no image below"):
        data.load_unlabeled_images(folder / "empty")
    with pytest.raises(ValueError, match="path: .* is not a folder"):
        data.load_unlabeled_images(folder / "absent")


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(ValueError, match="is neither an .npz file nor a folder"):
        data.load(str(tmp_path / "absent"), "train")
    with pytest.raises(ValueError, match="expected 'train' or 'test' for digits"):
        data.load("digits", "validation")
    with pytest.raises(ValueError, match="data_dir: .* is not a folder"):
        data.load("mnist", "train", data_dir=str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="tfds knows no 'mnits'"):
        data.load("mnits", "train", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match="'mnist' is not prepared under"):
        data.load("mnist", "train", data_dir=str(tmp_path))


@pytest.mark.data
def test_tfds_mnist_without_tensorflow(data_dir):
    import sys

    got = data.load("mnist", "test[100:160]", data_dir=str(data_dir / "tfds"))
    assert "tensorflow" not in sys.modules
    assert got.inputs.shape == (60, 28, 28, 1)
    assert got.ids[0] == "test/00100"
    order = np.load(data_dir / "order" / "mnist_test.npy")
    original = np.load(data_dir / "label_errors" / "mnist_test_set_original_labels.npy")
    np.testing.assert_array_equal(got.labels, original[order[100:160]])
    with pytest.raises(ValueError, match=r"it has train \(60000\), test \(10000\)"):
        data.load("mnist", "valid", data_dir=str(data_dir / "tfds"))


@pytest.mark.data
def test_cifar10_ids_join_labels_that_come_in_another_order(data_dir):
    got = data.load("cifar10", "test[:200]", data_dir=str(data_dir / "tfds"))
    original = np.load(
        data_dir / "label_errors" / "cifar10_test_set_original_labels.npy"
    )
    mine = [int(name.removeprefix("test_")) for name in got.ids]
    data.check_clean_labels(got, original[mine], name="label_errors")
    with pytest.raises(ValueError, match="clean labels disagree"):
        data.check_clean_labels(got, original[:200], name="label_errors")


@pytest.mark.slow
@pytest.mark.data
def test_cifar10_n_label_sets(data_dir):
    """Human labels of the first 2,000 training images (methods note 1.6)."""
    keys = ["label", "worse_label", *(f"random_label{i}" for i in (1, 2, 3))]
    sets = {
        key: data.load(
            "cifar10_n",
            "train[:2000]",
            data_dir=str(data_dir / "tfds"),
            label_key=key,
        )
        for key in keys
    }
    clean = sets["label"].labels
    wrong = {key: d.labels != clean for key, d in sets.items()}
    assert abs(wrong["worse_label"].mean() - 0.40208) < 0.04
    assert abs(wrong["random_label1"].mean() - 0.17234) < 0.03
    any_random = np.logical_or.reduce([wrong[f"random_label{i}"] for i in (1, 2, 3)])
    np.testing.assert_array_equal(wrong["worse_label"], any_random)
    with pytest.raises(ValueError, match="label_key: unknown 'worst'"):
        data.load(
            "cifar10_n", "train[:5]", data_dir=str(data_dir / "tfds"), label_key="worst"
        )


def test_a_tfds_feature_of_fractions_is_no_label():
    from robustjax.data._tfds_source import _read

    features = {"image": None, "score": None, "is_old": None}
    source = [
        {"image": np.zeros((2, 2, 1), np.uint8), "score": s, "is_old": s > 0.5}
        for s in np.float32([0.2, 0.7])
    ]
    _, labels, _ = _read(source, features, "is_old", "faces")
    np.testing.assert_array_equal(labels, [0, 1])
    with pytest.raises(ValueError, match="label_key: got float32, expected integer"):
        _read(source, features, "score", "faces")
