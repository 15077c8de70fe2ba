"""What every network has in common: padding, precision, both convolutions."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import models
from tests.models.variables import random_variables, shapes

# Narrow enough to compile fast; without dropout, so that rows can be compared.
NETWORKS = {
    "mlp": models.MLP(3, (16, 8)),
    "small_cnn": models.SmallCNN(3, blocks=((4,),), hidden=(8,)),
    "resnet": models.ResNet(18, 3, stem="small", width=2),
    "preact_resnet": models.PreActResNet(18, 3, width=2, final_norm=True),
    "wide_resnet": models.WideResNet(10, 2, 3, width=2),
    "nine_layer_cnn": models.NineLayerCNN(3, width=2, dropout=0.0),
    "cifar_resnet": models.CifarResNet(8, 3, width=2),
    "four_by_four_cnn": models.FourByFourCNN(3, (2, 3, 4), dropout=0.0),
}
SIZES = dict.fromkeys(NETWORKS, 8) | {"nine_layer_cnn": 28, "four_by_four_cnn": 28}
each_network = pytest.mark.parametrize("name", NETWORKS)


def images(name, rng, batch=5):
    shape = (batch, SIZES[name], SIZES[name], 1)
    return rng.uniform(size=shape).astype(np.float32)


@each_network
def test_signatures(name):
    """The trainer finds out by them whether a network takes a mask."""
    maps = () if name == "mlp" else ("feature_map",)
    for method in ("__call__", "features", *maps):
        function = getattr(type(NETWORKS[name]), method)
        parameters = inspect.signature(function).parameters
        assert [*parameters] == ["self", "inputs", "train", "mask"]
        for option, default in (("train", False), ("mask", None)):
            assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY
            assert parameters[option].default is default


@each_network
def test_padding_rows_change_nothing(name, rng):
    model, x = NETWORKS[name], images(name, rng)
    mask = np.array([1, 0, 1, 1, 0], bool)
    variables = random_variables(model, x)

    @jax.jit
    def train(x, mask):
        return model.apply(variables, x, train=True, mask=mask, mutable=["batch_stats"])

    def with_padding(value):
        padded = np.where(mask[:, None, None, None], x, np.float32(value))
        logits, changed = train(padded, mask)
        return jax.device_get((logits[mask], changed))

    first, second = with_padding(0), with_padding(100)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    # Without the mask, padding does make a difference to whoever has BatchNorm.
    mask_less, _ = train(np.where(mask[:, None, None, None], x, 0), np.ones(5, bool))
    differs = np.abs(mask_less[mask] - first[0]).max() > 1e-3
    assert differs == ("batch_stats" in variables)


@each_network
def test_half_precision_computes_in_half_precision_only(name):
    model = NETWORKS[name].clone(dtype=jnp.bfloat16)
    x = jax.ShapeDtypeStruct((2, SIZES[name], SIZES[name], 1), jnp.float32)

    def run(variables, x):
        trained = model.apply(variables, x, train=True, mutable=["batch_stats"])
        return trained, model.apply(variables, x, method="features")

    variables = shapes(model, x)
    outputs = variables, jax.eval_shape(run, variables, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {np.dtype(np.float32)}
    program = str(jax.make_jaxpr(run)(variables, x)).splitlines()
    products = ("= conv_general_dilated[", "= dot_general[")
    heavy = [line for line in program if any(name in line for name in products)]
    # The head alone stays in full precision.
    full = [line for line in heavy if ":bf16[" not in line.split("=")[0]]
    assert len(heavy) > 3
    assert len(full) == 1
    assert ":f32[2,3]" in full[0]


@pytest.mark.parametrize("name", ["mlp", "small_cnn", "wide_resnet"])
def test_half_precision_is_close(name, rng):
    model, x = NETWORKS[name], images(name, rng)
    variables = random_variables(model, x)

    def predict(dtype):
        return jax.jit(model.clone(dtype=dtype).apply)(variables, x)

    full, half = predict(jnp.float32), predict(jnp.bfloat16)
    assert 0 < np.abs(half - full).max() < 0.05 * np.abs(full).max()


# The others have tests of their own, or blocks in common with these.
@pytest.mark.parametrize("name", ["wide_resnet", "nine_layer_cnn"])
def test_both_convolutions_give_the_same(name, rng):
    x = images(name, rng, 2)
    native, patches = (
        NETWORKS[name].clone(convolution=c) for c in ("native", "patches")
    )
    variables = random_variables(native, x)
    got, want = (jax.jit(m.apply)(variables, x) for m in (patches, native))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
