"""Published settings, and the learning rates that they describe."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax.training import language


def _rates(recipe, steps):
    schedule = recipe.learning_rates(steps)
    return np.array([float(schedule(step)) for step in range(steps + 1)])


def test_the_thesis():
    recipe = language.RECIPES["thesis"]
    assert (recipe.epochs, recipe.batch_size, recipe.max_tokens) == (3, 64, 2048)
    assert (recipe.betas, recipe.weight_decay) == ((0.9, 0.95), 0.1)
    steps = np.arange(11)
    want = 0.5e-5 * (1 + np.cos(np.pi * steps / 10))
    np.testing.assert_allclose(_rates(recipe, 10), want, rtol=1e-4, atol=1e-12)


def test_lima():
    recipe = language.RECIPES["lima"]
    assert (recipe.epochs, recipe.batch_size) == (15, 32)
    assert recipe.residual_dropout == 0.3
    np.testing.assert_allclose(
        _rates(recipe, 9), np.linspace(1e-5, 1e-6, 10), rtol=1e-5
    )


@pytest.mark.slow
def test_alpagasus_warms_up():
    recipe = language.RECIPES["alpagasus"]
    rates = _rates(recipe, 100)
    np.testing.assert_allclose(rates[:4], 2e-5 * np.arange(4) / 3, rtol=1e-4)
    assert rates.argmax() == 3
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert (recipe.batch_size, recipe.weight_decay) == (128, 0.0)


def test_a_constant_rate_does_not_fall():
    message = "final_learning_rate: got 1e-06 with schedule 'constant', expected 0"
    with pytest.raises(ValueError, match=message):
        language.FineTuningRecipe(schedule="constant", final_learning_rate=1e-6)
