"""The pre-activation ResNet: sizes, parity with PyTorch, final norm, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import PreActResNet
from tests.models import torch_preactivation
from tests.models.variables import count, random_variables, shapes


def expected_parameters(depth, classes, width=64, channels=3, final_norm=False):
    """Counted layer by layer: kernels, then two numbers per normalised channel."""
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}[depth]
    total = 9 * channels * width + 2 * width
    before = width
    for stage, number in enumerate(blocks):
        after = width * 2**stage
        for _ in range(number):
            total += 2 * before + 9 * before * after + 2 * after + 9 * after**2
            total += before * after if before != after else 0
            before = after
    return total + (2 * before if final_norm else 0) + (before + 1) * classes


@pytest.mark.parametrize(
    ("depth", "classes", "total"), [(18, 10, 11_171_274), (34, 100, None)]
)
def test_parameter_counts(depth, classes, total):
    image = jnp.zeros((1, 32, 32, 3))
    got = count(shapes(PreActResNet(depth, classes), image)["params"])
    assert got == expected_parameters(depth, classes)
    # The public code's network of depth 18 for CIFAR-10, about 11.17 million.
    assert total in (None, got)
    narrow = PreActResNet(depth, classes, width=5, final_norm=True)
    assert count(shapes(narrow, image)["params"]) == expected_parameters(
        depth, classes, width=5, final_norm=True
    )


def test_features_have_512_channels_and_four_pixels_on_a_side():
    model, image = PreActResNet(18), jnp.zeros((2, 32, 32, 3))
    variables = shapes(model, image)
    assert "head" not in variables["params"]
    features = jax.eval_shape(model.apply, variables, image)
    assert (features.shape, features.dtype) == ((2, 512), jnp.float32)
    _, state = jax.eval_shape(
        lambda v, x: model.apply(
            v, x, capture_intermediates=True, mutable=["intermediates"]
        ),
        variables,
        image,
    )
    maps = state["intermediates"]
    sizes = [maps[f"stage{s}_block2"]["__call__"][0].shape[1] for s in (1, 2, 3, 4)]
    assert sizes == [32, 16, 8, 4]


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_parity_with_plain_pytorch(rng):
    torch = pytest.importorskip("torch")
    images = rng.normal(size=(4, 16, 16, 3)).astype(np.float32)
    model = PreActResNet(18, 5, width=4)
    module = torch_preactivation.build(
        torch,
        (4, 8, 16, 32),
        (2, 2, 2, 2),
        stem=4,
        stem_norm=True,
        last_norm=False,
        classes=5,
    )
    variables = random_variables(model, images)
    features = torch_preactivation.assert_parity(
        torch, model, variables, module, images, gradient=False
    )
    # Nothing follows the last block.
    assert (features < 0).any()


def test_errors():
    with pytest.raises(ValueError, match="depth: got 50, expected one of 18, 34"):
        PreActResNet(50)
    with pytest.raises(ValueError, match="num_classes: got 0"):
        PreActResNet(18, 0)
    with pytest.raises(ValueError, match="width: got 0"):
        PreActResNet(18, width=0)
    with pytest.raises(ValueError, match="convolution: unknown 'fast'"):
        PreActResNet(18, convolution="fast")
    with pytest.raises(ValueError, match="inputs: got uint8, expected floats"):
        shapes(PreActResNet(18), jnp.zeros((1, 8, 8, 3), jnp.uint8))
