"""Residual networks: published sizes, shapes, both stems, early errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import ResNet
from robustjax.models._resnet import ResidualBlock
from tests.models.variables import random_variables


def shapes(model, size=32, channels=3):
    image = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), image)


@pytest.mark.parametrize(
    ("depth", "published"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160)],
)
def test_parameter_counts_are_the_published(depth, published):
    params = shapes(ResNet(depth, 1000))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == published


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "width"), [(18, 512), (50, 2048)])
def test_shapes_of_features_and_logits(depth, width):
    model = ResNet(depth, 7)
    variables = shapes(model)
    for size in (33, 64):
        image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
        logits = jax.eval_shape(model.apply, variables, image)
        assert logits.shape == (2, 7)
        features = jax.eval_shape(
            lambda v, x: model.apply(v, x, method="features"), variables, image
        )
        assert (features.shape, features.dtype) == ((2, width), jnp.float32)
    # A network without a head needs no variables of one.
    variables["params"].pop("head")
    headless = ResNet(depth)
    assert jax.eval_shape(headless.apply, variables, image).shape == (2, width)


def feature_map_sizes(model, size):
    """The extent of the feature maps after every block."""

    def run():
        _, state = model.init_with_output(
            jax.random.key(0),
            jnp.zeros((1, size, size, 3)),
            capture_intermediates=True,
            mutable=["intermediates", "params", "batch_stats"],
        )
        blocks = {k: v for k, v in state["intermediates"].items() if "block" in k}
        return {k: v["__call__"][0] for k, v in blocks.items()}

    maps = jax.eval_shape(run)
    return {name: leaf.shape[1] for name, leaf in maps.items()}


def test_stems():
    """ImageNet's divides by 32 in all, the small one by 8, rounding up."""
    sizes = feature_map_sizes(ResNet(18), 224)
    assert [sizes[f"stage{s}_block1"] for s in (1, 2, 3, 4)] == [56, 28, 14, 7]
    sizes = feature_map_sizes(ResNet(18), 65)
    assert [sizes[f"stage{s}_block1"] for s in (1, 2, 3, 4)] == [17, 9, 5, 3]
    sizes = feature_map_sizes(ResNet(18, stem="small"), 32)
    assert [sizes[f"stage{s}_block1"] for s in (1, 2, 3, 4)] == [32, 16, 8, 4]
    kernel = shapes(ResNet(18, stem="small"), channels=1)["params"]["stem_conv"]
    assert kernel["kernel"].shape == (3, 3, 1, 64)


def test_bottleneck_strides_are_in_the_three_by_three():
    def run():
        _, state = ResNet(50).init_with_output(
            jax.random.key(0),
            jnp.zeros((1, 64, 64, 3)),
            capture_intermediates=True,
            mutable=["intermediates", "params", "batch_stats"],
        )
        return state["intermediates"]["stage2_block1"]

    captured = jax.eval_shape(run)
    assert captured["conv1"]["__call__"][0].shape == (1, 16, 16, 128)
    assert captured["conv2"]["__call__"][0].shape == (1, 8, 8, 128)
    assert captured["conv3"]["__call__"][0].shape == (1, 8, 8, 512)


def test_training_normalises_by_the_batch_and_updates_all_statistics(rng):
    images = jnp.asarray(rng.normal(size=(3, 9, 9, 3)), jnp.float32)
    model = ResNet(18, 4, stem="small", width=2)
    variables = random_variables(model, images)

    @jax.jit
    def run(images):
        return model.apply(variables, images, train=True, mutable=["batch_stats"])

    logits, changed = run(images)
    assert logits.shape == (3, 4)
    moved = jax.tree.map(
        lambda a, b: bool(np.any(a != b)),
        jax.device_get(variables["batch_stats"]),
        jax.device_get(changed["batch_stats"]),
    )
    assert len(jax.tree.leaves(moved)) == 2 * 20
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_block_is_the_same_with_both_convolutions(rng, bottleneck):
    images = jnp.asarray(rng.normal(size=(3, 7, 7, 6)), jnp.float32)

    def run(convolution):
        block = ResidualBlock(4, bottleneck, stride=2, convolution=convolution)
        variables = random_variables(block, images)

        def loss(params):
            outputs, changed = block.apply(
                {**variables, "params": params},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.sum(outputs**2), (outputs, changed)

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        run("native"),
        run("patches"),
    )


def test_bad_arguments():
    with pytest.raises(ValueError, match="depth: got 19, expected one of 18, 34, 50"):
        ResNet(19)
    with pytest.raises(ValueError, match="stem: unknown 'smal'.*'small'"):
        ResNet(18, stem="smal")
    with pytest.raises(ValueError, match="convolution: unknown 'fast'"):
        ResNet(18, convolution="fast")
    with pytest.raises(ValueError, match="num_classes: got 0"):
        ResNet(18, 0)
    with pytest.raises(ValueError, match="width: got 0"):
        ResNet(18, width=0)
    with pytest.raises(ValueError, match=r"inputs: got shape \(32, 32, 3\)"):
        ResNet(18).init(jax.random.key(0), jnp.zeros((32, 32, 3)))
    with pytest.raises(ValueError, match="inputs: got uint8, expected floats"):
        ResNet(18).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.uint8))
