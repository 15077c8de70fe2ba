"""What all nineteen corruptions have in common."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from robustjax import corruption
from robustjax.corruption import _image_batches as batches
from robustjax.corruption._image_draws import Draws

from .pictures import pictures

KEY = jax.random.key(3)
IMAGES = pictures()
NAMES = list(corruption.IMAGE_CORRUPTIONS)
KEYLESS = {
    *("gaussian_blur", "defocus_blur", "zoom_blur", "brightness", "contrast"),
    *("saturate", "jpeg", "pixelate"),
}
# Severities 1 and 2 of saturate take colour away, 3 to 5 add some; elastic shears less
# the more it bends; spatter is water up to 3; glass copies twice at the last two, after
# a weaker blur at 4 and at 2.
NOT_MONOTONE = {"saturate", "elastic_transform", "spatter", "glass_blur", "frost"}


def change(name, images=IMAGES, severity=5, key=KEY, ids=None):
    return corruption.corrupt_images(images, name, severity, key, ids=ids)


def test_there_are_nineteen_public_functions():
    assert len(NAMES) == 19
    for name, function in corruption.IMAGE_CORRUPTIONS.items():
        assert getattr(corruption, name) is function
        assert list(inspect.signature(function).parameters) == [
            "images",
            "severity",
            "key",
            "ids",
        ]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_the_key_and_its_own_id_alone(name):
    before = IMAGES.copy()
    whole = change(name)
    np.testing.assert_array_equal(IMAGES, before)
    assert whole.dtype == np.uint8
    assert whole.shape == IMAGES.shape
    assert (whole != IMAGES).any(axis=(1, 2, 3)).all()
    # In another order, in parts, alone, and again.
    order = np.array([4, 0, 5, 2])
    np.testing.assert_array_equal(change(name, IMAGES[order], ids=order), whole[order])
    np.testing.assert_array_equal(change(name, IMAGES[3:4], ids=[3]), whole[3:4])
    np.testing.assert_array_equal(change(name), whole)
    other = change(name, key=jax.random.key(4))
    moved = change(name, ids=np.arange(6) + 1)
    if name in KEYLESS:
        np.testing.assert_array_equal(other, whole)
        np.testing.assert_array_equal(moved, whole)
        np.testing.assert_array_equal(
            corruption.IMAGE_CORRUPTIONS[name](IMAGES, 5), whole
        )
    else:
        assert (other != whole).any(axis=(1, 2, 3)).all()
        assert (moved != whole).any(axis=(1, 2, 3)).all()
        # Equal images under different ids differ.
        same = change(name, np.repeat(IMAGES[:1], 4, axis=0))
        assert len(np.unique(same.reshape(4, -1), axis=0)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_blocks_and_threads_change_nothing(name, monkeypatch):
    whole = change(name)
    for values, cores in ((1, 1), (1, 3), (2 * IMAGES[0].size, 2)):
        monkeypatch.setattr(batches, "_BLOCK_VALUES", values)
        monkeypatch.setattr(batches, "usable_cores", lambda cores=cores: cores)
        np.testing.assert_array_equal(change(name), whole)


@pytest.mark.parametrize("name", NAMES)
def test_higher_severities_distort_more(name):
    # Edges lie anywhere, for large pixels happen on some and miss others.
    images = np.stack(
        [
            np.roll(image, (7 * row, 5 * row), axis=(0, 1))
            for row, image in enumerate(pictures(32))
        ]
    )
    errors = [
        np.square(change(name, images, s).astype(float) - images).mean()
        for s in (1, 2, 3, 4, 5)
    ]
    if name in NOT_MONOTONE:
        assert len(set(errors)) == 5
        assert min(errors) > 1
    elif name == "motion_blur":
        # At severities 3 and 4 the deviation is the same, and only the part of the
        # kernel beyond six deviations differs.
        assert errors[0] < errors[1] < errors[2] < errors[4]
        assert errors[3] == pytest.approx(errors[2], rel=0.01)
    else:
        assert errors == sorted(errors)
        assert len(set(errors)) == 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (17, 40), (65, 9)])
def test_other_sizes(name, size):
    images = pictures(2, *size)
    for severity in (1, 3, 5):
        found = change(name, images, severity)
        assert found.shape == images.shape
        assert found.dtype == np.uint8
    assert (found != images).any()


@pytest.mark.parametrize("name", NAMES)
def test_one_level_everywhere_stays_where_only_neighbours_count(name):
    flat = np.full((2, 32, 32, 3), 100, np.uint8)
    found = change(name, flat)
    if name.endswith("blur") or name in ("pixelate", "contrast", "elastic_transform"):
        np.testing.assert_array_equal(found, flat)


def test_two_corruptions_share_no_randomness():
    one, two = (
        Draws.of(KEY, name, np.arange(50, dtype=np.uint64)).uniform("x", (64,))
        for name in ("fog", "frost")
    )
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.06


def test_no_image_gives_none():
    for name in NAMES:
        assert change(name, IMAGES[:0]).shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": IMAGES / 255}, "images: got float64, expected uint8"),
        ({"images": IMAGES[0]}, "images: got shape (32, 32, 3), expected (N, H, W, 3)"),
        ({"images": IMAGES[..., :1]}, "images: got shape (6, 32, 32, 1), expected"),
        ({"images": IMAGES[:, :7]}, "images: got 7 x 32 pixels, expected at least 8"),
        ({"severity": 0}, "severity: got 0, expected an integer 1 … 5"),
        ({"severity": 6}, "severity: got 6"),
        ({"severity": 2.0}, "severity: got 2.0"),
        ({"severity": True}, "severity: got True"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_bad_input_is_refused_in_one_line(name, given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*$"):
        change(name, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": None}, "key: got NoneType of shape (), expected a single JAX PRNG"),
        ({"key": 3}, "key: got int"),
        ({"key": jax.random.split(KEY)}, "key: got "),
        ({"ids": np.arange(5)}, "ids: got 5, expected one for each of 6"),
        ({"ids": np.arange(6) - 1}, "ids: got -1, expected integers >= 0"),
        ({"ids": np.arange(6.0)}, "ids: got float64, expected integers >= 0"),
    ],
)
@pytest.mark.parametrize("name", sorted(set(NAMES) - KEYLESS))
def test_bad_keys_and_ids_are_refused(name, given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*$"):
        change(name, **given)


def test_unknown_corruptions_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"corruption: unknown 'fogg' \(did you mean"):
        change("fogg")


def test_a_traced_key_is_refused():
    with pytest.raises(ValueError, match="key: got a traced key"):
        jax.jit(lambda key: corruption.fog(IMAGES, 1, key))(KEY)


def test_both_kinds_of_keys_are_the_same():
    old = jax.random.PRNGKey(3)
    np.testing.assert_array_equal(change("fog", key=old), change("fog"))


@pytest.mark.slow
def test_without_pillow_two_say_what_to_install_and_the_others_work():
    code = """
import sys
sys.modules["PIL"] = None
import jax, numpy as np
from robustjax import corruption
images = np.zeros((1, 8, 8, 3), np.uint8)
for name, change in corruption.IMAGE_CORRUPTIONS.items():
    try:
        change(images, 1, jax.random.key(0))
    except ImportError as error:
        assert "pip install 'robustjax[tools]'" in str(error)
        print(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["jpeg", "pixelate"]


def test_draws_have_the_moments_they_should():
    draws = Draws.of(KEY, "test", np.arange(400, dtype=np.uint64))
    uniform = draws.uniform("u", (501,), -2, 4)
    assert uniform.min() >= -2
    assert uniform.max() <= 4
    np.testing.assert_allclose(uniform.mean(), 1, atol=0.02)
    np.testing.assert_allclose(uniform.var(), 3, rtol=0.01)
    normal = draws.normal("n", (7, 73))
    assert normal.shape == (400, 7, 73)
    moments = [np.mean(normal.astype(float) ** k) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.06)
    # Both halves of the pairs, and images, are uncorrelated.
    flat = normal.reshape(400, -1)
    assert abs(np.mean(flat[:, :255] * flat[:, 256:])) < 0.015
    assert abs(np.mean(flat[:-1] * flat[1:])) < 0.015
    chosen = draws.choice("c", [0.2, 0.5, 0.3])
    np.testing.assert_allclose(np.bincount(chosen) / 400, [0.2, 0.5, 0.3], atol=0.08)
