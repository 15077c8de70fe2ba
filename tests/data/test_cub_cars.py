"""Birds and cars through a stand-in for their tfds builders."""

import types

import numpy as np
import pytest

from robustjax import data

tfds = pytest.importorskip("tensorflow_datasets")


class _Features(dict):
    """Keys of a tfds feature dictionary with a class label."""

    def __init__(self, keys, names):
        super().__init__(dict.fromkeys(keys))
        self["label"] = types.SimpleNamespace(num_classes=len(names), names=names)


class _Builder:
    """What the loaders use of a prepared tfds builder."""

    def __init__(self, name, records, names, splits=("train", "test")):
        features = _Features(records[0], names)
        self.info = types.SimpleNamespace(
            name=name, splits=dict.fromkeys(splits), features=features
        )
        self.data_path = f"/somewhere/{name}"
        self._records = records

    def as_data_source(self, split, decoders):
        assert split in self.info.splits
        assert set(decoders) <= set(self.info.features)
        return [
            {key: b"encoded" if key in decoders else r[key] for key in r}
            for r in self._records
        ]


def _image(height, width, corners):
    """White inside 0-based inclusive corners (x1, y1, x2, y2)."""
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = corners
    image[y1 : y2 + 1, x1 : x2 + 1] = 255
    return image


@pytest.fixture
def birds(monkeypatch):
    """Two of three classes' images in shuffled order; boxes as (x, y, w, h)."""
    records = []
    for label, number in [(1, 7), (0, 3), (1, 2), (0, 1), (2, 4), (0, 2), (2, 9)]:
        x, y, w, h = 10 * label + 2, number, 8, 4
        height, width = 40, 60 if number % 2 else 40
        box = np.array([y / height, x / width, (y + h) / height, (x + w) / width])
        kind = ("albatross", "crow", "wren")[label]
        name = f"CUB/images/00{label + 1}.{kind}/{kind}_{number:04d}.jpg"
        records.append(
            {
                "image": _image(height, width, (x, y, x + w - 1, y + h - 1)),
                "image/filename": name.encode(),
                "label": label,
                "label_name": kind.encode(),
                "bbox": box.astype(np.float32),
                "segmentation_mask": None,
            }
        )
    builder = _Builder("caltech_birds2011", records, ["0", "1", "2"])
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    return builder


def _tight(images):
    found = []
    for image in images[..., 0]:
        rows, columns = np.nonzero(image > 127)
        found.append([columns.min(), rows.min(), columns.max(), rows.max()])
    return np.asarray(found, np.float32)


def test_birds(birds):
    got = data.load_cub200("train", image_size=80)
    assert got.dataset.inputs.shape == (7, 80, 80, 3)
    assert got.dataset.class_names == ("albatross", "crow", "wren")
    assert got.dataset.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert got.dataset.ids[:4].tolist() == [
        "001.albatross/albatross_0001.jpg",
        "001.albatross/albatross_0002.jpg",
        "001.albatross/albatross_0003.jpg",
        "002.crow/crow_0002.jpg",
    ]
    # Different widths were stretched by different factors.
    np.testing.assert_allclose(got.boxes, _tight(got.dataset.inputs), atol=1)
    want = [2 * 80 / 40, 2 * 80 / 40, 10 * 80 / 40 - 1, 6 * 80 / 40 - 1]
    np.testing.assert_allclose(got.boxes[1], want, rtol=1e-5)


def test_few_birds_per_class(birds, tmp_path):
    got = data.load_cub200("train", image_size=16, per_class=2)
    numbers = [int(name[-8:-4]) for name in got.dataset.ids]
    assert numbers == [1, 2, 2, 7, 4, 9]
    listed = tmp_path / "images.txt"
    names = [
        "001.albatross/albatross_0003.jpg",
        "001.albatross/albatross_0001.jpg",
        "001.albatross/albatross_0002.jpg",
        "002.crow/crow_0007.jpg",
        "002.crow/crow_0002.jpg",
        "003.wren/wren_0004.jpg",
        "003.wren/wren_0009.jpg",
    ]
    listed.write_text("".join(f"{i} {name}\n" for i, name in enumerate(names, 1)))
    got = data.load_cub200("train", image_size=16, per_class=1, list_file=listed)
    assert got.dataset.ids.tolist() == [names[0], names[3], names[5]]
    listed.write_text("1 001.albatross/albatross_0003.jpg\n")
    with pytest.raises(ValueError, match=r"list_file: 6 image\(s\) are not in"):
        data.load_cub200("train", image_size=16, list_file=listed)
    listed.write_text("1 a/b c.jpg\n2 a/d.jpg\n\n3 a/b c.jpg\n")
    with pytest.raises(ValueError, match="names 'a/b c.jpg' in lines 1 and 4, expecte"):
        data.load_cub200("train", image_size=16, list_file=listed)
    listed.write_bytes(b"1 a/\xe9.jpg\n")
    with pytest.raises(ValueError, match="list_file: cannot read .*: not UTF-8 text"):
        data.load_cub200("train", image_size=16, list_file=listed)
    with pytest.raises(ValueError, match="list_file: cannot read"):
        data.load_cub200("train", image_size=16, list_file=tmp_path / "absent")
    with pytest.raises(ValueError, match="class 1 has only 2 images in 'train'"):
        data.load_cub200("train", image_size=16, per_class=3)


@pytest.fixture
def cars(monkeypatch):
    """Boxes as Matlab has them: pixels counted from one, both corners included."""
    records = []
    for label, number in [(1, 3), (0, 1), (1, 4), (0, 2)]:
        corners = np.array([number, number + 1, 20, 15])
        x1, y1, x2, y2 = corners
        box = np.array([y1 / 15, x1 / 20, y2 / 15, x2 / 20], np.float32)
        records.append(
            {
                "image": _image(15, 20, corners - 1),
                "label": label,
                "bbox": box,
                "id": f"{number:05d}".encode(),
            }
        )
    builder = _Builder("cars196", records, ["Audi", "Volvo"])
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    return builder


def test_cars(cars):
    got = data.load_cars("test", image_size=60)
    assert got.dataset.ids.tolist() == ["00001", "00002", "00003", "00004"]
    assert got.dataset.labels.tolist() == [0, 0, 1, 1]
    assert got.dataset.class_names == ("Audi", "Volvo")
    np.testing.assert_allclose(got.boxes, _tight(got.dataset.inputs), atol=0.01)
    # The first pixel of 20 by 15 becomes pixels 0 … 2 across, 4 … 7 down.
    np.testing.assert_allclose(got.boxes[0], [0, 4, 59, 59], atol=1e-3)


def test_first_cars(cars):
    got = data.load_cars("train", image_size=8, count=1)
    assert got.dataset.ids.tolist() == ["00001"]
    assert got.dataset.num_classes == 2
    with pytest.raises(ValueError, match="count: got 5, expected at most the 4"):
        data.load_cars("train", image_size=8, count=5)
    with pytest.raises(ValueError, match="count: got 0"):
        data.load_cars("train", count=0)


def test_not_prepared(tmp_path):
    for load, name in (
        (data.load_cub200, "caltech_birds2011"),
        (data.load_cars, "cars196"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' is not prepared under"):
            load("train", str(tmp_path))
        with pytest.raises(ValueError, match="data_dir: .* is not a folder"):
            load("train", str(tmp_path / "absent"))
        with pytest.raises(ValueError, match="split: unknown 'valid'"):
            load("valid", str(tmp_path))


@pytest.mark.data
def test_images_stay_encoded_while_names_are_read(data_dir):
    """The loaders' way of reading, on a tfds set that is there."""
    from robustjax.data import _cub_cars as cub_cars

    builder = tfds.builder("cifar10", data_dir=str(data_dir / "tfds"))
    encoded = cub_cars._read(builder, "test[:3]", decode_images=False)
    assert isinstance(encoded[1]["image"], bytes)
    decoded = cub_cars._read(builder, "test[:3]", decode_images=True)
    assert decoded[1]["image"].shape == (32, 32, 3)
    fields = cub_cars._read_fields(builder, "test[:3]", ("id", "label"))
    assert [set(record) for record in fields] == [{"id", "label"}] * 3
