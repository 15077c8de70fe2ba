"""What is made of rows block by block is what is made of all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.placement import Placement
from robustjax.selection import _cosine_kernel, _k_center, _row_blocks
from robustjax.selection._cosine_kernel import inverse_norms, placed_inverse_norms


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch):
    """The same blocks on all machines."""
    monkeypatch.setattr(_row_blocks, "usable_cores", lambda: 2)


@pytest.mark.parametrize("size", [1, 5, 6, 7, 12, 13])
def test_every_row_once(size):
    """Also those of the last block, which begins within the one before."""
    start = jnp.arange(size, dtype=jnp.float32)
    rows = {"a": 10 * start, "b": jnp.stack([start, -start], axis=1)}
    sizes = []

    def add(own, some):
        sizes.append(len(own))
        return own + some["a"] + some["b"][:, 0]

    got = _row_blocks.by_blocks(add, start, rows, 3)
    np.testing.assert_array_equal(got, 12 * np.arange(size))
    assert set(sizes) == {min(size, 6)}


def test_no_blocks_on_other_devices(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    sizes = []

    def seen(own, some):
        sizes.append(len(some))
        return own

    _row_blocks.by_blocks(seen, jnp.zeros(40), jnp.zeros((40, 2)), 3)
    assert sizes == [40]


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_distances_of_k_center(count, monkeypatch):
    monkeypatch.setattr(_k_center, "_BLOCK", 7)
    rng = np.random.default_rng(count)
    x = np.round(10 * rng.normal(size=(100, 6))).astype(np.float32)
    x[40] = x[3]
    level = rng.uniform(0, 900, 100).astype(np.float32)
    rows = {
        "points": jnp.asarray(x),
        "square": jnp.asarray((x**2).sum(axis=1)),
        "first": jnp.arange(100).at[40].set(3),
    }
    picks = rng.choice(100, 8, replace=False)
    picked = {name: array[picks] for name, array in rows.items()}
    rule = _k_center._FarthestFirst(Placement())
    got = rule.tell(jnp.asarray(level), rows, {}, picked, jnp.int32(count))
    apart = ((x[:, None] - x[picks[:count]]) ** 2).sum(axis=2)
    want = np.minimum(level, apart.min(axis=1, initial=np.inf))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("width", [1, 100, 128, 129, 500, 1100])
def test_products_in_parts(width):
    rng = np.random.default_rng(width)
    a, b = (rng.normal(size=(n, width)).astype(np.float32) for n in (70, 3))
    got = _k_center._products(jnp.asarray(a), jnp.asarray(b))
    want = a.astype(np.float64) @ b.astype(np.float64).T
    np.testing.assert_allclose(got, want, atol=1e-6 * width)


@pytest.mark.parametrize("picks", [1, 2, 15, 16])
def test_relations_are_the_same_in_both_orders(picks):
    rng = np.random.default_rng(picks)
    x = np.round(10 * rng.normal(size=(40, 6))).astype(np.float32)
    rows = {
        "points": jnp.asarray(x),
        "square": jnp.asarray((x**2).sum(axis=1)),
        "first": jnp.arange(40),
    }
    picked = {name: array[:picks] for name, array in rows.items()}
    got = _k_center._FarthestFirst(Placement()).relation(picked, rows, {})
    want = ((x[:, None] - x[:picks]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(got, want)


def test_norms(monkeypatch):
    monkeypatch.setattr(_cosine_kernel, "_BLOCK", 11)
    x = np.random.default_rng(0).normal(size=(103, 5)).astype(np.float32)
    x *= np.logspace(-20, 20, 103, dtype=np.float32)[:, None]
    with jax.disable_jit():
        got = placed_inverse_norms(jnp.asarray(x), Placement())
    np.testing.assert_allclose(got, inverse_norms(x), rtol=3e-7)
    want = 1 / np.linalg.norm(x.astype(np.float64), axis=1)
    np.testing.assert_allclose(got, want, rtol=1e-6)
