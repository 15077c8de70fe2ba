"""OOD images: matched, held out, cropped, mixed, and checked by class name."""

import numpy as np
import pytest

from robustjax import data
from robustjax.data._resize import resize_images


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (5, 12, 12, 3), np.uint8)


def test_match_keeps_images_of_the_right_shape(images):
    np.testing.assert_array_equal(data.match_images(images, (12, 12, 3)), images)


def test_reduction_is_antialiased():
    """Stripes one pixel wide become their mean, not one of the two colours."""
    stripes = np.zeros((1, 16, 16, 1), np.uint8)
    stripes[:, :, ::2] = 200
    small = data.match_images(stripes, (4, 4, 1))
    assert small.shape == (1, 4, 4, 1)
    assert abs(small.astype(int) - 100).max() < 20


def test_floats_and_bytes_are_resized_alike(images):
    small = data.match_images(images, (7, 5, 3))
    floats = data.match_images(
        (images / 255).astype(np.float32), (7, 5, 3), like_dtype=np.float32
    )
    assert floats.dtype == np.float32
    assert small.dtype == np.uint8
    # Pillow rounds 8-bit images after each of the two passes.
    np.testing.assert_allclose(floats * 255, small, atol=1.1)


def test_gray_and_color_only_on_demand(images):
    gray = images[..., :1]
    with pytest.raises(ValueError, match=r"got 1 channel.*3; pass convert_color=True"):
        data.match_images(gray, (12, 12, 3))
    color = data.match_images(gray, (12, 12, 3), convert_color=True)
    np.testing.assert_array_equal(color, np.repeat(gray, 3, -1))
    back = data.match_images(images, (12, 12, 1), convert_color=True)
    want = np.rint(images @ np.array([0.299, 0.587, 0.114]))[..., None]
    np.testing.assert_allclose(back, want, atol=1)
    with pytest.raises(ValueError, match=r"got 3 channel.*the target's 4$"):
        data.match_images(images, (12, 12, 4), convert_color=True)


def test_fit_crop_keeps_the_aspect(rng):
    """A wide image is cut left and right; a square in it stays a square."""
    wide = np.zeros((1, 8, 24, 1), np.uint8)
    wide[:, :, 8:16] = 255
    whole = data.match_images(wide, (8, 8, 1), fit="crop")
    assert (whole == 255).all()
    assert (data.match_images(wide, (8, 8, 1)) != 255).any()
    many = np.repeat(wide, 40, 0)
    moved = data.match_images(many, (8, 8, 1), fit="crop", rng=rng)
    lit = (moved > 127).mean((1, 2, 3))
    assert lit.min() < 0.5 < lit.max()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 12, 12), np.uint8), r"expected \(N, H, W, C\)"),
        (np.zeros((3, 12, 12, 3), np.int32), "got int32, expected uint8 or floats"),
        (np.zeros((3, 12, 12, 3), np.float32), "got float32, expected the target's ui"),
        (np.zeros((0, 12, 12, 3), np.uint8), "expected at least one image"),
    ],
)
def test_bad_images(bad, message):
    with pytest.raises(ValueError, match=message):
        data.match_images(bad, (12, 12, 3))
    with pytest.raises(ValueError, match=message):
        data.check_ood_images(bad, (12, 12, 3))


def test_other_bad_arguments(images):
    with pytest.raises(ValueError, match="resize them with match_images"):
        data.check_ood_images(images, (32, 32, 3))
    with pytest.raises(ValueError, match="like_shape: got"):
        data.match_images(images, (12, 12))
    with pytest.raises(ValueError, match="fit: unknown 'stretched'"):
        data.match_images(images, (6, 6, 3), fit="stretched")
    with pytest.raises(ValueError, match="method: unknown"):
        resize_images(images, (6, 6), method="nearest")


@pytest.fixture
def four_classes(rng):
    labels = np.arange(20) % 4
    inputs = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 2, 1), np.uint8
    )
    names = ["cat", "dog", "bird", "frog"]
    return data.make_dataset(inputs, labels, ids=np.arange(20) + 100, class_names=names)


def test_held_out_classes(four_classes):
    target, ood = data.held_out_classes(four_classes, [3, "dog"])
    assert target.class_names == ("dog", "frog")
    np.testing.assert_array_equal(target.ids % 4, 1 + 2 * target.labels)
    np.testing.assert_array_equal(target.inputs[:, 0, 0, 0], target.ids - 100)
    seen = set(target.inputs[:, 0, 0, 0]), set(ood[:, 0, 0, 0])
    assert seen[0] | seen[1] == set(range(20))
    assert not seen[0] & seen[1]


def test_bad_held_out_classes(four_classes):
    for bad in ([], [0, 1, 2, 3], [1, "dog"]):
        with pytest.raises(ValueError, match="classes: got .* different ones"):
            data.held_out_classes(four_classes, bad)
    with pytest.raises(ValueError, match="unknown 'dgo' .did you mean 'dog'"):
        data.held_out_classes(four_classes, ["dgo"])
    for bad in (4, 1.7, True):
        with pytest.raises(ValueError, match=f"got {bad}, expected a name or an int"):
            data.held_out_classes(four_classes, [bad])


@pytest.mark.parametrize("fill", ["magnify", "mirror"])
def test_textured_crops_come_from_one_small_square(fill):
    """On a ramp of columns, a crop spans as many levels as its side has columns."""
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))[None, :, :, None]
    rng = np.random.default_rng(3)
    crops = data.textured_crops(ramp, rng, count=50, side=(0.25, 0.25), fill=fill)
    assert crops.shape == (50, 32, 32, 1)
    span = crops.max((1, 2, 3)).astype(int) - crops.min((1, 2, 3))
    assert span.max() <= 8 * 8
    assert span.min() >= 5 * 8
    assert np.ptp(crops.astype(int).mean((1, 2, 3))) > 60  # From all over the image.
    again = data.textured_crops(
        ramp, np.random.default_rng(3), count=50, side=(0.25, 0.25), fill=fill
    )
    np.testing.assert_array_equal(crops, again)


def test_textured_crops_use_all_images_first(rng):
    flat = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 8, 8, 3), np.uint8
    )
    crops = data.textured_crops(flat, rng, count=14, size=(4, 6))
    assert crops.shape == (14, 4, 6, 3)
    assert sorted(crops[:7, 0, 0, 0]) == sorted(crops[7:, 0, 0, 0]) == list(range(7))


def test_bad_textured_crops(images, rng):
    with pytest.raises(ValueError, match="side: got"):
        data.textured_crops(images, rng, count=1, side=(0.5, 0.2))
    with pytest.raises(ValueError, match="count: got 0"):
        data.textured_crops(images, rng, count=0)
    with pytest.raises(ValueError, match="fill: unknown 'tile'"):
        data.textured_crops(images, rng, count=1, fill="tile")


def _numbered(first, count):
    values = np.arange(first, first + count, dtype=np.float32) / 1000
    return values[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)


def test_mix_draws_without_replacement_from_everywhere(rng):
    mixed = data.mix_ood([_numbered(0, 200), _numbered(500, 100)], 100, rng)
    values = np.rint(mixed[:, 0, 0, 0] * 1000).astype(int)
    assert len(set(values)) == 100
    assert (values >= 500).sum() == 50
    # Neither the leading images nor in their order, nor source after source.
    assert values[values < 500].max() > 150
    assert (np.diff(values) < 0).sum() > 30
    assert 10 < (values[:50] >= 500).sum() < 40


def test_mix_by_shares(rng):
    sources = [_numbered(0, 10), _numbered(100, 10), _numbered(200, 10)]
    mixed = data.mix_ood(sources, 10, rng, shares=[0.1, 0.2, 0.7])
    kind = np.rint(mixed[:, 0, 0, 0] * 1000).astype(int) // 100
    assert np.bincount(kind).tolist() == [1, 2, 7]
    thirds = data.mix_ood(sources, 10, rng)
    kind = np.rint(thirds[:, 0, 0, 0] * 1000).astype(int) // 100
    assert sorted(np.bincount(kind).tolist()) == [3, 3, 4]


def test_bad_mixes(rng, images):
    with pytest.raises(ValueError, match="sources: got none"):
        data.mix_ood([], 3, rng)
    with pytest.raises(ValueError, match=r"sources\[1\]: got images of shape"):
        data.mix_ood([images, images[:, :5]], 3, rng)
    with pytest.raises(ValueError, match=r"sources\[1\]: got shape .* at least one"):
        data.mix_ood([images, images[:0]], 3, rng)
    with pytest.raises(ValueError, match=r"sources\[1\]: got float32"):
        data.mix_ood([images, images.astype(np.float32)], 3, rng)
    with pytest.raises(ValueError, match=r"sources\[0\]: got 5 images.* the 6 that"):
        data.mix_ood([images], 6, rng)
    for bad in ([0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="expected numbers >= 0 with sum 1"):
            data.mix_ood([images, images], 4, rng, shares=bad)
    with pytest.raises(ValueError, match="one for each of 2 sources"):
        data.mix_ood([images, images], 4, rng, shares=[1.0])


@pytest.mark.parametrize(
    ("target", "ood"),
    [
        ("automobile", "Automobiles"),
        ("automobile", "sports_car"),
        ("airplane", "Aeroplane"),
        ("cat", "tabby cat"),
        ("house finches", "HouseFinch"),
        ("bus", "school buses"),
        ("butterfly", "butterflies"),
        ("001.Laysan_Albatross", "laysan albatross"),
        ("lorries", "truck"),
        ("7", "07"),
    ],
)
def test_names_that_overlap(target, ood):
    expected = f"'{target}' ~ '{ood}'"
    with pytest.raises(ValueError, match=expected.replace(".", r"\.")):
        data.check_no_class_overlap(["table", target], [ood, "moon"])


def test_names_that_do_not():
    cifar = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]
    data.check_no_class_overlap(cifar, [str(i) for i in range(10)])
    data.check_no_class_overlap(
        cifar, ["catfish", "carpet", "7-up bottle", "bullfrog", "seahorse", "glass"]
    )
    data.check_no_class_overlap(["1", "2"], ["12", "3"])
    with pytest.raises(ValueError, match="'dog' ~ 'hot dog'"):
        data.check_no_class_overlap(cifar, ["hot dog"])
    data.check_no_class_overlap(cifar, ["hot dog"], allow=[("dog", "hot dog")])


@pytest.mark.data
def test_mnist_beside_cifar(data_dir, rng):
    tfds = str(data_dir / "tfds")
    target = data.load("cifar10", "train[:200]", data_dir=tfds)
    other = data.load("mnist", "train[:100]", data_dir=tfds)
    data.check_no_class_overlap(target.class_names, other.class_names)
    with pytest.raises(ValueError, match="ood_names: classes overlap"):
        data.check_no_class_overlap(target.class_names, target.class_names)
    like = target.inputs.shape[1:]
    matched = data.match_images(other.inputs, like, convert_color=True)
    crops = data.textured_crops(target.inputs, rng, count=100)
    mixed = data.mix_ood([matched, crops], 120, rng)
    assert mixed.shape == (120, 32, 32, 3)
    # The digits are still there: gray, and as bright as before.
    gray = (mixed == mixed[..., :1]).all((1, 2, 3))
    assert gray.sum() >= 60
    assert mixed[gray].max() > 200
