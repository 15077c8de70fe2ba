"""The perceptron: values against NumPy, dropout."""

import jax
import numpy as np
import pytest

from robustjax.models import MLP
from tests.models.variables import random_variables


def test_values(rng):
    inputs = rng.normal(size=(4, 2, 3)).astype(np.float32)
    model = MLP(5, (7, 6))
    variables = random_variables(model, inputs)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    x = inputs.reshape(4, 6)
    for name in ("hidden0", "hidden1"):
        x = np.maximum(x @ params[name]["kernel"] + params[name]["bias"], 0)
    features = model.apply(variables, inputs, method="features")
    np.testing.assert_allclose(features, x, rtol=1e-5, atol=1e-6)
    logits = x @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(model.apply(variables, inputs), logits, rtol=1e-4)


def test_dropout_scales_what_it_keeps(rng):
    inputs = rng.normal(size=(64, 8)).astype(np.float32)
    model = MLP(3, (200,), dropout=0.25)
    variables = random_variables(model, inputs)

    def features(**settings):
        return np.asarray(model.apply(variables, inputs, method="features", **settings))

    plain = features()
    dropped = features(train=True, rngs={"dropout": jax.random.key(0)})
    alive = plain > 0
    kept = (dropped > 0) & alive
    np.testing.assert_allclose(dropped[kept], plain[kept] / 0.75, rtol=1e-6)
    np.testing.assert_allclose(kept[alive].mean(), 0.75, atol=0.03)


def test_errors():
    with pytest.raises(ValueError, match="dropout: got 1"):
        MLP(3, (4,), dropout=1.0)
    with pytest.raises(ValueError, match="inputs: got uint8, expected floats"):
        MLP(3, (4,)).init(jax.random.key(0), np.full((2, 5), 200, np.uint8))
