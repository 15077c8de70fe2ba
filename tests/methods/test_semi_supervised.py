"""The pieces of semi-supervised learning, against NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.methods._semi_supervised import (
    LABELED,
    UNLABELED,
    Rows,
    augmented_views,
    masked_mean,
    mix_match_losses,
    mix_rows,
    ramp_up,
    semi_supervised_order,
    sharpen,
)


def softmax(z):
    p = np.exp(np.asarray(z, np.float64))
    return p / p.sum(-1, keepdims=True)


def numpy_sharpen(p, temperature):
    powers = np.asarray(p, np.float64) ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def test_sharpen(rng):
    p = rng.dirichlet(np.ones(4), (5, 2)).astype(np.float32)
    np.testing.assert_allclose(sharpen(p, 0.5), numpy_sharpen(p, 0.5), rtol=1e-5)
    np.testing.assert_allclose(sharpen(p, 1.0), p, rtol=1e-5)
    # The limit is the arg-max, although all powers underflow.
    np.testing.assert_allclose(sharpen(p, 1e-4), np.eye(4)[p.argmax(-1)], atol=1e-6)
    with pytest.raises(ValueError, match="temperature: got 0"):
        sharpen(p, 0)


def test_ramp_up():
    got = [float(ramp_up(t, 16)) for t in (-3, 0, 4, 16, 40)]
    np.testing.assert_allclose(got, [0, 0, 0.25, 1, 1])
    assert ramp_up(0, 0) == 1


def test_masked_mean(rng):
    values = rng.normal(size=(6, 3)).astype(np.float32)
    mask = np.array([True, False, True, True, False, True])
    want = values[mask].mean(0)
    np.testing.assert_allclose(masked_mean(values, mask), want, rtol=1e-5)
    np.testing.assert_array_equal(masked_mean(values, np.zeros(6, bool)), np.zeros(3))
    # Rows divided among devices: every one has the mean over all.
    parts = jax.vmap(lambda v, m: masked_mean(v, m, "i"), axis_name="i")(
        values.reshape(2, 3, 3), mask.reshape(2, 3)
    )
    np.testing.assert_allclose(parts, np.stack([want, want]), rtol=1e-5)


def test_views_are_changes_of_their_examples():
    inputs = jnp.arange(24, dtype=jnp.uint8).reshape(3, 2, 4)

    def augment(key, rows):
        assert rows.shape == (5 * 6, 4)
        return 10 * rows + jax.random.uniform(key, (30, 1))

    views = augmented_views(
        jax.random.key(0),
        inputs,
        5,
        augment=augment,
        preprocess=lambda rows: rows[:, :3] + 100,
        lead=2,
    )
    assert views.shape == (5, 3, 2, 3)
    changes = views - (10 * inputs[..., :3] + 100.0)[None]
    np.testing.assert_allclose(changes, np.repeat(changes[..., :1], 3, -1), atol=1e-3)
    assert np.unique(np.round(changes[..., 0], 4)).size > 25
    assert 0 <= changes.min() < changes.max() <= 1


@pytest.mark.parametrize("per_example", [False, True])
def test_losses_of_mixed_rows_equal_numpy(rng, per_example):
    """Rows that are unit vectors, so that the mixed inputs show who met whom."""
    first, last, c = 5, 7, 3
    size = first + last
    targets = rng.dirichlet(np.ones(c), size).astype(np.float32)
    mask = np.ones(size, bool)
    mask[[1, 9]] = False
    inputs = np.eye(size, dtype=np.float32)
    parts = [
        Rows(inputs[part], targets[part], mask[part])
        for part in (slice(None, first), slice(first, None))
    ]
    mix = functools.partial(mix_rows, alpha=4.0, per_example=per_example)
    mixed = jax.jit(mix)(jax.random.key(2), *parts)
    shares = np.asarray(mixed.inputs)
    own, real = np.diag(shares), np.flatnonzero(mask)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert (own >= 0.5).all()
    assert not shares[np.ix_(mask, ~mask)].any()
    # Both kinds meet each other, in a permutation of the real rows.
    others = (shares - np.diag(own))[np.ix_(real, real)] > 0
    assert others.sum(0).max() == 1
    assert others[:4, 4:].any()
    assert others[4:, :4].any()
    once = np.unique(np.round(own[own < 1], 5)).size == 1
    assert once != per_example
    wanted = shares @ targets
    np.testing.assert_allclose(mixed.targets, wanted, rtol=1e-5)
    logits = rng.normal(size=(size, c)).astype(np.float32)
    p = softmax(logits)
    entropies = -(wanted * np.log(p)).sum(1)[:first][mask[:first]]
    squares = ((p - wanted) ** 2)[first:][mask[first:]]
    got = mix_match_losses(logits, mixed, first)
    np.testing.assert_allclose(got[0], entropies.mean(), rtol=1e-5)
    # Divided by rows and by classes.
    np.testing.assert_allclose(got[1], squares.sum() / (6 * c), rtol=1e-5)


def test_order_halves_batches_and_visits_evenly():
    known = np.arange(23) % 3 == 0
    draw = jax.jit(lambda key: semi_supervised_order(key, jnp.asarray(known), 6, 99))
    order = np.asarray(draw(jax.random.key(1)))
    assert order.shape == (4, 3, 2)
    for kind, members in ((LABELED, known), (UNLABELED, ~known)):
        drawn = order[..., kind]
        assert all(np.unique(batch).size == 3 for batch in drawn)
        visits = np.bincount(drawn.ravel(), minlength=23)
        assert not visits[~members].any()
        assert np.ptp(visits[members]) <= 1
    assert not np.array_equal(order, draw(jax.random.key(2)))


def test_order_of_a_kind_with_few_examples():
    known = np.zeros(20, bool)
    known[[4, 7]] = True
    draw = jax.jit(lambda k: semi_supervised_order(jax.random.key(0), k, 8, 20))
    rows = np.sort(draw(known)[..., LABELED], axis=1)
    np.testing.assert_array_equal(rows, np.tile([4, 7, 20, 20], (3, 1)))
    nobody = draw(np.zeros(20, bool))
    assert (nobody[..., LABELED] == 20).all()
    assert (nobody[..., UNLABELED] < 20).all()
    everybody = draw(np.ones(20, bool))
    assert (everybody[..., LABELED] < 20).all()
    assert (everybody[..., UNLABELED] == 20).all()
    with pytest.raises(ValueError, match="batch_size: got 7, expected an even number"):
        semi_supervised_order(jax.random.key(0), known, 7, 20)
