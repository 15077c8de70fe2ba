"""The example clients: each trains, remembers every example, and marks its lines."""

from __future__ import annotations

import importlib
import inspect
import re

import jax
import numpy as np
import pytest

import robustjax as rj
from examples import noisy_mnist

# What a client needs beside the extra `experiments`.
CLIENTS = {
    "linen_loop": None,
    "nnx_loop": None,
    "equinox_loop": "equinox",
    "haiku_loop": "haiku",
    "pmap_imagenet": None,
    "big_vision_update": None,
}
EPOCHS, N = 3, 128


def _client(name):
    if CLIENTS[name] is not None:
        pytest.importorskip(CLIENTS[name])
    return importlib.import_module(f"examples.{name}")


@pytest.fixture(scope="module")
def blobs():
    """Images around one prototype per class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, N).astype(np.int32)
    centres = rng.normal(size=(10, 28, 28, 1))
    images = centres[labels] + 0.5 * rng.normal(size=(N, 28, 28, 1))
    return images.astype(np.float32), labels


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIENTS)
def test_trains_and_remembers_every_example(name, blobs):
    images, labels = blobs
    tx = rj.chain(rj.ce(), rj.elr(strength=1.0, decay=0.7))
    client = _client(name)
    predict, memory = client.train(tx, images, labels, epochs=EPOCHS, batch_size=32)
    predicted = np.asarray(predict(images)).argmax(1)
    assert (predicted == labels).mean() > 0.8
    (target,) = jax.tree.leaves(memory.rows)
    # Every epoch moved every row once, from a distribution towards a distribution: by
    # device where every one of them holds all rows.
    mass = np.asarray(target).sum(-1)
    np.testing.assert_allclose(mass, 1 - 0.7**EPOCHS, rtol=1e-5)
    devices = jax.local_device_count()
    copies = (devices,) if name == "pmap_imagenet" else ()
    assert target.shape == (*copies, N, 10)
    if copies:
        assert devices == 8
        np.testing.assert_array_equal(target, np.broadcast_to(target[0], target.shape))
        target = target[0]
    remembered = np.asarray(target).argmax(1)
    assert (remembered == labels).mean() > 0.7


def test_pmap_takes_a_loss_without_memory(blobs):
    client = _client("pmap_imagenet")
    predict, memory = client.train(rj.ce(), *blobs, epochs=1, batch_size=32)
    assert jax.tree.leaves(memory) == []
    assert np.isfinite(predict(blobs[0])).all()


@pytest.mark.slow
def test_microbatches_make_the_steps_of_one_batch(blobs):
    """SOP's rows, which the update itself trains, and the network."""
    client = _client("big_vision_update")
    images, labels = blobs
    results = [
        client.train(
            rj.sop(lr_u=100.0, lr_v=100.0),
            images,
            labels,
            epochs=2,
            batch_size=32,
            microbatches=microbatches,
        )
        for microbatches in (1, 4)
    ]
    (whole, rows), (parts, parts_rows) = results
    np.testing.assert_allclose(whole(images), parts(images), rtol=1e-3, atol=1e-4)
    for one, other in zip(jax.tree.leaves(rows.rows), jax.tree.leaves(parts_rows.rows)):
        np.testing.assert_allclose(one, other, rtol=1e-3)
    moved = [np.abs(leaf).max() for leaf in jax.tree.leaves(rows.rows)]
    assert min(moved) > 1e-7  # They start at 1e-8.


@pytest.mark.parametrize("name", CLIENTS)
def test_every_added_line_is_marked(name):
    client = _client(name)
    assert "end in `# robustjax`" in " ".join(client.__doc__.split())
    whole = inspect.getsource(client.train)
    body = whole[whole.index('"""') :].split('"""', 2)[2]
    added = r"\bmemory\b|\brj\.|\btx\.(init|epoch)\b"
    lines = body.splitlines()
    assert [s for s in lines if re.search(added, s) and "# robustjax" not in s] == []
    assert 5 < sum("# robustjax" in line for line in lines) < 20


@pytest.fixture(scope="module")
def on_noisy_mnist(data_dir):
    """Trains a loss on 2,000 images, half of their labels wrong: its test accuracy."""
    from examples import linen_loop

    del data_dir
    images, true = noisy_mnist.load("train[:2000]")
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(true)) < len(true) // 2
    given = np.where(wrong, (true + rng.integers(1, 10, len(true))) % 10, true)
    given = given.astype(np.int32)
    test_images, test_labels = noisy_mnist.load("test[:2000]")

    def trained(tx):
        predict, _ = linen_loop.train(tx, images, given, epochs=25, seed=1)
        return noisy_mnist.accuracy(predict, test_images, test_labels)

    return trained


@pytest.mark.slow
@pytest.mark.data
def test_elr_beats_cross_entropy(on_noisy_mnist):
    """The README's pair."""
    elr = on_noisy_mnist(rj.chain(rj.ce(), rj.elr(strength=3.0, decay=0.7)))
    assert elr > on_noisy_mnist(rj.ce()) + 0.05


@pytest.mark.slow
@pytest.mark.data
def test_elr_on_gce_wants_its_strength_scaled(on_noisy_mnist):
    """GCE's gradient is C^-q of cross-entropy's, for which 3 is published."""

    def pair(strength):
        return rj.chain(rj.gce(q=0.7), rj.elr(strength=strength, decay=0.7))

    assert on_noisy_mnist(pair(3.0)) < 0.5
    assert on_noisy_mnist(pair(3.0 * 10**-0.7)) > 0.75
