"""Boxes beside images: checked, carried, scaled and cropped along."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import data


def _painted(boxes, height=20, width=24):
    """Images that are white exactly inside their (whole-pixel) boxes."""
    images = np.zeros((len(boxes), height, width, 1), np.uint8)
    for image, (x1, y1, x2, y2) in zip(images, np.asarray(boxes, int)):
        image[y1 : y2 + 1, x1 : x2 + 1] = 255
    return images


def _tight(images):
    found = []
    for image in np.asarray(images)[..., 0]:
        rows, columns = np.nonzero(image > 0.5 * 255 if image.max() > 1 else image)
        found.append([columns.min(), rows.min(), columns.max(), rows.max()])
    return np.asarray(found, np.float32)


@pytest.fixture
def located(rng):
    low = rng.integers(0, 10, (6, 2))
    boxes = np.concatenate([low, low + rng.integers(0, 10, (6, 2))], 1)
    dataset = data.make_dataset(
        _painted(boxes), np.arange(6) % 3, ids=[f"a{i}" for i in range(6)]
    )
    return data.make_located(dataset, boxes)


def test_make_and_take(located):
    assert located.boxes.dtype == np.float32
    np.testing.assert_array_equal(_tight(located.dataset.inputs), located.boxes)
    part = data.take_located(located, np.array([4, 1]))
    assert part.dataset.ids.tolist() == ["a4", "a1"]
    np.testing.assert_array_equal(part.boxes, located.boxes[[4, 1]])
    assert len(part) == 2


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([5, 3, 4, 6], "expected x1 <= x2"),
        ([3, 6, 4, 5], "expected y1 <= y2"),
        ([-1, 0, 4, 5], "inside the image, 0 … 23 by 0 … 19"),
        ([0, 0, 24, 5], "inside the image"),
        ([0, 0, 5, 20], "inside the image"),
        ([0, np.nan, 4, 5], "expected finite"),
    ],
)
def test_bad_boxes_name_the_first_id(located, box, message):
    boxes = located.boxes.copy()
    boxes[2:4] = box
    with pytest.raises(ValueError, match=rf"2 bad box.*first: id 'a2'.*{message}"):
        data.make_located(located.dataset, boxes)


def test_other_bad_parts(located):
    for bad in (located.boxes[:5], located.boxes[:, :3], located.boxes[0]):
        with pytest.raises(ValueError, match=r"boxes: got shape .*, expected \(6, 4\)"):
            data.make_located(located.dataset, bad)
    with pytest.raises(ValueError, match="expected numbers"):
        data.make_located(located.dataset, np.full((6, 4), "1"))
    flat = data.make_dataset(np.zeros((3, 4)), np.arange(3))
    with pytest.raises(ValueError, match=r"inputs: got shape \(3, 4\)"):
        data.make_located(flat, np.zeros((3, 4)))


def test_resize_doubles_boxes_with_their_pixels(located):
    big = data.resize_located(located, (40, 48))
    assert big.dataset.inputs.shape == (6, 40, 48, 1)
    np.testing.assert_array_equal(big.boxes, _tight(big.dataset.inputs))
    areas = np.prod(big.boxes[:, 2:] - big.boxes[:, :2] + 1, 1)
    pixels = (located.dataset.inputs > 0).sum((1, 2, 3))
    np.testing.assert_array_equal(areas, 4 * pixels)
    assert data.resize_located(located, (20, 24)) is located


def test_resize_keeps_one_pixel():
    boxes = np.array([[3, 7, 3, 7], [23, 19, 23, 19]])
    dataset = data.make_dataset(_painted(boxes), np.arange(2))
    small = data.resize_located(data.make_located(dataset, boxes), (5, 6))
    sides = small.boxes[:, 2:] - small.boxes[:, :2]
    np.testing.assert_array_equal(sides, 0)
    assert (small.boxes[1] == [5, 4, 5, 4]).all()
    with pytest.raises(ValueError, match="size: got 0"):
        data.resize_located(small, (0, 3))


def test_crop_moves_boxes_with_their_pixels(located):
    """Boxes in rows and columns 0 … 18: a 19 x 20 window shows part of each."""
    crop = jax.jit(data.random_crop_with_box, static_argnums=3)
    keys = jax.random.split(jax.random.key(0), 8)
    images, boxes = jax.vmap(
        lambda key: crop(
            key,
            jnp.asarray(located.dataset.inputs),
            jnp.asarray(located.boxes),
            (19, 20),
        )
    )(keys)
    assert images.shape == (8, 6, 19, 20, 1)
    assert images.dtype == boxes.dtype == jnp.float32
    flat = np.asarray(images).reshape(48, 19, 20, 1)
    lit = flat.any((1, 2, 3))
    assert lit.mean() > 0.7
    found = np.asarray(boxes).reshape(48, 4)
    np.testing.assert_array_equal(found[lit], _tight(flat[lit] * 255))
    assert len(np.unique(found[::6], axis=0)) > 3  # Each key its own window.


def test_crop_without_clipping_keeps_the_sides(located):
    args = (jnp.asarray(located.dataset.inputs), jnp.asarray(located.boxes), (8, 8))
    key = jax.random.key(1)
    _, free = data.random_crop_with_box(key, *args, clip=False)
    _, cut = data.random_crop_with_box(key, *args)
    sides = located.boxes[:, 2:] - located.boxes[:, :2]
    np.testing.assert_array_equal(free[:, 2:] - free[:, :2], sides)
    assert float(jnp.min(free)) < 0 or float(jnp.max(free)) > 7
    np.testing.assert_array_equal(cut, np.clip(free, 0, 7))


def test_bad_crops(located):
    key = jax.random.key(0)
    inputs, boxes = located.dataset.inputs, located.boxes
    with pytest.raises(ValueError, match="expected 1 … 20 by 1 … 24"):
        data.random_crop_with_box(key, inputs, boxes, (21, 8))
    with pytest.raises(ValueError, match=r"boxes: got shape \(5, 4\)"):
        data.random_crop_with_box(key, inputs, boxes[:5], (8, 8))
    with pytest.raises(ValueError, match="images: got shape"):
        data.random_crop_with_box(key, inputs[0], boxes, (8, 8))


def test_npz_round_trip(located, tmp_path):
    path = tmp_path / "boxes.npz"
    test = data.take_located(located, np.array([0, 1, 2]))
    data.save_located_npz(path, train=located, test=test)
    for split, want in (("train", located), ("test", test)):
        got = data.load_located_npz(path, split)
        np.testing.assert_array_equal(got.boxes, want.boxes)
        np.testing.assert_array_equal(got.dataset.inputs, want.dataset.inputs)
        assert got.dataset.ids.tolist() == want.dataset.ids.tolist()
    assert len(data.load_npz(path, "train")) == 6


def test_bad_npz(located, tmp_path):
    path = tmp_path / "plain.npz"
    data.save_npz(path, train=located.dataset)
    with pytest.raises(ValueError, match="lacks train_boxes; it holds class_names"):
        data.load_located_npz(path)
    with pytest.raises(ValueError, match="splits: got none"):
        data.save_located_npz(path)
    bare = {"inputs": located.dataset.inputs, "labels": located.dataset.labels}
    np.savez(path, **bare, boxes=located.boxes[:, ::-1])
    with pytest.raises(ValueError, match="bad box"):
        data.load_located_npz(path)
