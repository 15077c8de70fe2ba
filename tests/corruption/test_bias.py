"""Bias attributes, colours and corruptions as published, and bad arguments."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest

from robustjax import corruption
from robustjax.corruption import _bias

from .pictures import pictures

KEY = jax.random.key(0)
MNIST_TRAIN = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
MNIST_TEST = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
CIFAR_TRAIN = (5000,) * 10
DIAGONAL = np.eye(10, dtype=bool)


def shuffled(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(0).permutation(labels)


def cells(labels, bias):
    return np.bincount(labels * 10 + bias, minlength=100).reshape(10, 10)


@pytest.mark.parametrize(
    ("counts", "ratio", "aligned", "per_class", "per_cell"),
    [
        (MNIST_TRAIN, 0.95, 57_000, (271, 337), None),
        (MNIST_TRAIN, 0.98, 58_801, (108, 135), None),
        (MNIST_TRAIN, 0.99, 59_402, (54, 67), None),
        (MNIST_TRAIN, 0.995, 59_700, (27, 34), None),
        (CIFAR_TRAIN, 0.95, 47_500, (250, 250), (27, 28)),
        (CIFAR_TRAIN, 0.98, 49_000, (100, 100), (11, 12)),
        (CIFAR_TRAIN, 0.99, 49_500, (50, 50), (5, 6)),
        (CIFAR_TRAIN, 0.995, 49_750, (25, 25), (2, 3)),
        (MNIST_TEST, 0.1, 1000, None, (89, 114)),
        ((1000,) * 10, 0.1, 1000, (900, 900), (100, 100)),
    ],
)
@pytest.mark.parametrize("assignment", ["file_order", "random"])
def test_counts_are_the_published_ones(
    counts, ratio, aligned, per_class, per_cell, assignment
):
    labels = shuffled(counts)
    key = KEY if assignment == "random" else None
    bias = corruption.assign_bias(labels, ratio, 10, assignment=assignment, key=key)
    assert bias.dtype == np.int32
    found = cells(labels, bias)
    assert np.diag(found).sum() == aligned
    conflicting = found.sum(axis=1) - np.diag(found)
    if per_class is not None:
        assert (conflicting.min(), conflicting.max()) == per_class
    if per_cell is not None:
        other = found if ratio == 0.1 else found[~DIAGONAL]
        assert (other.min(), other.max()) == per_cell


def test_file_order_is_the_rule_of_the_milestones():
    labels = shuffled((30, 47, 20))
    bias = corruption.assign_bias(labels, 0.8, 3)
    for label in range(3):
        mine = bias[labels == label]
        shares = [0.8 if j == label else 0.1 for j in range(3)]
        ends = [round(len(mine) * sum(shares[: k + 1])) for k in range(3)]
        for place, value in enumerate(mine):
            assert value == min(k for k in range(3) if ends[k] > place)
    # Attributes below the class, one aligned block, attributes above it.
    assert (np.diff(bias[labels == 1]) >= 0).all()
    # Numbers of files are numbers as text, too.
    texts = [str(number) for number in range(97)]
    again = corruption.assign_bias(labels, 0.8, 3, order=texts)
    np.testing.assert_array_equal(again, bias)
    named = [f"{number:02}.png" for number in range(97)]
    again = corruption.assign_bias(labels, 0.8, 3, order=named)
    np.testing.assert_array_equal(again, bias)


def test_milestones_round_halves_to_the_even_number():
    # 5 * .5 = 2.5 and 7 * .5 = 3.5.
    assert _bias.milestones(5, 0.5, 0, 2).tolist() == [2, 5]
    assert _bias.milestones(7, 0.5, 0, 2).tolist() == [4, 7]


def test_ratios_share_most_of_their_conflicting_examples():
    labels = shuffled(CIFAR_TRAIN)
    few, many = (corruption.assign_bias(labels, a, 10) != labels for a in (0.99, 0.95))
    assert (few & many).sum() > 0.9 * few.sum()


def test_the_order_of_the_file_may_be_given():
    labels = shuffled(MNIST_TEST)
    want = corruption.assign_bias(labels, 0.9, 10)
    order = np.random.default_rng(1).permutation(len(labels))
    for given in (order, np.array([f"train_{i:05d}" for i in order])):
        found = corruption.assign_bias(labels[order], 0.9, 10, order=given)
        np.testing.assert_array_equal(found, want[order])


def test_random_assignments_are_another_one_for_every_key():
    labels = shuffled((500,) * 10)
    one, two, again = (
        corruption.assign_bias(
            labels, 0.9, 10, assignment="random", key=jax.random.key(seed)
        )
        for seed in (0, 1, 0)
    )
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(cells(labels, one), cells(labels, two))
    both = ((one != labels) & (two != labels)).sum()
    assert 20 < both < 85  # 50 by chance, of 500.
    # Conflicting examples lie anywhere in the file.
    assert np.corrcoef(one != labels, np.arange(5000))[0, 1] < 0.05


def test_bernoulli_draws_each_example():
    labels = shuffled((2000,) * 10)
    bias = corruption.assign_bias(labels, 0.7, 10, assignment="bernoulli", key=KEY)
    found = cells(labels, bias)
    assert found[DIAGONAL].std() > 5
    np.testing.assert_allclose(found[DIAGONAL], 1400, atol=100)
    np.testing.assert_allclose(found[~DIAGONAL], 600 / 9, atol=40)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"aligned_ratio": 1.0}, "aligned_ratio: got 1.0, expected a number in (0, 1)"),
        ({"aligned_ratio": 0.0}, "aligned_ratio: got 0.0"),
        ({"aligned_ratio": 95}, "aligned_ratio: got 95"),
        (
            {"aligned_ratio": 0.99},
            "aligned_ratio: got 0.99, which leaves class 0 of 10 example(s) without a "
            "conflicting one; lower it",
        ),
        (
            {"aligned_ratio": 0.01},
            "aligned_ratio: got 0.01, which leaves class 0 of 10 example(s) without an "
            "aligned one; raise it",
        ),
        ({"assignment": "rando"}, "assignment: unknown 'rando' (did you mean 'random'"),
        ({"assignment": "random"}, "key: expected a PRNG key with assignment='random'"),
        ({"key": KEY}, "key: expected none with assignment='file_order'"),
        (
            {"assignment": "random", "key": KEY, "order": np.arange(20)},
            "order: expected none with assignment='random'",
        ),
        ({"order": np.arange(19)}, "order: lengths differ (order 19, labels 20)"),
        ({"order": np.zeros(20, int)}, "order: 1 id(s) occur more than once"),
        ({"labels": np.zeros(20, int)}, "labels: class(es) 1 have no example"),
        ({"labels": np.arange(20)}, "labels: 18 label(s) out of range"),
        ({"num_classes": 1}, "num_classes: got 1, expected an integer >= 2"),
    ],
)
def test_bad_assignments_are_refused_in_one_line(given, message):
    options = {
        "labels": np.arange(20) % 2,
        "aligned_ratio": 0.8,
        "num_classes": 2,
    } | given
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*$"):
        corruption.assign_bias(**options)


@pytest.fixture
def strokes(rng):
    images = rng.integers(0, 256, (500, 12, 12, 1), dtype=np.uint8)
    images[:, :4] = 0
    images[:, 5] = 255
    return images


def test_four_is_painted_light_blue(strokes):
    found = corruption.color_digits(strokes[:1], [4], KEY, jitter=0)
    np.testing.assert_array_equal(found[0, 5, 0], [22, 198, 250])
    exact = strokes[0] * corruption.LFF_COLORS[4].astype(float)
    np.testing.assert_array_equal(found[0], np.floor(exact))
    assert not found[:, :4].any()


def test_tables_are_the_printed_ones():
    eight_bit = np.rint(255 * corruption.LFF_COLORS).astype(int)
    assert eight_bit.tolist() == [
        [251, 80, 43],
        [253, 233, 90],
        [172, 118, 148],
        [200, 212, 153],
        [22, 198, 250],
        [82, 245, 114],
        [6, 60, 193],
        [142, 26, 194],
        [53, 100, 5],
        [213, 52, 68],
    ]
    np.testing.assert_allclose(
        255 * corruption.PGD_COLORS,
        np.rint(255 * corruption.PGD_COLORS),
        atol=1e-4,
    )
    assert corruption.LFF_JITTER == {1: 0.05, 2: 0.02, 3: 0.01, 4: 0.005, 5: 0.002}
    for table in (corruption.LFF_COLORS, corruption.PGD_COLORS):
        assert len(np.unique(table, axis=0)) == 10
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0


@pytest.mark.parametrize("severity", [1, 4])
def test_one_jitter_for_every_image(strokes, severity):
    deviation = corruption.LFF_JITTER[severity]
    bias = np.full(500, 3)
    found = corruption.color_digits(strokes, bias, KEY, jitter=deviation, as_float=True)
    line = found[:, 5]
    # The same in all pixels of an image, another one in every image and channel.
    assert np.ptp(line, axis=1).max() < 1e-6
    color = line[:, 0]
    np.testing.assert_allclose(color.mean(0), corruption.LFF_COLORS[3], atol=0.01)
    np.testing.assert_allclose(color.std(0), deviation, rtol=0.12)
    assert abs(np.corrcoef(color.T)[0, 1]) < 0.15
    # 8 bits are the same, truncated.
    levels = corruption.color_digits(strokes, bias, KEY, jitter=deviation)
    assert levels.dtype == np.uint8
    cut = 255 * found - levels
    assert cut.min() > -1e-3
    assert cut.max() < 1 + 1e-3


def test_colors_are_cut_before_the_product_and_products_in_floats(strokes):
    # The first colour in PGD is often below zero, with so much jitter.
    options = {"colors": corruption.PGD_COLORS, "jitter": 0.3}
    bias = np.full(500, 1)
    floats = corruption.color_digits(strokes, bias, KEY, as_float=True, **options)
    assert floats.dtype == np.float32
    assert floats.min() == 0
    assert floats.max() <= 1
    levels = corruption.color_digits(strokes, bias, KEY, **options)
    red = levels[:, 5, 0, 0]
    assert 0.3 < (red == 0).mean() < 0.7


def test_jitter_belongs_to_the_id(strokes):
    bias = np.arange(500) % 10
    whole = corruption.color_digits(strokes, bias, KEY, jitter=0.05)
    rows = np.array([7, 499, 0])
    part = corruption.color_digits(
        strokes[rows], bias[rows], KEY, jitter=0.05, ids=rows
    )
    np.testing.assert_array_equal(part, whole[rows])
    plain = corruption.color_digits(strokes[..., 0], bias, KEY, jitter=0.05)
    np.testing.assert_array_equal(plain, whole)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": np.zeros((3, 4, 4, 3), np.uint8)}, "images: got uint8 of shape"),
        ({"images": np.zeros((3, 4, 4, 1))}, "images: got float64 of shape"),
        ({"bias": [0, 1, 10]}, "bias: 1 label(s) out of range (first: 10 at row 2)"),
        ({"bias": [0, 1]}, "images: lengths differ (images 3, bias 2)"),
        ({"colors": np.ones((10, 4))}, "colors: got shape (10, 4), expected (C, 3)"),
        ({"colors": np.full((10, 3), 255)}, "colors: got"),
        ({"jitter": -0.1}, "jitter: got -0.1"),
    ],
)
def test_bad_colors_are_refused(given, message):
    options = {
        "images": np.zeros((3, 4, 4, 1), np.uint8),
        "bias": [0, 1, 2],
        "key": KEY,
    } | given
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        corruption.color_digits(**options)


def test_maps_hold_every_corruption_once():
    one, two = corruption.CORRUPTED_CIFAR10[1], corruption.CORRUPTED_CIFAR10[2]
    assert sorted({*one, *two}) == sorted({*corruption.IMAGE_CORRUPTIONS, "original"})
    assert len(one) == len(two) == 10
    # Airplanes in snow, trucks saturated; noisy airplanes, plain trucks.
    assert (one[0], one[9]) == ("snow", "saturate")
    assert (two[0], two[9]) == ("gaussian_noise", "original")


@pytest.mark.parametrize("kind", [1, 2])
def test_every_image_has_the_corruption_of_its_bias(kind):
    images = pictures(20)
    bias = np.arange(20)[::-1] % 10
    names = corruption.CORRUPTED_CIFAR10[kind]
    ids = np.arange(20) + 100
    found = corruption.corrupt_by_bias(images, bias, KEY, corruptions=names, ids=ids)
    for row in range(20):
        name = names[bias[row]]
        want = images[row]
        if name != "original":
            change = corruption.IMAGE_CORRUPTIONS[name]
            want = change(images[row : row + 1], 5, KEY, ids=ids[row : row + 1])[0]
        np.testing.assert_array_equal(found[row], want)


def test_bad_maps_are_refused():
    images = pictures(2)
    with pytest.raises(ValueError, match="corruptions: unknown 'snowy'"):
        corruption.corrupt_by_bias(images, [0, 0], KEY, corruptions=("snowy",))
    with pytest.raises(ValueError, match=r"bias: 1 label\(s\) out of range"):
        corruption.corrupt_by_bias(images, [0, 1], KEY, corruptions=("fog",))
    with pytest.raises(ValueError, match="images: lengths differ"):
        corruption.corrupt_by_bias(images, [0], KEY, corruptions=("fog",))
    with pytest.raises(ValueError, match="severity: got 9"):
        corruption.corrupt_by_bias(
            images, [0, 0], KEY, corruptions=("fog",), severity=9
        )
