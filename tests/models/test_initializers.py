"""Initialisers: spread and bounds of one large draw each."""

import jax
import numpy as np
import pytest

from robustjax.models import _initializers as initializers

SHAPE = (3, 3, 40, 90)


@pytest.mark.parametrize(
    ("name", "deviation", "bound"),
    [
        ("he_fan_out", (2 / (9 * 90)) ** 0.5, np.inf),
        ("torch_uniform", (1 / (3 * 9 * 40)) ** 0.5, (1 / (9 * 40)) ** 0.5),
    ],
)
def test_spread_and_bounds(name, deviation, bound):
    draw = np.asarray(getattr(initializers, name)(jax.random.key(0), SHAPE))
    np.testing.assert_allclose(draw.std(), deviation, rtol=0.02)
    np.testing.assert_allclose(draw.mean(), 0, atol=0.02 * deviation)
    largest = np.abs(draw).max()
    assert largest <= bound
    # A normal draw reaches much further than a uniform one.
    assert (largest > 3 * deviation) == (name == "he_fan_out")
