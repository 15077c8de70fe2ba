"""What is made of rows on devices is, bit for bit, what the host makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from robustjax import conditioning, graph, sharded_rows
from robustjax.selection._equal_rows import first_equal_rows
from robustjax.sharded_rows import is_row_sharded, placed, spread

SIZE = 40


def held(array):
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))
    where = NamedSharding(mesh, PartitionSpec("data"))
    return placed("rows", jax.device_put(array, where), None)[1]


def rows_of(kind):
    """Sums that are exact in any order, numbers of several sizes."""
    rng = np.random.default_rng(0)
    half = rng.integers(1, 100, (SIZE // 2, 3))
    whole = np.concatenate([half, -half])
    if kind == "bool":
        return whole > 0
    if kind == "subnormal":
        # Of float32 and bfloat16; an exponent each, rows of numbers below 1e-38.
        return np.ldexp(whole, -147).astype(np.float32)
    return whole.astype(jnp.dtype(kind))


KINDS = ("float32", "bfloat16", "float16", "int8", "int32", "bool")


@pytest.mark.parametrize("kind", KINDS)
def test_centred_and_scaled_rows(kind):
    x = rows_of(kind)
    one, many = (conditioning.centred_source("rows", rows) for rows in (x, held(x)))
    assert many[1] == one[1]
    np.testing.assert_array_equal(many[2], one[2])
    np.testing.assert_array_equal(many[0][:], one[0])
    scaled = conditioning.scaled_source("rows", held(x))
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled[:], conditioning.scaled_source("rows", x))


@pytest.mark.parametrize("factor", [-147, -60, 100])
def test_rows_of_far_sizes(factor):
    # CPUs take subnormal numbers for zeros wherever they compute with floats.
    x = np.ldexp(rows_of("float32"), factor).astype(np.float32)
    x[::3] = rows_of("float32")[::3]
    rows = held(x)
    np.testing.assert_array_equal(rows[:].view(np.uint32), x.view(np.uint32))
    scaled = conditioning.scaled_source("rows", rows)
    np.testing.assert_array_equal(scaled[:], conditioning.scaled_source("rows", x))
    assert rows.first_unfit(nonzero=True) is None
    frames = [
        conditioning.frame_of("rows", conditioning.UnitRows(each)) for each in (x, rows)
    ]
    np.testing.assert_allclose(frames[1].mean, frames[0].mean, atol=1e-15)
    # Within the last place: norms are summed in another order.
    near = frames[0].sharded(conditioning.UnitRows(rows))[:]
    want = frames[0].points(conditioning.UnitRows(x), slice(None))
    np.testing.assert_allclose(near, want, rtol=1e-6)


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "float16"])
def test_copies(storage):
    rng = np.random.default_rng(1)
    x = rng.integers(-1, 2, (SIZE, 3)).astype(np.float32) * np.float32(0.3)
    x[11] = -0.0
    near = [
        conditioning.centred_source("rows", each, storage)[0] for each in (x, held(x))
    ]
    np.testing.assert_array_equal(first_equal_rows(near[1]), first_equal_rows(near[0]))
    # What hashes alike is compared: zeros of both signs, and the smallest numbers.
    tiny = np.zeros((SIZE, 2), np.float32)
    tiny[::2] = -0.0
    tiny[5, 0] = 1e-45
    same = held(tiny).equal(np.array([0, 0, 5, 39]), np.array([1, 5, 5, 38]))
    np.testing.assert_array_equal(same, [True, False, True, True])


def test_some_rows():
    x = rows_of("float32")
    rows = held(x)
    for which in ([3, 39, -1, 3], slice(5, 30), slice(None), [], np.arange(SIZE) == 7):
        np.testing.assert_array_equal(rows[which], x[which])
    wanted = np.array([39, 0, 17, 3, 3])
    found = spread(rows.place, rows, wanted)
    assert is_row_sharded(found)
    want = x[np.pad(wanted, (0, 3), mode="edge")]
    np.testing.assert_array_equal(found, want)


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.float64])
def test_numbers_of_64_bits(kind):
    x = (np.int64(2**52) + rows_of("int32")).astype(kind)
    with jax.enable_x64(True):
        rows = held(x)
        assert rows.dtype == kind
    one, many = (conditioning.centred_source("rows", each) for each in (x, rows))
    np.testing.assert_array_equal(many[2], one[2])
    np.testing.assert_array_equal(many[0][:], one[0])
    near = graph.nearest_neighbors(rows.array, 3), graph.nearest_neighbors(x, 3)
    np.testing.assert_array_equal(near[0].indices, near[1].indices)


def test_no_program_gathers_rows():
    rows = held(np.zeros((8 * SIZE, 7), np.float32))
    where = {"place": rows.place}
    few = np.zeros(16, np.int32)
    for program in (
        sharded_rows._everywhere.lower(rows.array, few, **where),
        sharded_rows._spread.lower(rows.array, few, **where),
        sharded_rows._equal.lower(rows.array, few, few, **where),
    ):
        assert "all-gather" not in program.compile().as_text()
