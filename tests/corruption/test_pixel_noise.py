"""Noise of single values: the matrices by formula, and samples by the matrices."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from robustjax import corruption
from robustjax.corruption import _pixel_noise as pixel_noise

KEY = jax.random.key(0)
LEVELS = np.arange(256)
AMOUNTS = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
}
CASES = [(name, s) for name in AMOUNTS for s in (1, 3, 5)]


def by_formula(rng, name, amount, levels):
    """The published formulas, in double precision, draw by draw."""
    x = levels / 255
    if name == "gaussian_noise":
        x = x + amount * rng.normal(size=x.shape)
    elif name == "speckle_noise":
        x = x + x * amount * rng.normal(size=x.shape)
    elif name == "shot_noise":
        x = rng.poisson(amount * x) / amount
    else:
        hit = rng.random(x.shape) < amount
        x = np.where(hit, rng.random(x.shape) < 0.5, x)
    # What is a whole level must not fall below it by rounding.
    return np.floor(np.clip(x, 0, 1) * 255 + 1e-9).astype(int)


def histogram(levels, columns):
    return np.bincount(levels * 256 + columns, minlength=65536).reshape(256, 256)


def assert_frequent(seen, expected):
    """Chi-squared; the cells of a row add up, which takes one degree of freedom."""
    often = (expected > 5) & (expected < expected.sum(axis=1, keepdims=True))
    rows = often.any(axis=1).sum()
    squares = (seen - expected)[often] ** 2 / expected[often]
    freedom = often.sum() - rows
    assert squares.sum() / freedom == pytest.approx(1, abs=6 * np.sqrt(2 / freedom))


@pytest.mark.parametrize(("name", "severity"), CASES)
def test_the_matrix_is_what_the_formula_does(name, severity):
    amount = AMOUNTS[name][severity - 1]
    matrix = pixel_noise.level_transition(name, amount)
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    levels = np.repeat(LEVELS, 4000)
    seen = histogram(levels, by_formula(np.random.default_rng(1), name, amount, levels))
    assert not seen[matrix < 1e-15].any()
    assert_frequent(seen, 4000 * matrix)


@pytest.mark.parametrize(("name", "severity"), CASES)
def test_the_alias_table_holds_the_matrix(name, severity):
    amount = AMOUNTS[name][severity - 1]
    matrix = pixel_noise.level_transition(name, amount)
    table = pixel_noise.alias_table(name, amount).reshape(256, 256)
    keep = (table >> 8) / 2**24
    found = keep / 256
    for row, other in enumerate(table & 255):
        np.add.at(found[row], other, (1 - keep[row]) / 256)
    np.testing.assert_allclose(found, matrix, atol=2**-22)
    # What cannot happen does not.
    assert not found[matrix == 0].any()


@pytest.mark.parametrize(("name", "severity"), CASES)
def test_samples_follow_the_matrix(name, severity):
    amount = AMOUNTS[name][severity - 1]
    matrix = pixel_noise.level_transition(name, amount)
    images = np.tile(LEVELS.astype(np.uint8), 3 * 1024 * 128 // 256)
    images = images.reshape(-1, 32, 32, 3)
    found = getattr(corruption, name)(images, severity, KEY)
    seen = histogram(images.ravel().astype(int), found.ravel())
    assert not seen[matrix == 0].any()
    assert_frequent(seen, len(images) * 12 * matrix)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_variances_are_those_of_the_text(severity):
    level = 120
    images = np.full((64, 32, 32, 3), level, np.uint8)
    x = level / 255
    for name, variance in {
        "gaussian_noise": AMOUNTS["gaussian_noise"][severity - 1] ** 2,
        "shot_noise": x / AMOUNTS["shot_noise"][severity - 1],
        "speckle_noise": (x * AMOUNTS["speckle_noise"][severity - 1]) ** 2,
    }.items():
        found = getattr(corruption, name)(images, severity, KEY).astype(float)
        # Cut at neither end; truncation takes half a level, and a variance of 1/12. For
        # counts of photons, about as far apart as levels, that is rougher.
        if name != "shot_noise":
            assert found.mean() == pytest.approx(level - 0.5, abs=0.35)
        rough = 0.04 if name == "shot_noise" else 0.02
        assert found.var() == pytest.approx(255**2 * variance + 1 / 12, rel=rough)
    share = AMOUNTS["impulse_noise"][severity - 1]
    found = corruption.impulse_noise(images, severity, KEY)
    for extreme in (0, 255):
        assert np.mean(found == extreme) == pytest.approx(share / 2, rel=0.08)
    # Channels are hit by themselves.
    hit = found != level
    assert np.mean(hit.sum(axis=-1) == 1) == pytest.approx(
        3 * share * (1 - share) ** 2, rel=0.08
    )


def test_speckle_and_shot_leave_black_alone():
    black = np.zeros((40, 32, 32, 3), np.uint8)
    for name in ("speckle_noise", "shot_noise"):
        assert not getattr(corruption, name)(black, 5, KEY).any()
