"""One sparse matrix-vector product, and the layout that makes it fast.

`jax.experimental.sparse` is the public representation; inside loops that multiply
the same matrix thousands of times, `split_rows` gives a layout of the same matrix
whose product is a few fused loops of gathers, several times faster on CPU.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.experimental import sparse as jsparse

from robustjax import arrays, checks


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class SplitRows:
    """A square sparse matrix whose rows are cut into pieces of a fixed small width.

    kNN graphs have very uneven rows (mean 18, maximum over 1,000): padding all rows
    to the longest wastes almost everything. Here the first `width` entries of every
    row lie side by side as [slot, row]; the rest of long rows follows as more pieces,
    whose sums are added to the row that owns them.

    Attributes:
      diagonal: (N,) values.
      columns: (W, N) int32, per slot and row; unused slots point to the row itself.
      values: (W, N) off-diagonal values, 0 in unused slots.
      more_columns: (W, M) int32, per slot and extra piece.
      more_values: (W, M) values.
      owners: (M,) int32, the row of each extra piece, ascending.
    """

    diagonal: jax.Array
    columns: jax.Array
    values: jax.Array
    more_columns: jax.Array
    more_values: jax.Array
    owners: jax.Array

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        return (self.diagonal.shape[0],) * 2


def split_rows(
    matrix: jsparse.BCOO, width: int = 12, *, pieces_multiple: int = 1
) -> SplitRows:
    """Lays a square sparse matrix out for `matvec`; runs on the host.

    Args:
      matrix: (N, N) BCOO.
      width: entries per piece; 8 to 16 are all near the optimum for k = 10.
      pieces_multiple: the number of extra pieces is padded to a multiple of this, so
        that graphs of one size mostly share their shapes and compiled programs.

    Raises:
      ValueError: a matrix that is not square, or a width below 1.
    """
    checks.at_least("width", width, 1)
    checks.at_least("pieces_multiple", pieces_multiple, 1)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix: got shape {matrix.shape}, expected (N, N)")
    size = matrix.shape[0]
    rows, columns = np.asarray(matrix.indices).T
    # BCOO may pad with entries beyond the matrix, and may repeat an entry.
    real = (rows < size) & (columns < size)
    data = np.asarray(matrix.data)[real]
    whole = sp.coo_array((data, (rows[real], columns[real])), shape=(size, size))
    diagonal = whole.diagonal()
    off = (whole - sp.diags_array(diagonal)).tocsr()
    off.eliminate_zeros()
    off.sort_indices()

    degree = np.diff(off.indptr)
    rows = np.repeat(np.arange(size), degree)
    place = np.arange(off.nnz) - off.indptr[rows]
    extra_pieces = np.maximum(0, -(-degree // width) - 1)
    owners = np.repeat(np.arange(size), extra_pieces)
    first_extra = np.cumsum(extra_pieces) - extra_pieces
    piece = place // width
    # Pieces 0 … N-1 are the rows' first ones, the others follow.
    position = np.where(piece == 0, rows, size + first_extra[rows] + piece - 1)
    padding = -len(owners) % pieces_multiple
    owners = np.concatenate([owners, np.full(padding, size - 1, owners.dtype)])
    total = size + len(owners)
    all_columns = np.tile(np.concatenate([np.arange(size), owners]), (width, 1))
    all_values = np.zeros((width, total), data.dtype)
    all_columns[place % width, position] = off.indices
    all_values[place % width, position] = off.data
    # `jnp.asarray` would compile a program per shape.
    return SplitRows(
        diagonal=jax.device_put(diagonal),
        columns=jax.device_put(all_columns[:, :size].astype(np.int32)),
        values=jax.device_put(all_values[:, :size]),
        more_columns=jax.device_put(all_columns[:, size:].astype(np.int32)),
        more_values=jax.device_put(all_values[:, size:]),
        owners=jax.device_put(owners.astype(np.int32)),
    )


def _pieces(columns: jax.Array, values: jax.Array, vector: jax.Array) -> jax.Array:
    """Sums of the pieces: an unrolled loop over slots, which XLA fuses into one."""
    total = jnp.zeros(columns.shape[1], vector.dtype)
    for slot in range(columns.shape[0]):
        # The indices are known to be inside: no wrapping, no clamping.
        entry = vector.at[columns[slot]].get(
            mode="promise_in_bounds", wrap_negative_indices=False
        )
        total = total + values[slot] * entry
    return total


def matvec(
    matrix: Any, vector: jax.Array, *, base: jax.Array | None = None
) -> jax.Array:
    """Multiplies a square sparse matrix by a vector, and adds a base if given.

    Args:
      matrix: (N, N) `SplitRows`, or any matrix of `jax.experimental.sparse`.
      vector: (N,).
      base: (N,) to add; with `SplitRows` this costs no pass of its own.

    Returns:
      (N,) of the vector's dtype, `base + matrix @ vector`.

    Raises:
      ValueError: shapes that do not match, that of the base among them.
    """
    vector = arrays.float32("vector", vector)
    if vector.shape != (matrix.shape[1],):
        raise ValueError(
            f"vector: got shape {vector.shape}, expected ({matrix.shape[1]},)"
        )
    if base is not None and np.shape(base) != vector.shape:
        raise ValueError(
            f"base: got shape {np.shape(base)}, expected that of the vector, "
            f"{vector.shape}"
        )
    if not isinstance(matrix, SplitRows):
        product = matrix @ vector
        return product if base is None else base + product
    first = matrix.diagonal * vector + _pieces(matrix.columns, matrix.values, vector)
    if base is not None:
        first = base + first
    if matrix.owners.shape[0] == 0:
        return first
    more = _pieces(matrix.more_columns, matrix.more_values, vector)
    # Without the barrier XLA computes the pieces inside the (serial) scatter.
    first, more = jax.lax.optimization_barrier((first, more))
    return first.at[matrix.owners].add(
        more, indices_are_sorted=True, mode="promise_in_bounds"
    )
