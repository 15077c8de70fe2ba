"""Biased data sets: made of plain ones, joined by id, taken apart."""

from __future__ import annotations

import dataclasses
import re

import jax
import numpy as np
import pytest

from robustjax import corruption, data

KEY = jax.random.key(0)


@pytest.fixture
def plain():
    """Ten classes of 40 greyscale images."""
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, (400, 8, 8, 1), dtype=np.uint8)
    return data.make_dataset(
        images, np.arange(400) % 10, ids=np.arange(400) + 1000, name="plain"
    )


@pytest.fixture
def colorful(plain):
    images = np.random.default_rng(1).integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    ids = np.array([f"train_{i:05d}" for i in range(400)])
    return dataclasses.replace(plain, inputs=images, ids=ids)


def test_groups(plain):
    bias = np.where(np.arange(400) < 100, plain.labels, (plain.labels + 1) % 10)
    biased = data.make_biased(plain, bias)
    assert len(biased) == 400
    assert biased.is_aligned.sum() == 100
    counts = biased.group_counts
    assert (np.diag(counts) == 10).all()
    assert (np.diag(np.roll(counts, -1, axis=1)) == 30).all()
    assert counts.sum() == 400
    assert biased.bias_names == plain.class_names
    part = data.take_biased(biased, ~biased.is_aligned)
    assert len(part) == 300
    assert not part.is_aligned.any()
    np.testing.assert_array_equal(part.dataset.ids, plain.ids[100:])


@pytest.mark.parametrize(
    ("bias", "names", "message"),
    [
        (np.zeros(399, int), None, "bias: got 399, expected one for each of the 400"),
        (
            np.full(400, 10),
            None,
            "bias: 400 label(s) out of range (first: 10 at row",
        ),
        (np.zeros(400), None, "bias: got float64"),
        (
            np.zeros(400, int),
            ["red", "green"],
            "bias_names: got 2, expected 10, one that goes with each class",
        ),
        (np.zeros(400, int), ["red"] * 10, "bias_names: classes 0 and 1 are both"),
    ],
)
def test_attributes_that_do_not_match_are_refused(plain, bias, names, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        data.make_biased(plain, bias, bias_names=names)


def test_training_data_without_conflicting_or_aligned_examples_are_refused(plain):
    bias = plain.labels.copy()
    bias[plain.labels != 3] += 1
    bias %= 10
    with pytest.raises(ValueError, match="'3' of plain have no bias-conflicting"):
        data.check_conflicting(data.make_biased(plain, bias))
    with pytest.raises(ValueError, match="'0', '1', '2', '3', '4' … of plain have no"):
        data.check_conflicting(data.make_biased(plain, (plain.labels + 1) % 10))
    mixed = np.where(np.arange(400) < 300, plain.labels, (plain.labels + 1) % 10)
    data.check_conflicting(data.make_biased(plain, mixed))


def test_swapped_roles_are_the_same_examples(plain):
    biased = data.colored_mnist(plain, 0.8, KEY)
    benign = data.swap_roles(biased)
    np.testing.assert_array_equal(benign.dataset.labels, biased.bias)
    np.testing.assert_array_equal(benign.bias, biased.dataset.labels)
    np.testing.assert_array_equal(benign.is_aligned, biased.is_aligned)
    np.testing.assert_array_equal(benign.group_counts, biased.group_counts.T)
    assert benign.dataset.class_names[3] == "color of 3"
    assert benign.bias_names == plain.class_names
    assert benign.dataset.name.endswith("roles swapped")
    twice = data.swap_roles(benign)
    assert twice.dataset.class_names == biased.dataset.class_names
    np.testing.assert_array_equal(twice.bias, biased.bias)


def test_values_that_do_not_occur_cannot_become_classes(plain):
    with pytest.raises(ValueError, match=r"bias: class\(es\) 1, 2, 3"):
        data.swap_roles(data.make_biased(plain, np.zeros(400, int)))


def test_colored_mnist(plain):
    biased = data.colored_mnist(plain, 0.8, KEY)
    assert biased.dataset.inputs.shape == (400, 8, 8, 3)
    assert biased.dataset.inputs.dtype == np.uint8
    assert biased.is_aligned.mean() == 0.8
    np.testing.assert_array_equal(biased.dataset.ids, plain.ids)
    np.testing.assert_array_equal(biased.dataset.labels, plain.labels)
    want = corruption.assign_bias(plain.labels, 0.8, 10)
    np.testing.assert_array_equal(biased.bias, want)
    # The colour of the attribute, not of the label.
    ratio = biased.dataset.inputs / plain.inputs
    bright = (plain.inputs > 250)[..., 0]
    for value in range(10):
        mine = ratio[biased.bias == value][bright[biased.bias == value]]
        np.testing.assert_allclose(
            mine.mean(0), corruption.LFF_COLORS[value], atol=0.01
        )


def test_benchmarks_keep_an_image_whatever_is_beside_it(plain, colorful):
    rows = np.random.default_rng(2).permutation(400)
    # The same attributes, for the order of the file is given.
    for make, dataset in (
        (data.colored_mnist, plain),
        (data.corrupted_cifar10, colorful),
    ):
        whole = make(dataset, 0.8, KEY)
        moved = make(data.take(dataset, rows), 0.8, KEY, order=rows)
        np.testing.assert_array_equal(moved.bias, whole.bias[rows])
        np.testing.assert_array_equal(moved.dataset.inputs, whole.dataset.inputs[rows])
    moved = data.corrupted_cifar10(
        data.take(colorful, rows), 0.8, KEY, order=colorful.ids[rows]
    )
    np.testing.assert_array_equal(moved.bias, whole.bias[rows])


def test_an_id_below_zero_changes_no_other_image(plain):
    ids = np.arange(400) - 1
    whole = data.colored_mnist(dataclasses.replace(plain, ids=ids), 0.8, KEY)
    without = data.take(dataclasses.replace(plain, ids=ids), np.arange(10, 400))
    part = data.colored_mnist(without, 0.8, KEY, order=np.arange(390))
    same = part.bias == whole.bias[10:]
    assert same.sum() > 300
    np.testing.assert_array_equal(
        part.dataset.inputs[same], whole.dataset.inputs[10:][same]
    )


def test_styles_and_severities(plain):
    floats = data.colored_mnist(plain, 0.8, KEY, style="pgd", assignment="bernoulli")
    assert floats.dataset.inputs.dtype == np.float32
    assert floats.dataset.inputs.max() <= 1
    assert not np.array_equal(floats.bias, data.colored_mnist(plain, 0.8, KEY).bias)
    spread = [
        data.colored_mnist(plain, 0.8, KEY, severity=s).dataset.inputs
        for s in (1, 4, 5)
    ]
    errors = [np.abs(s.astype(int) - spread[2]).mean() for s in spread[:2]]
    assert errors[0] > errors[1] > 0
    one, two = (
        data.colored_mnist(plain, 0.8, jax.random.key(s), assignment="random").bias
        for s in (0, 1)
    )
    assert not np.array_equal(one, two)


def test_published_inputs_are_divided_twice(plain):
    images = data.colored_mnist(plain, 0.8, KEY).dataset.inputs[:5]
    np.testing.assert_allclose(
        data.normalize(0.0, 255.0)(images), images / 255 / 255, rtol=1e-6
    )
    once = data.normalize(0.0, 1.0)(images)
    np.testing.assert_allclose(once, images / 255, rtol=1e-6)


def test_corrupted_cifar10(colorful):
    biased = data.corrupted_cifar10(colorful, 0.8, KEY, kind=2)
    assert biased.bias_names == corruption.CORRUPTED_CIFAR10[2]
    plain_rows = biased.bias == 9
    changed = (biased.dataset.inputs != colorful.inputs).any(axis=(1, 2, 3))
    assert not changed[plain_rows].any()
    assert changed[~plain_rows].all()
    other = data.corrupted_cifar10(colorful, 0.8, KEY, kind=1)
    np.testing.assert_array_equal(other.bias, biased.bias)
    assert other.dataset.name == "corrupted^1 plain"


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        ("colored_mnist", {"style": "lfff"}, "style: unknown 'lfff' (did you mean"),
        ("colored_mnist", {"severity": 0}, "severity: got 0, expected an integer 1 …"),
        (
            "colored_mnist",
            {"severity": 2, "style": "pgd"},
            "severity: got 2 with style='pgd', expected it with 'lff' alone",
        ),
        ("colored_mnist", {"aligned_ratio": 1}, "aligned_ratio: got 1, expected"),
        ("corrupted_cifar10", {"kind": 0}, "kind: got 0, expected 1 or 2"),
        ("corrupted_cifar10", {"aligned_ratio": 0}, "aligned_ratio: got 0, expected"),
        ("corrupted_cifar10", {}, "images: got shape (400, 8, 8, 1), expected (N, H,"),
    ],
)
def test_bad_benchmarks_are_refused(plain, make, given, message):
    options = {"aligned_ratio": 0.8, "key": KEY} | given
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        getattr(data, make)(plain, **options)


def test_bad_severities_of_corruptions_are_refused(colorful):
    with pytest.raises(ValueError, match="^severity: got 6, expected an integer 1 … 5"):
        data.corrupted_cifar10(colorful, 0.8, KEY, severity=6)


def test_other_numbers_of_classes_are_refused(plain):
    few = data.make_dataset(plain.inputs, plain.labels % 3, name="few")
    with pytest.raises(ValueError, match="digits: few has 3 classes, expected 10"):
        data.colored_mnist(few, 0.8, KEY)
    with pytest.raises(ValueError, match="images: few has 3 classes, expected 10"):
        data.corrupted_cifar10(few, 0.8, KEY)


@pytest.mark.slow
@pytest.mark.data
def test_mnist_in_the_order_of_its_file(data_dir):
    digits = data.load("mnist", "test", data_dir=str(data_dir / "tfds"))
    order = np.load(data_dir / "order" / "mnist_test.npy")
    biased = data.colored_mnist(digits, 0.1, KEY, order=order)
    # The published counts of the unbiased test set.
    counts = biased.group_counts
    assert biased.is_aligned.sum() == 1000
    assert (counts.min(), counts.max()) == (89, 114)
    rows = np.argsort(order)
    for label in range(10):
        mine = rows[digits.labels[rows] == label]
        assert (np.diff(biased.bias[mine]) >= 0).all()


def write(path, rows, header="id,background"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def own():
    images = np.zeros((4, 8, 8, 3), np.uint8)
    return data.make_dataset(
        images,
        [0, 0, 1, 1],
        ids=np.array(["a.png", "b.png", "c.png", "d.png"]),
        class_names=("landbird", "waterbird"),
        name="own",
    )


def test_attributes_are_joined_by_id(own, tmp_path):
    rows = ["d.png,land", "b.png,water", "a.png,land", "c.png,1"]
    found = data.read_bias(
        write(tmp_path / "a.csv", rows),
        own,
        "background",
        bias_names=("land", "water"),
    )
    assert found.bias.tolist() == [0, 1, 1, 0]
    assert found.bias_names == ("land", "water")
    assert found.is_aligned.tolist() == [True, False, True, False]
    by_class = data.read_bias(
        write(tmp_path / "b.csv", [f"{i}.png,landbird" for i in "abcd"]),
        own,
        "background",
    )
    assert not by_class.bias.any()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.png,0", "b.png,1", "c.png,1"], "path[background]: 1 example(s) of own"),
        (
            ["a.png,0", "b.png,1", "c.png,1", "d.png,0", "e.png,0"],
            "path[id]: 1 id(s) do not occur in own (first: 'e.png'",
        ),
        (
            ["a.png,0", "b.png,1", "c.png,1", "c.png,0", "d.png,1"],
            "path[id]: 1 id(s) occur more than once (first: 'c.png')",
        ),
        (
            ["a.png,0", "b.png,1", "c.png,2", "d.png,0"],
            "path[background]: 1 value(s) are no class (first: '2')",
        ),
        (
            ["a.png,0", "b.png,", "c.png,1", "d.png,0"],
            "path[background]: 1 cell(s) are blank (first: id 'b.png')",
        ),
    ],
)
def test_bad_files_of_attributes_are_refused(own, tmp_path, rows, message):
    path = write(tmp_path / "a.csv", rows)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*$"):
        data.read_bias(path, own, "background")


def test_other_bad_files_are_refused(own, tmp_path):
    path = write(tmp_path / "a.csv", ["a.png,0"], header="id,place")
    with pytest.raises(ValueError, match="lacks the column"):
        data.read_bias(path, own, "background")
    with pytest.raises(ValueError, match="path: cannot read"):
        data.read_bias(tmp_path / "none.csv", own)
    path = write(tmp_path / "b.csv", [f"{i}.png,x" for i in "abcd"])
    with pytest.raises(ValueError, match="bias_names: got 3, expected 2"):
        data.read_bias(path, own, "background", bias_names=("x", "y", "z"))
