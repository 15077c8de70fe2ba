"""Rows in two bytes a number: their values, their products, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import storage
from tests.array_inputs.rounding import UNITS


@pytest.mark.parametrize("name", storage.STORAGES)
def test_rows_are_rounded_to_nearest_on_host_and_device(name, rng):
    x = rng.normal(size=(7, 5)).astype(np.float32)
    x[0, :2] = -0.0, -1e-45
    rows = storage.kept(x, name)
    want = x.astype(jnp.dtype(name)).astype(np.float32)
    np.testing.assert_array_equal(storage.on_host(rows), want)
    np.testing.assert_array_equal(storage.widened(jnp.asarray(rows)), want)
    assert rows.dtype == storage.kept_type(name)
    assert rows.nbytes == x.size * (4 if name == "float32" else 2)
    off = np.abs(want - x)
    assert (off <= UNITS.get(name, 0) * np.abs(x) + 2.0**-25).all()
    assert name == "float32" or off.max() > UNITS[name] / 4


def test_zero_has_one_sign_among_bits():
    rows = storage.kept(np.array([[0.0], [-0.0], [-1e-45]], np.float32), "bfloat16")
    assert (rows == 0).all()


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
@pytest.mark.parametrize("size", [3, 12, 17])
def test_products_and_squares_are_those_of_the_rounded_rows(
    name, size, rng, monkeypatch
):
    monkeypatch.setattr(storage, "_BLOCK_NUMBERS", 8 * 6)  # Eight rows of six.
    x = rng.normal(size=(size, 6)).astype(np.float32)
    a = jnp.asarray(storage.kept(x[:3], name))
    b = jnp.asarray(storage.kept(x, name))
    wide = storage.on_host(np.asarray(b)).astype(np.float64)
    want = wide[:3] @ wide.T
    for products in (storage._products_by_blocks, storage._narrow_products):
        got = products(a, b)
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(storage.squares(b), (wide**2).sum(1), rtol=1e-6)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_no_float32_copy_is_made_of_all_rows(name):
    """Compiled, not run: XLA is free to widen what a loop takes parts of."""
    rows = jax.ShapeDtypeStruct((20_000, 256), storage.kept_type(name))
    few = jax.ShapeDtypeStruct((4, 256), storage.kept_type(name))

    def both(a, b):
        return storage.products(a, b), storage.squares(b)

    memory = jax.jit(both).lower(few, rows).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 20_000 * 256 * 4 / 4


@pytest.mark.parametrize(
    ("given", "shown"),
    [("int8", "'int8'"), (jnp.float64, "'float64'"), (None, "None"), ("x", "'x'")],
)
def test_other_types_are_refused(given, shown):
    expected = f"^storage: got {shown}, expected one of float32, bfloat16, float16$"
    with pytest.raises(ValueError, match=expected):
        storage.check_storage("storage", given)


def test_types_have_their_names():
    for given in ("bfloat16", jnp.bfloat16, jnp.dtype(jnp.bfloat16)):
        assert storage.check_storage("storage", given) == "bfloat16"
    assert storage.check_storage("storage", np.float16, in_file=False) == "float16"
    assert storage.check_storage("storage", np.float32, in_file=True) == "float32"
    with pytest.raises(ValueError, match="storage: got 'float16' for rows that stay"):
        storage.check_storage("storage", np.float16, in_file=True)
