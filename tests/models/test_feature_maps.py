"""Feature maps: what is pooled from them, and what the head makes of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import models
from tests.models.variables import random_variables, shapes

NETWORKS = {
    "flattened": models.SmallCNN(3, ((4,), (6,)), hidden=(8,)),
    "averaged": models.SmallCNN(3, ((4,), (6,)), hidden=(), pooling="average"),
    "averaged_hidden": models.SmallCNN(3, ((4,),), hidden=(5,), pooling="average"),
    "resnet": models.ResNet(18, 3, stem="small", width=2, head_bias=False),
    "preact_resnet": models.PreActResNet(18, 3, width=2, final_norm=True),
    "wide_resnet": models.WideResNet(10, 1, 3, width=2),
    "nine_layer_cnn": models.NineLayerCNN(3, width=2, dropout=0.0),
}
# (side of the image, side and channels of the map).
SIZES = {
    "flattened": (9, 2, 6),
    "averaged": (9, 2, 6),
    "averaged_hidden": (9, 4, 4),
    "resnet": (9, 2, 16),
    "preact_resnet": (9, 2, 16),
    "wide_resnet": (9, 3, 8),
    "nine_layer_cnn": (33, 2, 2),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_pooled_from_the_map_and_logits_are_linear_in_them(name, rng):
    model, (side, height, channels) = NETWORKS[name], SIZES[name]
    images = rng.uniform(size=(2, side, side, 1)).astype(np.float32)
    variables = random_variables(model, images)

    @jax.jit
    def run(images):
        feature_map = model.apply(variables, images, method="feature_map")
        pooled = model.apply(variables, feature_map, method="pool")
        features = model.apply(variables, images, method="features")
        return feature_map, pooled, features, model.apply(variables, images)

    feature_map, pooled, features, logits = jax.device_get(run(images))
    assert feature_map.shape == (2, height, height, channels)
    assert feature_map.dtype == features.dtype == np.float32
    np.testing.assert_array_equal(pooled, features)
    # Nothing that a ReLU gives is negative, and not all is zero.
    assert feature_map.max() > 0
    if name != "nine_layer_cnn":
        assert feature_map.min() >= 0

    params = jax.device_get(variables["params"])
    want = feature_map.mean(axis=(1, 2))
    if name == "flattened":
        want = feature_map.reshape(2, -1)
    if "hidden0" in params:
        hidden = params["hidden0"]
        want = np.maximum(want @ hidden["kernel"] + hidden["bias"], 0)
    np.testing.assert_allclose(features, want, rtol=1e-4, atol=1e-5)
    head = params["head"]
    assert ("bias" in head) == (name != "resnet")
    want = features @ head["kernel"] + head.get("bias", 0)
    np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["flattened", "averaged_hidden", "wide_resnet"])
def test_half_precision_maps_are_given_in_float32(name):
    model = NETWORKS[name].clone(dtype=jnp.bfloat16)
    images = jax.ShapeDtypeStruct((2, 9, 9, 1), jnp.float32)
    variables = shapes(model, images)
    for method in ("feature_map", "features"):
        outputs = jax.eval_shape(
            lambda v, x, m=method: model.apply(v, x, method=m), variables, images
        )
        assert outputs.dtype == jnp.float32


def test_training_through_the_map_moves_the_running_averages_once(rng):
    """A recipe pools the map and applies the head by itself."""
    model = NETWORKS["wide_resnet"]
    images = rng.uniform(size=(4, 8, 8, 1)).astype(np.float32)
    mask = np.array([1, 1, 0, 1], bool)
    variables = random_variables(model, images)

    def by_parts(module, x, *, train, mask):
        feature_map = module.feature_map(x, train=train, mask=mask)
        return module.head(module.pool(feature_map))

    def train(method):
        return jax.jit(
            lambda x: model.apply(
                variables,
                x,
                train=True,
                mask=mask,
                mutable=["batch_stats"],
                method=method,
            )
        )(images)

    whole, parts = train("__call__"), train(by_parts)
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max() > 1e-4,
        whole[1]["batch_stats"],
        variables["batch_stats"],
    )
    assert all(jax.tree.leaves(moved))


def test_unknown_pooling():
    with pytest.raises(ValueError, match="pooling: unknown 'mean'"):
        models.SmallCNN(3, pooling="mean")
