"""Examples with many labels: pixels or tokens, one row of memory per example."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import robustjax as rj

B, H, W, C = 4, 2, 3, 5
SPEC = rj.ExampleSpec(6, C, positions=(H, W))
HEADS = {
    "ce": (rj.ce, rj.losses.cross_entropy),
    "gce": (rj.gce, rj.losses.gce),
    "symmetric_ce": (rj.symmetric_ce, rj.losses.symmetric_ce),
    "active_passive": (rj.active_passive, rj.losses.active_passive),
    "bootstrap": (
        rj.bootstrap,
        functools.partial(rj.losses.bootstrap_ce, beta=0.95),
    ),
    "forward_correction": (
        lambda: rj.forward_correction(jnp.eye(C)),
        rj.losses.cross_entropy,
    ),
}


@pytest.fixture
def batch(rng):
    return {
        "index": jnp.array([4, 0, 3, 1]),
        "label": jnp.asarray(rng.integers(0, C, (B, H, W))),
        "mask": jnp.asarray(rng.random((B, H, W)) < 0.6).at[3].set(False),
    }


@pytest.fixture
def logits(rng):
    return jnp.asarray(rng.normal(size=(B, H, W, C)), jnp.float32)


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_the_mean_over_positions(name, batch, logits):
    """As a NumPy mean over what counts has it, whatever the labels elsewhere are."""
    make, loss = HEADS[name]
    values = np.asarray(loss(logits, batch["label"]))
    counts = np.asarray(batch["mask"])
    ignored = jnp.where(batch["mask"], batch["label"], 255)
    got, gradient = jax.value_and_grad(
        lambda z: rj.value(make(), make().init(SPEC), z, ignored, mask=batch["mask"])[0]
    )(logits)
    np.testing.assert_allclose(got, values[counts].mean(), rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~counts].any()
    whole, _ = rj.value(make(), make().init(SPEC), logits, batch["label"])
    np.testing.assert_allclose(whole, values.mean(), rtol=1e-5)


def test_the_mean_over_examples(batch, logits):
    values = np.asarray(rj.losses.cross_entropy(logits, batch["label"]))
    counts = np.asarray(batch["mask"])
    want = np.mean([v[m].mean() for v, m in zip(values, counts) if m.any()])
    tx = rj.ce()
    got, _ = rj.value(
        tx, tx.init(SPEC), logits, batch["label"], mask=batch["mask"], per_example=True
    )
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_weights_are_of_examples(batch, logits):
    tx = rj.chain(rj.given_weights(rj.Reduction.WEIGHTED_MEAN), rj.ce())
    state = tx.init(SPEC)
    weight = jnp.arange(6.0)
    state = state._replace(rows=({"weight": weight}, ()))
    got, _ = rj.value(tx, state, logits, **batch_arguments(batch))
    values = np.asarray(rj.losses.cross_entropy(logits, batch["label"]))
    w = np.asarray(weight)[np.asarray(batch["index"])][:, None, None]
    w = w * np.asarray(batch["mask"])
    np.testing.assert_allclose(got, (w * values).sum() / w.sum(), rtol=1e-5)


def batch_arguments(batch):
    return {
        "labels": batch["label"],
        "index": batch["index"],
        "mask": batch["mask"],
    }


def flat(batch, logits):
    """Every position as an example of its own, and the spec of that."""
    size = H * W
    index = batch["index"][:, None] * size + jnp.arange(size)[None]
    return (
        {
            "index": index.reshape(-1),
            "label": batch["label"].reshape(-1),
            "mask": batch["mask"].reshape(-1),
        },
        logits.reshape(-1, C),
        rj.ExampleSpec(6 * size, C),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: rj.chain(rj.ce(), rj.elr()),
        lambda: rj.sop(5.0, 5.0, balance=0.2),
        lambda: rj.chain(rj.label_smoothing(0.2), rj.sop(5.0, 5.0), rj.elr()),
        lambda: rj.chain(rj.given_labels(), rj.ce()),
    ],
    ids=["elr", "sop", "smoothed", "given_labels"],
)
def test_memory_of_positions_equals_that_of_as_many_examples(make, batch, logits):
    """Two visits: losses, gradients and rows."""
    tx = make()
    alone, alone_logits, alone_spec = flat(batch, logits)
    scale = {"u": 3e7, "v": 3e7}

    def grown(spec, shape):
        rows = tx.init(SPEC).rows

        def grow(path, leaf):
            big = leaf * scale.get(getattr(path[-1], "key", ""), 1.0)
            return big.reshape(shape + leaf.shape[3:])

        return tx.init(spec)._replace(rows=jax.tree_util.tree_map_with_path(grow, rows))

    def visits(batch, logits, state):
        def objective(z, state):
            return rj.value(tx, state, z, **batch_arguments(batch))

        found = []
        for shift in (0.0, 0.5):
            (loss, state), gradient = jax.value_and_grad(objective, has_aux=True)(
                logits + shift * jnp.sin(7 * logits), state
            )
            found += [loss, gradient.reshape(-1, C)]
        return found, jax.tree.map(lambda leaf: leaf.reshape(36, -1), state.rows)

    run = jax.jit(visits)
    got = run(batch, logits, grown(SPEC, (6, H, W)))
    want = run(alone, alone_logits, grown(alone_spec, (36,)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5), got, want
    )


def test_the_mean_that_was_not_one():
    """(8, 8, 5) logits of zero: log 5, and not eight times that."""
    tx = rj.ce()
    labels = jnp.zeros((8, 8), int)
    got, _ = rj.value(tx, tx.init(SPEC), jnp.zeros((8, 8, 5)), labels)
    np.testing.assert_allclose(got, np.log(5), rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        rj.truncated_gce,
        lambda: rj.chain(rj.ce(), rj.learning_record()),
    ],
    ids=["truncated_gce", "learning_record"],
)
def test_what_cannot_have_positions_says_so(make, batch, logits):
    with pytest.raises(ValueError, match=r"got labels of shape \(4, 2, 3\), expected"):
        rj.value(make(), make().init(SPEC), logits, **batch_arguments(batch))


@pytest.mark.slow
def test_memory_without_positions_says_so(batch, logits):
    tx = rj.chain(rj.ce(), rj.elr())
    with pytest.raises(ValueError, match=r"logits: got shape .*positions of the Exam"):
        rj.value(tx, tx.init(rj.ExampleSpec(6, C)), logits, **batch_arguments(batch))
    with pytest.raises(ValueError, match="positions: got 0"):
        rj.ExampleSpec(6, C, positions=(2, 0))
