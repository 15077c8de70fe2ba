"""Mixup against plain NumPy, its shares, and its permutations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.data import mixup

KEY = jax.random.key(0)


def examples(rng, batch=12):
    inputs = rng.normal(size=(batch, 3, 2)).astype(np.float32)
    targets = rng.dirichlet(np.ones(4), batch).astype(np.float32)
    return inputs, targets


@pytest.mark.parametrize("per_example", [False, True])
def test_mixes_inputs_and_targets_alike(rng, per_example):
    inputs, targets = examples(rng)
    out = mixup(KEY, inputs, targets, alpha=4.0, per_example=per_example)
    lam, order = np.asarray(out.lam), np.asarray(out.permutation)
    assert lam.shape == ((12,) if per_example else ())
    own = np.broadcast_to(lam, 12)
    want = own[:, None, None] * inputs + (1 - own)[:, None, None] * inputs[order]
    np.testing.assert_allclose(out.inputs, want, rtol=1e-5, atol=1e-6)
    want = own[:, None] * targets + (1 - own)[:, None] * targets[order]
    np.testing.assert_allclose(out.targets, want, rtol=1e-5)
    np.testing.assert_array_equal(np.sort(order), np.arange(12))


@pytest.mark.parametrize("alpha", [0.5, 4.0])
def test_shares_are_beta(rng, alpha):
    del rng
    ones = jnp.ones((4000, 1))
    plain = mixup(KEY, ones, ones, alpha=alpha, per_example=True)
    lam = np.asarray(plain.lam)
    # Mean and variance of Beta(a, a), and its symmetry.
    np.testing.assert_allclose(lam.mean(), 0.5, atol=0.02)
    np.testing.assert_allclose(lam.var(), 1 / (4 * (2 * alpha + 1)), rtol=0.08)
    kept = mixup(KEY, ones, ones, alpha=alpha, per_example=True, keep_dominant=True)
    np.testing.assert_allclose(kept.lam, np.maximum(lam, 1 - lam), rtol=1e-6)
    assert kept.lam.min() >= 0.5


def test_padding_keeps_to_itself(rng):
    inputs, targets = examples(rng)
    mask = np.array([True, False, True] * 4)
    inputs[~mask], targets[~mask] = np.nan, np.nan

    @jax.jit
    def mix(keys, mask):
        return jax.vmap(lambda key: mixup(key, inputs, targets, mask=mask))(keys)

    out = mix(jax.random.split(KEY, 400), mask)
    order = np.asarray(out.permutation)
    np.testing.assert_array_equal(order[:, ~mask], np.tile([1, 4, 7, 10], (400, 1)))
    real = np.flatnonzero(mask)
    np.testing.assert_array_equal(np.sort(order[:, mask]), np.tile(real, (400, 1)))
    assert np.isfinite(np.asarray(out.inputs)[:, mask]).all()
    assert np.isfinite(np.asarray(out.targets)[:, mask]).all()
    # Every partner is as likely as any other: one in eight, 50 of 400 each.
    counts = [np.bincount(column, minlength=12)[real] for column in order[:, mask].T]
    assert np.min(counts) > 22
    assert np.max(counts) < 82


def test_a_mask_of_real_rows_alone_changes_nothing(rng):
    inputs, targets = examples(rng)
    out = mixup(KEY, inputs, targets)
    again = mixup(KEY, inputs, targets, mask=jnp.ones(12, bool))
    jax.tree.map(np.testing.assert_array_equal, out, again)


def test_all_padding_is_left_alone(rng):
    inputs, targets = examples(rng)
    out = mixup(KEY, inputs, targets, mask=jnp.zeros(12, bool))
    np.testing.assert_array_equal(out.permutation, np.arange(12))
    np.testing.assert_allclose(out.inputs, inputs, rtol=1e-5, atol=1e-6)


def test_keeps_the_dtype(rng):
    inputs, targets = examples(rng)
    out = mixup(KEY, jnp.asarray(inputs, jnp.bfloat16), targets)
    assert out.inputs.dtype == jnp.bfloat16
    assert out.targets.dtype == out.lam.dtype == jnp.float32
    assert out.permutation.dtype == jnp.int32


def test_errors(rng):
    inputs, targets = examples(rng)
    with pytest.raises(ValueError, match=r"alpha: got 0, expected a number in \(0,"):
        mixup(KEY, inputs, targets, alpha=0)
    with pytest.raises(ValueError, match="inputs: got uint8, expected floats"):
        mixup(KEY, inputs.astype(np.uint8), targets)
    with pytest.raises(ValueError, match=r"targets: got shape \(12,\), expected rank"):
        mixup(KEY, inputs, np.zeros(12, int))
    with pytest.raises(ValueError, match="targets: got int32, expected floats"):
        mixup(KEY, inputs, np.zeros((12, 4), np.int32))
    with pytest.raises(ValueError, match="lengths differ"):
        mixup(KEY, inputs, targets[:5])
    with pytest.raises(ValueError, match=r"mask: got bool of shape \(5,\)"):
        mixup(KEY, inputs, targets, mask=np.ones(5, bool))
    with pytest.raises(ValueError, match="mask: got float32"):
        mixup(KEY, inputs, targets, mask=np.ones(12, np.float32))
