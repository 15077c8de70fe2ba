"""Functions of a batch in blocks, against the functions themselves."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from robustjax.models._blocks import map_blocks, num_blocks, sum_blocks

counts = st.integers(1, 40)


@given(counts, counts, counts)
def test_the_number_of_blocks(batch, row_bytes, block_bytes):
    blocks = num_blocks(batch, row_bytes, block_bytes)
    assert 1 <= blocks <= batch
    needed = min(batch, -(-batch * row_bytes // block_bytes))
    assert needed <= blocks <= 2 * needed
    divisors = [n for n in range(needed, 2 * needed + 1) if batch % n == 0]
    assert blocks == (divisors[0] if divisors else needed)


@given(st.integers(1, 12), st.data())
def test_blocks_change_nothing(batch, data):
    blocks = data.draw(st.integers(1, batch))
    x = np.arange(3.0 * batch, dtype=np.float32).reshape(batch, 3)
    got = map_blocks(lambda rows: rows**2 + 1, x, blocks)
    np.testing.assert_array_equal(got, x**2 + 1)
    total = sum_blocks(lambda a, b: a.T @ b, (x, x[:, :2]), blocks)
    np.testing.assert_array_equal(total, x.T @ x[:, :2])


def test_sums_below_float32_are_kept_in_float32():
    ones = jnp.ones((1000, 1), jnp.bfloat16)
    total = sum_blocks(lambda rows: jnp.sum(rows, 0), (ones,), 1000)
    assert total.dtype == jnp.bfloat16
    # In bfloat16 the sum of ones ends at 256.
    np.testing.assert_array_equal(total, jnp.asarray([1000], jnp.bfloat16))


def test_one_body_however_many_blocks():
    x = jnp.ones((12, 2))
    texts = [
        jax.jit(lambda x, n=n: map_blocks(jnp.sin, x, n)).lower(x).as_text()
        for n in (3, 12)
    ]
    assert [text.count("stablehlo.sine") for text in texts] == [1, 1]
