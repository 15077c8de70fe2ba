"""NT-Xent against a loop in NumPy, and what it must not depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses

nt_xent = jax.jit(losses.nt_xent, static_argnames="temperature")


def reference(first, second, temperature, mask=None):
    """Equation 1 of the paper, view by view."""
    views = np.concatenate([first, second]).astype(np.float64)
    views = views / np.linalg.norm(views, axis=1, keepdims=True)
    batch = len(first)
    real = np.ones(batch, bool) if mask is None else mask
    out = np.zeros(2 * batch)
    for i in range(2 * batch):
        if not real[i % batch]:
            continue
        partner = (i + batch) % (2 * batch)
        total = 0.0
        for k in range(2 * batch):
            if k != i and real[k % batch]:
                total += np.exp(views[i] @ views[k] / temperature)
        out[i] = -np.log(np.exp(views[i] @ views[partner] / temperature) / total)
    return out


def views(rng, batch=6, dimension=4):
    return rng.normal(size=(2, batch, dimension)).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_equals_the_loop(rng, temperature):
    first, second = views(rng)
    got = nt_xent(first, second, temperature=temperature)
    np.testing.assert_allclose(got, reference(first, second, temperature), rtol=1e-4)


def test_masked_rows_are_nobodys_negatives(rng):
    first, second = views(rng)
    mask = np.asarray([True, False, True, True, False, True])
    got = nt_xent(first, second, mask=mask)
    np.testing.assert_allclose(got, reference(first, second, 0.5, mask), rtol=1e-4)
    kept = nt_xent(first[mask], second[mask])
    np.testing.assert_allclose(got[np.tile(mask, 2)], kept, rtol=1e-5)

    def total(first):
        return jnp.sum(nt_xent(first, second, mask=mask))

    gradient = jax.jit(jax.grad(total))(first)
    assert (gradient[~mask] == 0).all()
    assert np.isfinite(gradient).all()


def test_a_batch_of_padding_alone_has_loss_zero(rng):
    first, second = views(rng)
    got = nt_xent(first, second, mask=np.zeros(6, bool))
    np.testing.assert_array_equal(got, 0)


def test_scale_of_a_row_makes_no_difference(rng):
    first, second = views(rng)
    scale = rng.uniform(0.1, 10, (6, 1)).astype(np.float32)
    np.testing.assert_allclose(
        nt_xent(first * scale, second), nt_xent(first, second), rtol=1e-4
    )


def test_swapping_views_swaps_losses(rng):
    first, second = views(rng)
    got = np.asarray(nt_xent(second, first))
    want = np.asarray(nt_xent(first, second))
    np.testing.assert_allclose(got, np.roll(want, 6), rtol=1e-5)


def test_permutation_permutes_losses(rng):
    first, second = views(rng)
    order = rng.permutation(6)
    got = np.asarray(nt_xent(first[order], second[order])).reshape(2, 6)
    want = np.asarray(nt_xent(first, second)).reshape(2, 6)
    np.testing.assert_allclose(got, want[:, order], rtol=1e-5)


def test_limits():
    # Perfect partners, orthogonal others: log(1 + (2B - 2) e^{-1/τ}).
    basis = jnp.eye(4)
    got = nt_xent(basis, basis, temperature=0.25)
    np.testing.assert_allclose(got, np.log1p(6 * np.exp(-4.0)), rtol=1e-5)
    # All views alike: every other view is as good as the partner.
    same = jnp.ones((4, 3))
    np.testing.assert_allclose(nt_xent(same, same), np.log(7), rtol=1e-5)
    # One example has no negatives.
    np.testing.assert_allclose(nt_xent(same[:1], -same[:1]), 0.0, atol=1e-6)


def test_a_zero_embedding_has_a_finite_gradient(rng):
    first, second = views(rng)
    first[2] = 0

    def total(first):
        return jnp.sum(nt_xent(first, second))

    assert np.isfinite(jax.jit(jax.grad(total))(first)).all()


def test_traced_temperature_and_half_precision(rng):
    first, second = (jnp.asarray(v, jnp.bfloat16) for v in views(rng))
    got = jax.jit(lambda t: losses.nt_xent(first, second, temperature=t))(0.5)
    assert got.dtype == jnp.float32
    want = reference(np.asarray(first, np.float32), np.asarray(second, np.float32), 0.5)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_errors(rng):
    first, second = views(rng)
    with pytest.raises(ValueError, match="temperature: got 0"):
        losses.nt_xent(first, second, temperature=0)
    with pytest.raises(ValueError, match="second: got shape"):
        losses.nt_xent(first, second[:3])
    with pytest.raises(ValueError, match="mask: got shape"):
        losses.nt_xent(first, second, mask=np.ones(3, bool))
    for mask in (np.full(6, 0.5), jnp.arange(6)):
        with pytest.raises(ValueError, match="mask: got .*, expected bools, or 0 and"):
            losses.nt_xent(first, second, mask=mask)
    traced = jax.jit(lambda mask: losses.nt_xent(first, second, mask=mask))
    with pytest.raises(ValueError, match="mask: got float32 of unknown values"):
        traced(jnp.ones(6))
    assert np.isnan(traced(jnp.arange(6))).all()
    assert np.isfinite(traced(jnp.arange(6) % 2)).all()
    slope = jax.grad(lambda x, m: losses.nt_xent(x, second, mask=m).sum())
    assert np.isnan(jax.jit(slope)(first, jnp.arange(6))[1:]).all()
    with pytest.raises(ValueError, match="first: got shape"):
        losses.nt_xent(first[0], second[0])
