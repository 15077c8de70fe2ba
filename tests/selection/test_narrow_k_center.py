"""k-center of rows that are kept in two bytes a number, against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import selection, storage
from robustjax.placement import Placement
from robustjax.selection import _ahead, _k_center
from robustjax.selection._class_layout import one_class
from tests.array_inputs.rounding import UNITS, rounded
from tests.scores.test_issues_by_blocks import Rows
from tests.selection.test_k_center import BUDGET, INITIAL, D, N, naive

NARROW = tuple(UNITS)


@pytest.mark.parametrize("name", NARROW)
def test_equals_numpy_on_the_rounded_rows(name):
    seen = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(N, D)) + 1000
        initial = rng.choice(N, INITIAL, replace=False)
        got = selection.k_center(
            x, BUDGET, initial=initial, candidates=16, storage=name
        )
        picks, gains, radius = naive(rounded(x, name), BUDGET, list(initial))
        np.testing.assert_allclose(got.gains, gains, rtol=1e-3)
        np.testing.assert_allclose(got.objective, radius, rtol=1e-3)
        assert len(set(got.indices)) == BUDGET
        # Distances that agree to six digits may change places.
        seen += list(got.indices) == picks
        centred = x - x.mean(axis=0)
        every = np.concatenate([initial, got.indices])
        apart = np.linalg.norm(centred[:, None] - centred[every], axis=-1)
        off = abs(apart.min(axis=1).max() - got.objective)
        assert off <= 2 * UNITS[name] * np.linalg.norm(centred, axis=1).max()
    assert seen >= 15


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("power", [-100, 100])
def test_rows_of_any_size_are_in_range(name, power):
    x = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    want = selection.k_center(x, BUDGET, candidates=16, storage=name)
    scale = np.float32(2.0**power)
    got = selection.k_center(x * scale, BUDGET, candidates=16, storage=name)
    np.testing.assert_array_equal(got.indices, want.indices)
    np.testing.assert_array_equal(got.gains, want.gains * scale)


@pytest.mark.parametrize("name", NARROW)
def test_rows_that_become_equal_are_picked_last_and_once(name):
    rng = np.random.default_rng(0)
    x = np.repeat(10 * rng.normal(size=(N // 5, D)), 5, axis=0)
    x += 1e-6 * rng.normal(size=x.shape)
    got = selection.k_center(x, N, candidates=16, storage=name)
    assert sorted(got.indices) == list(range(N))
    assert (got.gains[N // 5 :] == 0).all()
    assert got.gains[N // 5 - 1] > 0


@pytest.mark.parametrize("name", NARROW)
def test_rows_take_half_and_no_copy_is_made(name):
    """Compiled, not run."""
    size, width = 30_000, 256

    def memory(kind):
        def of(shape, dtype=np.float32):
            return jax.ShapeDtypeStruct(shape, dtype)

        rows = {
            "points": of((size, width), storage.kept_type(kind)),
            "square": of((size,)),
            "first": of((size,), np.int32),
        }
        number = of((), np.int32)
        state = _ahead.State(
            of((size,)), of((size,), bool), of((50,), np.int32), of((50,)), number
        )
        lowered = _ahead._advance.lower(
            _k_center._FarthestFirst(Placement()),
            rows,
            {},
            one_class(size),
            of((50,), np.int32),
            state,
            number,
            number,
            candidates=64,
        )
        return lowered.compile().memory_analysis()

    wide, narrow = memory("float32"), memory(name)
    half = size * width * 2
    saved = wide.argument_size_in_bytes - narrow.argument_size_in_bytes
    assert abs(saved - half) < half / 100
    assert narrow.temp_size_in_bytes < wide.temp_size_in_bytes + half / 2


def test_rows_of_a_file_need_devices_that_keep_them():
    x = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    with pytest.raises(ValueError, match="storage: got 'bfloat16' for rows that stay"):
        selection.k_center(Rows(x), 3, storage=jnp.bfloat16)
    with pytest.raises(ValueError, match="storage: got 'int8', expected one of"):
        selection.k_center(x, 3, storage="int8")
