"""Stages of networks, and a module beside a classifier that predicts its losses."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import models
from robustjax.models import LossPredictingClassifier
from tests.models.variables import random_variables

IMAGES = (2, 8, 8, 1)
# Network, and the shapes of its stages.
CASES = {
    "mlp": (models.MLP(3, (7, 5)), [(2, 7), (2, 5)]),
    "flat": (models.MLP(3, ()), [(2, 64)]),
    "small_cnn": (
        models.SmallCNN(3, ((4, 4), (6,)), hidden=(5,)),
        [(2, 4, 4, 4), (2, 2, 2, 6)],
    ),
    "resnet": (
        models.ResNet(18, 3, stem="small", width=2),
        [(2, 8, 8, 2), (2, 4, 4, 4), (2, 2, 2, 8), (2, 1, 1, 16)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_last_stage_makes_features_and_logits(name, rng):
    """Alone, and beside a loss-prediction module with its parameters below."""
    model, expected = CASES[name]
    images = rng.uniform(size=IMAGES).astype(np.float32)
    both = LossPredictingClassifier(model, width=3)
    variables = random_variables(both, images)
    inner = {kind: tree["classifier"] for kind, tree in variables.items()}

    @jax.jit
    def run(images):
        stages = model.apply(inner, images, method="stages")
        return (
            stages,
            model.apply(inner, images, method="features"),
            model.apply(inner, images),
            both.apply(variables, images, method="features"),
            both.apply(variables, images),
            both.apply(variables, stages, method="predicted_loss"),
        )

    stages, features, logits, *beside, predicted = jax.device_get(run(images))
    assert [stage.shape for stage in stages] == expected
    last = stages[-1]
    if name == "small_cnn":
        hidden = jax.device_get(inner["params"]["hidden0"])
        last = np.maximum(last.reshape(2, -1) @ hidden["kernel"] + hidden["bias"], 0)
    elif last.ndim == 4:
        last = last.mean(axis=(1, 2))
    np.testing.assert_allclose(features, last, rtol=1e-4, atol=1e-5)
    for got, want in zip(beside, (features, logits), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)

    predictor = jax.device_get(variables["params"]["predictor"])
    units = []
    for number, stage in enumerate(stages):
        layer = predictor[f"map{number}"]
        pooled = stage.reshape(2, -1, stage.shape[-1]).mean(axis=1)
        units.append(np.maximum(pooled @ layer["kernel"] + layer["bias"], 0))
    head = predictor["head"]
    want = (np.concatenate(units, axis=1) @ head["kernel"] + head["bias"])[:, 0]
    np.testing.assert_allclose(predicted, want, rtol=1e-4, atol=1e-5)


def test_detached_the_prediction_leaves_the_classifier_alone(rng):
    x = jnp.asarray(rng.normal(size=(4, 6)), jnp.float32)
    joint = LossPredictingClassifier(models.MLP(3, (5, 4)), width=3)
    params = jax.jit(joint.init)(jax.random.key(0), x)["params"]

    def gradient(model):
        def total(params):
            stages = model.apply({"params": params}, x, method="stages")
            predicted = model.apply({"params": params}, stages, method="predicted_loss")
            return jnp.sum(predicted)

        return jax.device_get(jax.jit(jax.grad(total))(params))

    together, apart = gradient(joint), gradient(joint.clone(detach=True))
    chex.assert_trees_all_close(together["predictor"], apart["predictor"])
    assert np.abs(apart["predictor"]["map0"]["kernel"]).max() > 0
    for leaf in jax.tree.leaves(apart["classifier"]):
        np.testing.assert_array_equal(leaf, 0)
    assert np.abs(together["classifier"]["hidden0"]["kernel"]).max() > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="classifier: got PreActResNet, expected"):
        LossPredictingClassifier(models.PreActResNet(18, 3))
    with pytest.raises(ValueError, match="width: got 0"):
        LossPredictingClassifier(models.MLP(3), width=0)
