"""The swapping autoencoder's layers and networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import models
from robustjax.models import _equalized as layers
from tests.models.variables import random_variables, shapes


def test_a_modulated_convolution_is_one_with_a_kernel_per_image(rng):
    conv = layers.ModulatedConv(5)
    x = rng.normal(size=(3, 6, 6, 4)).astype(np.float32)
    style = rng.normal(size=(3, 7)).astype(np.float32)
    params = jax.device_get(jax.jit(conv.init)(jax.random.key(0), x, style)["params"])
    got = conv.apply({"params": params}, x, style)
    scales = style @ params["scale"]["kernel"] * 7**-0.5 + params["scale"]["bias"]
    for i in range(3):
        kernel = params["kernel"] * (9 * 4) ** -0.5 * scales[i][:, None]
        kernel = kernel / np.sqrt((kernel**2).sum((0, 1, 2)) + 1e-8)
        padded = np.pad(x[i], ((1, 1), (1, 1), (0, 0)), mode="reflect")
        want = np.zeros((6, 6, 5))
        for r in range(3):
            for c in range(3):
                want += padded[r : r + 6, c : c + 6] @ kernel[r, c]
        np.testing.assert_allclose(got[i], want, atol=1e-4)


def test_layers_keep_the_variance_of_their_input(rng):
    """So that every layer learns at the same rate, whatever its width."""
    x = rng.normal(size=(8, 12, 12, 24)).astype(np.float32)
    for layer in (layers.EqualConv(64), layers.EqualDense(64)):
        y = jax.jit(layer.init_with_output)(jax.random.key(1), x)[0]
        assert 0.8 < np.std(y) < 1.2
    assert 0.8 < np.sqrt(np.mean(np.asarray(layers.leaky(x)) ** 2)) < 1.2


def test_blurring_keeps_ramps_and_constants():
    ramp = np.broadcast_to(np.arange(6.0)[None, :, None, None], (1, 6, 5, 1))
    got = layers.blurred(jnp.asarray(ramp))
    np.testing.assert_allclose(got[:, 1:-1], ramp[:, 1:-1], atol=1e-6)
    np.testing.assert_allclose(layers.blurred(jnp.ones((1, 4, 4, 2))), 1, atol=1e-6)


@pytest.mark.parametrize(("size", "left"), [(28, 7), (32, 8)])
def test_codes_and_images_of_the_published_sizes(size, left):
    def build(images):
        encoder, generator = models.SwapEncoder(), models.SwapGenerator()
        codes, params = encoder.init_with_output(jax.random.key(0), images)
        made, _ = generator.init_with_output(jax.random.key(1), *codes)
        seen, _ = models.ImageDiscriminator().init_with_output(
            jax.random.key(2), images
        )
        return codes, made, seen, params

    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    (structure, style), made, seen, _ = jax.eval_shape(build, x)
    assert structure.shape == (2, left, left, 8)
    assert style.shape == (2, 128)
    assert made.shape == (2, size, size, 3)
    assert seen.shape == (2,)


@pytest.mark.slow
def test_codes_have_length_one_and_noise_is_off_without_a_key(rng):
    encoder = models.SwapEncoder((4, 6), structure=3, style=5)
    generator = models.SwapGenerator((4, 6))
    x = rng.uniform(-1, 1, (2, 14, 14, 3)).astype(np.float32)
    structure, style = jax.jit(encoder.apply)(random_variables(encoder, x), x)
    np.testing.assert_allclose(np.linalg.norm(structure, axis=-1), 1, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(style, axis=-1), 1, rtol=1e-3)
    variables = jax.tree.map(
        lambda leaf: np.asarray(leaf) + np.float32(0.3),
        jax.jit(generator.init)(jax.random.key(0), structure, style),
    )
    make = jax.jit(lambda key: generator.apply(variables, structure, style, key))
    still = jax.jit(generator.apply)(variables, structure, style)
    one, two = (make(jax.random.key(i)) for i in (0, 1))
    assert np.abs(one - two).max() > 1e-3
    assert np.abs(one - still).max() > 1e-3
    np.testing.assert_array_equal(one, make(jax.random.key(0)))


@pytest.mark.slow
def test_patches_are_judged_by_the_mean_of_their_references(rng):
    network = models.PatchDiscriminator((4, 6), hidden=8)
    reference, target = rng.normal(size=(2, 2, 3, 4, 4, 3)).astype(np.float32)
    variables = jax.jit(network.init)(jax.random.key(0), reference, target)
    judge = jax.jit(lambda r, t: network.apply(variables, r, t))
    found = judge(reference, target)
    assert found.shape == (2, 3)
    np.testing.assert_allclose(judge(reference[:, ::-1], target), found, atol=1e-4)
    turned = judge(reference, target[:, ::-1])
    np.testing.assert_allclose(turned[:, ::-1], found, atol=1e-4)
    assert np.abs(judge(reference + 1, target) - found).max() > 1e-3


@pytest.mark.slow
def test_bad_arguments():
    with pytest.raises(ValueError, match="widths: got .32,., expected two"):
        models.SwapEncoder((32,))
    with pytest.raises(ValueError, match="widths: got .32,., expected two"):
        models.SwapGenerator((32,))
    with pytest.raises(ValueError, match="style: got 0"):
        models.SwapEncoder(style=0)
    with pytest.raises(ValueError, match="images: got .* leave .4, 4., expected at"):
        shapes(models.SwapEncoder(), jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32))
