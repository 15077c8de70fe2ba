"""Networks of the dataset-bias literature: what is particular about each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import models
from tests.models.variables import shapes


def count(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def test_the_mlp_of_colored_mnist():
    model = models.MLP(10, (100, 100, 100), input_scale=1 / 255, initialization="torch")
    x = np.random.default_rng(0).random((4, 28, 28, 3)).astype(np.float32)
    params = jax.jit(model.init)(jax.random.key(0), x)["params"]
    assert count(params) == 2352 * 100 + 2 * 100 * 100 + 100 * 10 + 310
    for name, width in (("hidden0", 2352), ("hidden1", 100), ("head", 100)):
        for leaf in params[name].values():
            bound = width**-0.5
            assert 0.8 * bound < np.abs(leaf).max() <= bound
        kernel = params[name]["kernel"]
        np.testing.assert_allclose(np.std(kernel), bound / 3**0.5, rtol=0.1)
    # The scale is that of the inputs, and of nothing else.
    plain = models.MLP(10, (100, 100, 100), initialization="torch")
    np.testing.assert_allclose(
        model.apply({"params": params}, x),
        plain.apply({"params": params}, x / 255),
        atol=1e-6,
    )
    half = model.clone(dtype=jnp.bfloat16).apply({"params": params}, x)
    assert half.dtype == jnp.float32


def test_resnet_20_of_cifar():
    variables = shapes(
        models.CifarResNet(20, 10), jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    )
    # 0.27 million in the paper: without parameters in shortcuts.
    assert count(variables["params"]) == 269_722


def test_a_padded_shortcut_subsamples_and_pads_on_both_sides(rng):
    block = models._cifar_resnet.PaddedShortcutBlock(8, 2)
    x = np.abs(rng.normal(size=(2, 6, 6, 4))).astype(np.float32)
    variables = jax.jit(block.init)(jax.random.key(0), x)
    silent = jax.tree.map(jnp.zeros_like, variables["params"])
    got = block.apply({**variables, "params": silent}, x, train=False)
    want = np.zeros((2, 3, 3, 8), np.float32)
    want[..., 2:6] = x[:, ::2, ::2]
    np.testing.assert_array_equal(got, want)


def test_the_network_of_pgd():
    model = models.FourByFourCNN(10)
    x = jax.ShapeDtypeStruct((2, 28, 28, 3), jnp.float32)
    variables = shapes(model, x)
    kernels = 16 * (3 * 8 + 8 * 32 + 32 * 64) + 64 * 10
    assert count(variables["params"]) == kernels + 3 * (8 + 32 + 64) + 10
    maps = jax.eval_shape(
        lambda v, x: model.apply(v, x, method="feature_map"), variables, x
    )
    assert maps.shape == (2, 1, 1, 64)
    with pytest.raises(ValueError, match="inputs: got .2, 24, 24, 3., expected at"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((2, 24, 24, 3)))


def test_two_encoders_have_parameters_of_their_own(rng):
    model = models.TwoEncoderClassifier(models.MLP(3, (6, 4)), 3)
    x = rng.normal(size=(5, 7)).astype(np.float32)
    params = jax.jit(model.init)(jax.random.key(0), x)["params"]
    assert {*params} == {
        *("intrinsic_encoder", "bias_encoder", "intrinsic_head", "bias_head")
    }
    assert params["bias_head"]["kernel"].shape == (8, 3)
    encoders = [params[f"{each}_encoder"] for each in ("intrinsic", "bias")]
    assert np.any(encoders[0]["hidden0"]["kernel"] != encoders[1]["hidden0"]["kernel"])
    z, b = model.apply({"params": params}, x, method="encode")
    for own, features in zip(encoders, (z, b)):
        want = models.MLP(3, (6, 4)).apply({"params": own}, x, method="features")
        np.testing.assert_allclose(features, want, atol=1e-6)
    head = params["intrinsic_head"]
    want = np.concatenate([z, b], axis=1) @ head["kernel"] + head["bias"][None]
    np.testing.assert_allclose(model.apply({"params": params}, x), want, atol=1e-5)


def test_two_encoders_with_batch_norm():
    """ResNets as encoders, each with statistics of its own."""
    model = models.TwoEncoderClassifier(models.CifarResNet(8, width=2), 3)
    variables = shapes(model, jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32))
    assert {*variables["batch_stats"]} == {"intrinsic_encoder", "bias_encoder"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.MLP(3, input_scale=0.0), "input_scale: got 0.0"),
        (lambda: models.MLP(3, initialization="he"), "initialization: unknown 'he'"),
        (lambda: models.CifarResNet(18, 10), "depth: got 18, expected 6 n"),
        (lambda: models.CifarResNet(20, 0), "num_classes: got 0"),
        (lambda: models.FourByFourCNN(10, (8, 32)), "widths: got .8, 32., expected"),
        (lambda: models.FourByFourCNN(10, dropout=1.0), "dropout: got 1.0"),
        (
            lambda: models.TwoEncoderClassifier(models.TorchDense(3), 3),
            "encoder: got TorchDense, expected a network",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
