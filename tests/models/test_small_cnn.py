"""The small CNN: shapes, and the same training whatever runs its convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import data, training
from robustjax.models import SmallCNN


def network(**settings):
    return SmallCNN(10, blocks=((8, 8),), hidden=(32,), **settings)


@pytest.mark.parametrize("size", [28, 32])
def test_shapes_and_parameter_names(size):
    model = SmallCNN(7, hidden=(128,), padding="VALID")
    x = jnp.zeros((3, size, size, 1))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    assert set(variables) == {"params"}
    assert set(variables["params"]) == {
        "block0_conv0",
        "block0_conv1",
        "hidden0",
        "head",
    }
    flat = ((size - 4) // 2) ** 2 * 64
    assert variables["params"]["hidden0"]["kernel"].shape == (flat, 128)
    for method, width in (("__call__", 7), ("features", 128)):
        out = jax.eval_shape(
            lambda v, x: model.apply(v, x, train=True, method=method), variables, x
        )
        assert out.shape == (3, width)


def test_without_hidden_layers_features_are_the_flat_maps():
    model = SmallCNN(3, blocks=((2,), (5,)), hidden=())
    x = jnp.zeros((2, 8, 8, 3))
    out, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        jax.random.key(0),
        x,
    )
    assert out.shape == (2, 2 * 2 * 5)


def test_implementations_have_the_same_parameters_and_outputs(rng):
    x = rng.uniform(size=(3, 8, 8, 1)).astype(np.float32)
    native, patches = (network(convolution=c) for c in ("native", "patches"))
    variables, other = (
        jax.jit(m.init)(jax.random.key(0), x) for m in (native, patches)
    )
    assert jax.tree.all(jax.tree.map(jnp.array_equal, variables, other))
    ours, theirs = (jax.jit(m.apply)(variables, x) for m in (patches, native))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match="convolution: unknown"):
        SmallCNN(10, convolution="fast")
    with pytest.raises(ValueError, match="num_classes: got 0"):
        SmallCNN(0)
    with pytest.raises(ValueError, match="expected a convolution in every block"):
        SmallCNN(10, blocks=((8,), ()))
    model = network()
    with pytest.raises(ValueError, match="inputs: got uint8"):
        model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1), jnp.uint8))
    with pytest.raises(ValueError, match="inputs: got shape"):
        model.init(jax.random.key(0), jnp.zeros((1, 64)))


def train(digits, *, convolution, loop, repeats=2):
    """Some epochs on digits; the parameters, the losses and the test accuracy."""
    train_set, test_set = digits
    count = 300
    program = training.Program(
        training.supervised(
            network(convolution=convolution), rj.ce(), optax.sgd(0.02, momentum=0.9)
        ),
        rj.ExampleSpec(count, 10),
        batch_size=32,
        execution=training.choose_execution(
            convolutional=True, loop=loop, convolution=convolution
        ),
    )
    images = train_set.inputs[:count]
    labels = np.stack([train_set.labels[:count]] * repeats)
    state = program.init(
        jax.random.split(jax.random.key(0), repeats), jnp.asarray(images)
    )
    batches = program.make_data(images, labels)
    losses = []
    for _ in range(5):
        state, metrics = program.epoch(state, batches)
        losses.append(np.asarray(metrics["loss"]))
    logits = np.asarray(program.predict(state, jnp.asarray(test_set.inputs)))
    accuracy = (logits.argmax(-1) == test_set.labels).mean(axis=1)
    return jax.device_get(state.params), np.concatenate(losses, axis=1), accuracy


@pytest.mark.slow
def test_patches_in_a_scan_train_as_native_steps_do():
    digits = data.load_digits("train"), data.load_digits("test")
    scanned = train(digits, convolution="patches", loop="scan")
    stepped = train(digits, convolution="native", loop="steps")
    np.testing.assert_allclose(scanned[1], stepped[1], rtol=1e-2, atol=1e-3)
    for got, want in zip(jax.tree.leaves(scanned[0]), jax.tree.leaves(stepped[0])):
        np.testing.assert_allclose(got, want, rtol=1e-2, atol=2e-3)
    assert (scanned[2] > 0.7).all()
    np.testing.assert_allclose(scanned[2], stepped[2], atol=0.01)


@pytest.mark.slow
def test_strides_halve_the_image_as_pools_do():
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 9, 8, 3)))
    images = images.astype(jnp.float32)
    model = SmallCNN(5, ((4, 6), (8,)), (), downsampling="stride")
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert model.apply(variables, images, method="features").shape == (2, 3 * 2 * 8)
    kernel = variables["params"]["block0_conv0"]["kernel"]
    assert kernel.shape == (3, 3, 3, 4)
    patches = model.clone(convolution="patches")
    np.testing.assert_allclose(
        model.apply(variables, images), patches.apply(variables, images), atol=1e-5
    )
    with pytest.raises(ValueError, match="downsampling: unknown 'mean'"):
        SmallCNN(5, downsampling="mean")
