"""Digits on backgrounds: boxes, correlations and OOD images as described."""

import numpy as np
import pytest

from robustjax import data


def _digits(count=40, classes=4):
    """White bars, as wide as their class plus two, six high."""
    labels = np.arange(count) % classes
    images = np.zeros((count, 12, 12, 1), np.uint8)
    for image, label in zip(images, labels):
        image[3:9, 2 : 4 + label] = 255
    return data.make_dataset(images, labels, ids=[f"d{i}" for i in range(count)])


def _backgrounds(count=400, classes=4, level=60):
    """Flat images that differ in one channel only, so that each is recognised."""
    labels = np.arange(count) % classes
    images = np.full((count, 16, 16, 3), level, np.uint8)
    images[..., 2] = (np.arange(count) % 50 + level)[:, None, None]
    ids = [f"b{i}" for i in range(count)]
    return data.make_dataset(images, labels, ids=ids)


def _compose(seed=0, **changes):
    arguments = {"count": 200, "size": 24, "class_correlation": 0.9, **changes}
    rng = np.random.default_rng(seed)
    return data.compose_digits(_digits(), _backgrounds(), rng=rng, **arguments)


def test_boxes_are_tight():
    """Backgrounds are 60 in red, so what differs is the digit, all of it."""
    made = _compose()
    images = made.located.dataset.inputs
    assert images.shape == (200, 24, 24, 3)
    assert images.dtype == np.uint8
    for image, box in zip(images[..., 0], made.located.boxes):
        rows, columns = np.nonzero(image != 60)
        found = [columns.min(), rows.min(), columns.max(), rows.max()]
        np.testing.assert_array_equal(box, found)


def test_the_ink_of_a_digit():
    """A bar of one level: its inside is opaque, 0.7 lighter than the mean luma."""
    made = _compose(size=48, digit_scale=(0.5, 0.5))
    bars = made.located.dataset.labels == 3
    images = made.located.dataset.inputs[bars].astype(float)
    rows = data.rows_of(_backgrounds(), np.unique(made.background_ids[bars]))
    blue = _backgrounds().inputs[rows][:, 0, 0, 2] / 255
    luma = 0.886 * 60 / 255 + 0.114 * blue
    ink = images.max((1, 2, 3)) / 255
    assert luma.min() + 0.7 - 0.01 <= ink.min()
    assert ink.max() <= luma.max() + 0.7 + 0.01


def test_digit_scale_and_aspect():
    made = _compose(digit_scale=(0.5, 0.75))
    sides = made.located.boxes[:, 2:] - made.located.boxes[:, :2] + 1
    # All bars are higher than wide or square: 6 by 2 … 5.
    assert sides[:, 1].min() >= 11
    assert sides[:, 1].max() <= 18
    labels = made.located.dataset.labels
    aspect = sides[:, 0] / sides[:, 1]
    means = [aspect[labels == c].mean() for c in range(4)]
    np.testing.assert_allclose(means, np.arange(2, 6) / 6, atol=0.05)


@pytest.mark.parametrize("correlation", [0.0, 0.25, 0.9, 1.0])
def test_class_correlation(correlation):
    made = _compose(count=2000, size=8, class_correlation=correlation)
    labels = made.located.dataset.labels
    assert np.bincount(labels).tolist() == [500] * 4
    joint = np.zeros((4, 4))
    np.add.at(joint, (labels, made.background_class), 1 / 500)
    want = np.full((4, 4), (1 - correlation) / 3)
    np.fill_diagonal(want, correlation)
    np.testing.assert_allclose(joint, want, atol=0.08)
    if correlation in (0.0, 1.0):
        np.testing.assert_allclose(np.diag(joint), correlation, atol=1e-9)


def _quadrants(made, size):
    middle = (made.located.boxes[:, :2] + made.located.boxes[:, 2:] + 1) / 2
    right, low = (middle - size / 2).T
    # A centre on the border belongs to both sides.
    return [
        ((low <= 0) if q < 2 else (low >= 0))
        & ((right <= 0) if q % 2 == 0 else (right >= 0))
        for q in range(4)
    ]


def test_position_correlation():
    always = _compose(position_correlation=1.0, count=400)
    hit = np.stack(_quadrants(always, 24))
    assert hit[always.background_class, np.arange(400)].all()
    free = _compose(position_correlation=0.0, count=400)
    hit = np.stack(_quadrants(free, 24))
    share = hit[free.background_class, np.arange(400)].mean()
    assert 0.2 < share < 0.4


def test_backgrounds_are_used_once_and_apart_from_ood():
    made = _compose(count=80, class_correlation=0.25, ood_count=150)
    assert made.background_crops.shape == (150, 24, 24, 3)
    used, crops = set(made.background_ids), set(made.background_crop_ids)
    assert len(used) == 80
    assert len(crops) == 150
    assert not used & crops
    backgrounds = _backgrounds()
    rows = data.rows_of(backgrounds, made.background_crop_ids)
    np.testing.assert_array_equal(
        made.background_crops[:, 0, 0], backgrounds.inputs[rows][:, 0, 0]
    )
    rows = data.rows_of(backgrounds, made.background_ids)
    np.testing.assert_array_equal(backgrounds.labels[rows], made.background_class)
    rows = data.rows_of(_digits(), np.unique(made.digit_ids))
    assert len(rows) == 40  # Every digit occurs before any occurs again.


def test_backgrounds_are_reused_evenly_when_they_run_out():
    made = _compose(count=800, class_correlation=1.0)
    _, counts = np.unique(made.background_ids, return_counts=True)
    assert (counts == 2).all()
    assert len(counts) == 400


def test_ink_stands_out_of_any_background():
    for level in (10, 120, 200):
        made = data.compose_digits(
            _digits(),
            _backgrounds(level=level),
            count=40,
            size=24,
            rng=np.random.default_rng(0),
            class_correlation=0.25,
        )
        red = made.located.dataset.inputs[..., 0].astype(int)
        assert abs(red - level).max((1, 2)).min() >= 0.49 * 255


def test_same_seed_same_set():
    first, second = _compose(ood_count=5), _compose(ood_count=5)
    other = _compose(seed=1, ood_count=5)
    for part in ("inputs", "labels", "ids"):
        np.testing.assert_array_equal(
            getattr(first.located.dataset, part), getattr(second.located.dataset, part)
        )
    np.testing.assert_array_equal(first.located.boxes, second.located.boxes)
    assert (first.located.boxes != other.located.boxes).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 3}, "count: got 3, expected an integer >= 4"),
        ({"size": 4}, "size: got 4"),
        ({"class_correlation": 1.2}, "class_correlation: got 1.2"),
        ({"position_correlation": -0.1}, "position_correlation: got -0.1"),
        ({"contrast": 0.0}, "contrast: got 0.0"),
        ({"digit_scale": (0.6, 0.3)}, "digit_scale: got"),
        ({"ood_count": -1}, "ood_count: got -1"),
        ({"ood_count": 400}, "backgrounds: class '0' has no image left"),
    ],
)
def test_bad_values(changes, message):
    with pytest.raises(ValueError, match=message):
        _compose(**changes)


def test_bad_sets():
    digits, backgrounds = _digits(), _backgrounds()
    rest = {"count": 20, "size": 16, "class_correlation": 0.5}

    def compose(digits, backgrounds):
        rng = np.random.default_rng(0)
        return data.compose_digits(digits, backgrounds, rng=rng, **rest)

    with pytest.raises(ValueError, match=r"digits: got 3 channel\(s\), expected 1"):
        compose(backgrounds, backgrounds)
    with pytest.raises(ValueError, match=r"backgrounds: got 1 channel\(s\)"):
        compose(digits, digits)
    with pytest.raises(ValueError, match="got 3 classes, expected 4 as in digits"):
        compose(digits, _backgrounds(classes=3))
    empty = digits.inputs.copy()
    empty[7] = 0
    blank = data.make_dataset(empty, digits.labels, ids=digits.ids)
    with pytest.raises(ValueError, match="digits: id 'd7' shows no stroke"):
        data.compose_digits(
            blank,
            backgrounds,
            count=40,
            size=16,
            class_correlation=1.0,
            rng=np.random.default_rng(0),
        )
    floats = data.make_dataset(digits.inputs / 255, digits.labels)
    with pytest.raises(ValueError, match="digits: got float64, expected .* uint8"):
        compose(floats, backgrounds)


@pytest.mark.data
def test_mnist_on_cifar(data_dir):
    tfds = str(data_dir / "tfds")
    digits = data.load("mnist", "train[:200]", data_dir=tfds)
    backgrounds = data.load("cifar10", "train[:300]", data_dir=tfds)
    made = data.compose_digits(
        digits,
        backgrounds,
        count=100,
        size=32,
        rng=np.random.default_rng(0),
        class_correlation=0.9,
        ood_count=100,
    )
    inputs = made.located.dataset.inputs
    plain = backgrounds.inputs[data.rows_of(backgrounds, made.background_ids)]
    changed = (inputs != plain).any(-1)
    for mask, (x1, y1, x2, y2) in zip(changed, made.located.boxes.astype(int)):
        inside = np.zeros((32, 32), bool)
        inside[y1 : y2 + 1, x1 : x2 + 1] = True
        assert not (mask & ~inside).any()
        assert mask[y1 : y2 + 1, x1 : x2 + 1].mean() > 0.2
    np.testing.assert_array_equal(
        made.background_crops,
        backgrounds.inputs[data.rows_of(backgrounds, made.background_crop_ids)],
    )
