"""SimCLR on digits: features without labels that are better than random ones."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.neighbors import KNeighborsClassifier

from robustjax import data, losses, methods, training
from robustjax.data import augmentation
from robustjax.models import BatchNorm, SmallCNN
from robustjax.training import _epoch as epoch_lib
from robustjax.transforms import ExampleSpec

ENCODER = SmallCNN(1, blocks=((16,), (32,)), hidden=(64,), convolution="patches")
TINY = SmallCNN(1, blocks=((8,),), hidden=(8,), convolution="patches")
AUGMENT = augmentation.simclr_augmentation(
    crop_scale=(0.5, 1.0), flip=False, jitter=0.5, grayscale=0
)


def algorithm(encoder=TINY, **settings):
    return methods.simclr(
        encoder,
        optax.adam(3e-3),
        **{"projection": (32, 16), "augment": AUGMENT, **settings},
    )


@functools.cache
def digits():
    return data.load_digits("train"), data.load_digits("test")


def neighbour_accuracy(program, state):
    train, test = digits()
    classifier = KNeighborsClassifier(5)
    classifier.fit(methods.encode(program, state, train.inputs), train.labels)
    return classifier.score(methods.encode(program, state, test.inputs), test.labels)


@pytest.mark.slow
def test_features_beat_those_of_the_untrained_encoder():
    train, _ = digits()
    losses_seen = []
    program, state = methods.train_simclr(
        algorithm(ENCODER),
        train.inputs,
        jax.random.key(0),
        epochs=10,
        batch_size=128,
        report=lambda epoch, metrics: losses_seen.append(metrics["loss"][0]),
    )
    untrained = program.init(jax.random.key(0)[None], jnp.asarray(train.inputs))
    before = neighbour_accuracy(program, untrained)
    after = neighbour_accuracy(program, state)
    assert losses_seen[-1] < losses_seen[0] - 0.3
    assert after > before + 0.01, (before, after)
    assert methods.encode(program, state, train.inputs[:3]).shape == (3, 64)


def start(algorithm, count=20, batch_size=8, padding=3):
    """A state and a batch whose last rows are padding."""
    train, _ = digits()
    images = jnp.asarray(train.inputs[:count])
    state = jax.jit(algorithm.init, static_argnums=2)(
        jax.random.key(1), images[:1], ExampleSpec(count, 2)
    )
    index = jnp.arange(batch_size).at[batch_size - padding :].set(count)
    batch = epoch_lib.read_batch(
        training.TrainData(images, jnp.zeros(count, jnp.int32)), index, count
    )
    return state, batch


@pytest.mark.slow
def test_objective_is_the_mean_loss_of_real_views():
    def still(key, images):
        del key
        return augmentation.to_float(images)

    method = algorithm(augment=still, temperature=0.3)
    state, batch = start(method)
    key = jax.random.key(2)
    loss, (_, metrics) = jax.jit(method.objective)(state.params, state, batch, key)
    # Without augmentation both views are one, so the features say it all.
    features = jax.jit(method.predict)(state.params, {}, batch["inputs"][:5])
    hidden = state.params["projection"]["Dense_0"]
    x = jnp.maximum(features @ hidden["kernel"] + hidden["bias"][None], 0)
    x = x @ state.params["projection"]["Dense_1"]["kernel"]
    want = jnp.mean(losses.nt_xent(x, x, temperature=0.3))
    np.testing.assert_allclose(loss, want, rtol=1e-4)
    np.testing.assert_array_equal(metrics["loss"], loss)


class Normalized(nn.Module):
    """An encoder with BatchNorm."""

    @nn.compact
    def features(self, inputs, *, train=False, mask=None):
        x = nn.Dense(8)(inputs.reshape(len(inputs), -1))
        return nn.relu(BatchNorm()(x, train=train, mask=mask))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [TINY, Normalized()])
def test_padding_rows_change_nothing(encoder):
    method = algorithm(encoder)
    state, batch = start(method)
    run = jax.jit(jax.value_and_grad(method.objective, has_aux=True))
    key = jax.random.key(2)
    (loss, (after, _)), gradient = run(state.params, state, batch, key)
    other = {**batch, "inputs": batch["inputs"].at[5:].set(255)}
    (changed, (moved, _)), other_gradient = run(state.params, state, other, key)
    np.testing.assert_allclose(changed, loss, rtol=1e-5)
    chex.assert_trees_all_close(other_gradient, gradient, atol=1e-5)
    chex.assert_trees_all_close(moved.model_state, after.model_state, atol=1e-6)
    if state.model_state:
        stats = after.model_state["batch_stats"]["BatchNorm_0"]
        assert np.abs(stats["mean"]).max() > 1e-3


@pytest.mark.slow
def test_encoder_variables_make_the_same_features():
    method = algorithm(Normalized())
    train, _ = digits()
    program, state = methods.train_simclr(
        method, train.inputs[:64], jax.random.key(0), epochs=1, batch_size=32
    )
    params, model_state = methods.encoder_variables(state)
    got = Normalized().apply(
        {"params": params, **model_state},
        augmentation.to_float(jnp.asarray(train.inputs[:5])),
        method="features",
    )
    want = methods.encode(program, state, train.inputs[:5])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_same_key_same_state_and_labels_are_ignored():
    method = algorithm()
    state, batch = start(method)
    step = jax.jit(functools.partial(epoch_lib.train_step, method))
    first, _ = step(state, batch)
    again, _ = step(state, {**batch, "label": jnp.ones(8, jnp.int32)})
    for got, want in zip(
        jax.tree.leaves(first.params), jax.tree.leaves(again.params), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    moved = jax.tree.map(jnp.array_equal, state.params, first.params)
    assert not all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_resumes_from_a_checkpoint(tmp_path):
    train, _ = digits()

    def run(epochs, folder):
        _, state = methods.train_simclr(
            algorithm(),
            train.inputs[:64],
            jax.random.key(0),
            epochs=epochs,
            batch_size=32,
            checkpoints=training.CheckpointFolder(tmp_path / folder),
        )
        return jax.tree.leaves(state.params)

    straight = run(2, "straight")
    run(1, "resumed")
    for got, want in zip(run(2, "resumed"), straight, strict=True):
        np.testing.assert_array_equal(got, want)


def test_errors():
    with pytest.raises(ValueError, match="temperature: got 0"):
        algorithm(temperature=0)
    with pytest.raises(ValueError, match="projection: got no layer"):
        algorithm(projection=())
    with pytest.raises(ValueError, match="projection: got 0"):
        algorithm(projection=(0,))
    with pytest.raises(ValueError, match="images: got shape"):
        methods.train_simclr(
            algorithm(), np.zeros((4, 64)), jax.random.key(0), epochs=1, batch_size=2
        )
    white = np.full((4, 8, 8, 1), 255, np.float32)
    with pytest.raises(ValueError, match=r"images: got floats from 255 to 255, exp"):
        methods.train_simclr(
            algorithm(), white, jax.random.key(0), epochs=1, batch_size=2
        )
