"""The nine-layer network of Co-teaching: sizes, parity with PyTorch, dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import NineLayerCNN
from tests.models.torch_preactivation import copy_variables
from tests.models.variables import count, random_variables, shapes

CHANNELS = (128, 128, 128, 256, 256, 256, 512, 256, 128)


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (28, 1)])
def test_parameters_and_shapes(size, channels):
    model, image = NineLayerCNN(10), jnp.zeros((2, size, size, channels))
    variables = shapes(model, image)
    total, before = 0, channels
    for width in CHANNELS:
        total += 9 * before * width + width + 2 * width
        before = width
    assert count(variables["params"]) == total + 129 * 10
    for method, width in (("__call__", 10), ("features", 128)):
        outputs = jax.eval_shape(
            lambda v, x, m=method: model.apply(v, x, method=m), variables, image
        )
        assert outputs.shape == (2, width)


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_parity_with_plain_pytorch(rng):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    images = rng.normal(size=(3, 32, 32, 3)).astype(np.float32)
    model = NineLayerCNN(4, width=2)
    variables = random_variables(model, images)
    layers, before = nn.ModuleDict(), 3
    for i, width in enumerate(CHANNELS):
        width //= 64
        padding = 1 if i < 6 else 0
        layers[f"conv{i + 1}"] = nn.Conv2d(before, width, 3, padding=padding)
        layers[f"norm{i + 1}"] = nn.BatchNorm2d(width)
        before = width
    layers["head"] = nn.Linear(before, 4)
    copy_variables(torch, variables, layers.eval())
    with torch.no_grad():
        x = torch.tensor(images.transpose(0, 3, 1, 2))
        for i in range(9):
            x = layers[f"norm{i + 1}"](layers[f"conv{i + 1}"](x))
            x = nn.functional.leaky_relu(x, 0.01)
            if i in (2, 5):
                x = nn.functional.max_pool2d(x, 2)
        want = layers["head"](x.mean((2, 3))).numpy()
    got = jax.jit(model.apply)(variables, images)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())


def test_dropout_takes_whole_channels(rng):
    images = rng.normal(size=(2, 28, 28, 1)).astype(np.float32)
    model = NineLayerCNN(3, width=4)
    variables = random_variables(model, images)

    def second_group():
        _, state = model.apply(
            variables,
            images,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            capture_intermediates=lambda module, _: module.name == "drop",
            mutable=["intermediates", "batch_stats"],
        )
        return state["intermediates"]["drop"]["__call__"]

    for maps in jax.jit(second_group)():
        gone = np.asarray(maps == 0)
        whole = gone.all(axis=(1, 2))
        np.testing.assert_array_equal(gone.any(axis=(1, 2)), whole)
        assert 0 < whole.mean() < 0.6


def test_errors():
    with pytest.raises(ValueError, match="dropout: got 1"):
        NineLayerCNN(3, dropout=1.0)
    with pytest.raises(ValueError, match="convolution: unknown 'fast'"):
        NineLayerCNN(3, convolution="fast")
    with pytest.raises(ValueError, match="kernel: got extent"):
        shapes(NineLayerCNN(3, width=1), jnp.zeros((1, 24, 24, 3)))
