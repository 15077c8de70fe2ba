"""CSI: which views are alike, which rotation is which, and what the pool gets."""

import functools
import importlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robustjax import data, training
from robustjax.data import augmentation
from robustjax.methods.active_learning import csi, csi_optimizer, pool_embeddings
from robustjax.methods.active_learning._csi import four_rotations
from robustjax.methods.features import simclr, train_simclr
from robustjax.models import MLP, SmallCNN
from robustjax.training import _epoch as epoch_lib
from robustjax.transforms import ExampleSpec
from tests.methods.feature_problem import NormalizedFeatures

TINY = SmallCNN(1, blocks=((8,), (8,)), hidden=(16,), convolution="patches")
AUGMENT = augmentation.simclr_augmentation(
    crop_scale=(0.5, 1.0), flip=False, jitter=0.3, grayscale=0
)


def algorithm(encoder=TINY, optimizer=None, **settings):
    return csi(
        encoder,
        optimizer or optax.adam(3e-3),
        **{"projection": (12, 6), "flip": False, "augment": AUGMENT, **settings},
    )


@functools.cache
def digits():
    return data.load_digits("train").inputs


def start(algorithm, real=3, padding=0):
    """A state, and a batch whose last rows are padding."""
    images = jnp.asarray(digits()[: real + 1])
    state = jax.jit(algorithm.init, static_argnums=2)(
        jax.random.key(1), images[:1], ExampleSpec(len(images), 2)
    )
    index = jnp.append(jnp.arange(real), jnp.full(padding, len(images)))
    held = training.TrainData(images, jnp.zeros(len(images), jnp.int32))
    return state, epoch_lib.read_batch(held, index, len(images))


def test_rotations_turn_counterclockwise():
    image = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
    turned = np.asarray(four_rotations(jnp.asarray(image)))[:, 0, :, :, 0]
    assert turned.dtype == np.uint8
    np.testing.assert_array_equal(turned[0], [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    np.testing.assert_array_equal(turned[1], [[2, 5, 8], [1, 4, 7], [0, 3, 6]])
    np.testing.assert_array_equal(turned[2], [[8, 7, 6], [5, 4, 3], [2, 1, 0]])
    np.testing.assert_array_equal(turned[3], [[6, 3, 0], [7, 4, 1], [8, 5, 2]])


def test_a_step_equals_its_definition():
    """Views are positives if image and rotation agree, and negatives otherwise."""
    size = 3
    noise = np.random.default_rng(0).uniform(0, 0.2, (8 * size, 8, 8, 1))
    noise = noise.astype(np.float32)
    method = algorithm(augment=lambda key, images: images + noise, temperature=0.3)
    state, batch = start(method)
    loss, (_, metrics) = jax.jit(method.objective)(
        state.params, state, batch, jax.random.key(2)
    )
    params = jax.device_get(state.params)

    images = digits()[:size].astype(np.float32) / 255
    # (copy, rotation, image) of every view.
    names = [(c, r, i) for c in range(2) for r in range(4) for i in range(size)]
    views = np.stack([np.rot90(images[i], r) for _, r, i in names]) + noise
    features = np.asarray(
        jax.jit(method.predict)(state.params, {}, jnp.asarray(views, jnp.float32))
    )
    first, last = (params["projection"][f"Dense_{n}"] for n in range(2))
    z = np.maximum(features @ first["kernel"] + first["bias"], 0) @ last["kernel"]
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    similarity = np.exp(z @ z.T / 0.3)
    contrastive = []
    for a, (copy, *rest) in enumerate(names):
        partner = names.index((1 - copy, *rest))
        others = similarity[a].sum() - similarity[a, a]
        contrastive.append(-np.log(similarity[a, partner] / others))
    logits = features @ params["shift"]["kernel"] + params["shift"]["bias"]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    told = [-log_p[a, r] for a, (_, r, _) in enumerate(names)]
    right = [np.argmax(logits[a]) == r for a, (_, r, _) in enumerate(names)]

    np.testing.assert_allclose(metrics["contrastive_loss"], np.mean(contrastive), 1e-4)
    np.testing.assert_allclose(metrics["shift_loss"], np.mean(told), rtol=1e-4)
    np.testing.assert_allclose(metrics["shift_accuracy"], np.mean(right), rtol=1e-6)
    np.testing.assert_allclose(loss, np.mean(contrastive) + np.mean(told), rtol=1e-4)


def test_copies_are_mirrored_before_they_are_turned():
    """What is turned by 90 degrees is an image or its mirror image."""
    seen = []

    def look(key, images):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), images)
        return images

    method = algorithm(flip=True, augment=look)
    state, batch = start(method, real=8)
    jax.jit(method.objective)(state.params, state, batch, jax.random.key(2))
    jax.effects_barrier()
    images = digits()[:8].astype(np.float32) / 255
    views = seen[0].reshape(2, 4, 8, 8, 8, 1)
    mirrored = []
    for copy in views:
        for i, image in enumerate(images):
            flips = [
                all(np.allclose(copy[r, i], np.rot90(candidate, r)) for r in range(4))
                for candidate in (image, image[:, ::-1])
            ]
            assert sum(flips) == 1
            mirrored.append(flips[1])
    assert 0 < sum(mirrored) < len(mirrored)


@pytest.mark.slow
def test_padding_rows_change_nothing():
    class Flat(NormalizedFeatures):
        def features(self, inputs, *, train=False, mask=None):
            flat = inputs.reshape(len(inputs), -1)
            return super().features(flat, train=train, mask=mask)

    # The same change of all views, so that the batch's size makes no difference.
    method = algorithm(Flat(), augment=lambda key, images: 0.9 * images)
    state, whole = start(method)
    _, padded = start(method, padding=2)
    junk = {**padded, "inputs": padded["inputs"].at[3:].set(255)}
    run = jax.jit(jax.grad(method.objective, has_aux=True))
    want, got = (
        run(state.params, state, batch, jax.random.key(2)) for batch in (whole, junk)
    )
    chex.assert_trees_all_close(got[0], want[0], atol=1e-5)
    chex.assert_trees_all_close(got[1][1], want[1][1], rtol=1e-5)
    chex.assert_trees_all_close(
        got[1][0].model_state, want[1][0].model_state, atol=1e-6
    )


@pytest.mark.slow
def test_rotations_are_learnt_and_the_loss_falls():
    seen = []
    images = digits()[:128]
    program, state = train_simclr(
        algorithm(optimizer=optax.adam(1e-2), outputs="projections"),
        images,
        jax.random.key(0),
        epochs=8,
        batch_size=32,
        report=lambda epoch, metrics: seen.append(metrics),
    )
    assert seen[-1]["loss"][0] < seen[0]["loss"][0] - 0.5
    assert seen[-1]["contrastive_loss"][0] < seen[0]["contrastive_loss"][0] - 0.1
    assert seen[-1]["shift_accuracy"][0] > 0.5
    assert program.predict(state, jnp.asarray(images[:3])).shape == (1, 3, 6)


@pytest.mark.slow
def test_embeddings_of_a_pool(tmp_path):
    images = digits()[:16]
    reports = []
    settings = {
        "epochs": 1,
        "batch_size": 8,
        "projection": (8, 4),
        "flip": False,
        "augment": lambda key, images: images.astype(jnp.float32) / 255,
        "report": lambda name, epoch, metrics: reports.append((name, epoch)),
        "checkpoints": tmp_path,
    }
    run = functools.partial(
        pool_embeddings, jax.random.key(0), images, MLP(1, (8,)), optax.adam(1e-3)
    )
    found = run(rotations=True, **settings)
    assert {name: value.shape for name, value in found.items()} == {
        "projections": (16, 4),
        "distinctive": (4, 16, 4),
        "semantic": (4, 16, 4),
    }
    assert reports == [("csi", 0), ("simclr", 0)]
    np.testing.assert_array_equal(found["projections"], found["distinctive"][0])
    assert not np.allclose(found["distinctive"][0], found["semantic"][0], atol=1e-3)
    # From the checkpoint, and of turned images.
    again = pool_embeddings(
        jax.random.key(0),
        np.rot90(images, axes=(1, 2)),
        MLP(1, (8,)),
        optax.adam(1e-3),
        **settings,
    )
    assert [*again] == ["projections"]
    assert len(reports) == 2
    np.testing.assert_allclose(
        again["projections"], found["distinctive"][1], rtol=1e-5, atol=1e-6
    )


def test_published_optimizer():
    """Warm-up to the peak, and steps whose size is that of the parameters' norm."""
    optimizer = csi_optimizer(epochs=4, steps_per_epoch=5, warmup_epochs=1)
    params = {"w": jnp.full((3,), 2.0)}
    state = optimizer.init(params)
    gradient = {"w": jnp.array([3.0, 0.0, -4.0])}

    def step(state, _):
        update, state = optimizer.update(gradient, state, params)
        return state, update["w"]

    _, updates = jax.lax.scan(step, state, length=20)
    trace, want = np.zeros(3), []
    for number in range(20):
        rate = 0.1 + 0.9 * number / 5
        if number >= 5:
            rate = 0.5 * (1 + np.cos(np.pi * (number - 5) / 15))
        g = np.array([3.0, 0.0, -4.0]) + 1e-6 * 2
        ratio = 0.001 * np.sqrt(12.0) / np.linalg.norm(g)
        trace = 0.9 * trace - rate * ratio * g
        want.append(trace)
    np.testing.assert_allclose(updates, want, rtol=1e-3, atol=1e-7)


def test_errors():
    with pytest.raises(ValueError, match="temperature: got 0"):
        algorithm(temperature=0)
    with pytest.raises(ValueError, match="projection: got no layer"):
        algorithm(projection=())
    with pytest.raises(ValueError, match="outputs: unknown 'feature'"):
        algorithm(outputs="feature")
    with pytest.raises(ValueError, match="encoder: got Dense, expected a network"):
        algorithm(importlib.import_module("flax.linen").Dense(3))
    with pytest.raises(ValueError, match="images: got 8 by 6 pixels, expected square"):
        train_simclr(
            algorithm(), np.zeros((4, 8, 6, 1)), jax.random.key(0),
            epochs=1, batch_size=2,
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"images: got shape \(4, 5\), expected"):
        pool_embeddings(
            jax.random.key(0),
            np.zeros((4, 5)),
            MLP(3),
            optax.sgd(0.1),
            epochs=1,
            batch_size=2,
        )
    with pytest.raises(ValueError, match="epochs: got 0"):
        csi_optimizer(epochs=0, steps_per_epoch=1)
    with pytest.raises(ValueError, match="outputs: unknown"):
        simclr(TINY, optax.sgd(0.1), outputs="logits")
