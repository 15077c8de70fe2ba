"""The probability-normalised graph Laplacian over a set of points."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse as sp
from jax.experimental import sparse as jsparse

from robustjax import arrays, checks
from robustjax.graph._neighbors import (
    Neighbors,
    mean_pairwise_distance,
    nearest_neighbors,
)


class NeighborGraph(NamedTuple):
    """A kNN graph as sparse matrices.

    Attributes:
      laplacian: (N, N) BCOO, `L = I - D^{-1} A` (Kim, ECCV 2022, Eq. 7).
      transition: (N, N) BCOO, `P = D^{-1} A`; rows sum to 1.
      sigma: the scale of the edge weights, in squared distance.
    """

    laplacian: jsparse.BCOO
    transition: jsparse.BCOO
    sigma: float


def symmetric_edges(neighbors: Neighbors) -> sp.csr_array:
    """Squared distances of the edges j ~ k with j in kNN(k) *or* k in kNN(j).

    Args:
      neighbors: of N points.

    Returns:
      (N, N) float64 CSR with sorted indices, symmetric, no diagonal; an edge of
      length zero is stored.

    Raises:
      ValueError: indices that are no other rows, distances that are not finite or
        negative, or shapes that differ.
    """
    indices = arrays.numbers("neighbors.indices", neighbors.indices, 2)
    distances = arrays.numbers("neighbors.distances", neighbors.distances, 2)
    size, k = indices.shape
    if indices.shape != distances.shape or not indices.size:
        raise ValueError(
            f"neighbors.distances: got shape {distances.shape} and indices of shape "
            f"{indices.shape}, expected one distance per index, and at least one"
        )
    if indices.dtype.kind not in "iu":
        raise ValueError(
            f"neighbors.indices: got {indices.dtype.name}, expected integers"
        )
    outside = (indices < 0) | (indices >= size) | (indices == np.arange(size)[:, None])
    if outside.any():
        row = int(np.flatnonzero(outside.any(axis=1))[0])
        raise ValueError(
            f"neighbors.indices: got {indices[row].tolist()} at row {row}, expected "
            f"other rows, 0 … {size - 1}"
        )
    checks.finite("neighbors.distances", distances)
    checks.in_range("neighbors.distances", distances.min(), 0)
    squares = distances.astype(np.float64) ** 2
    rows = np.repeat(np.arange(size), k)
    columns = indices.ravel()
    # Each edge once in either direction; both directions carry the same distance up
    # to rounding, so the first one found is made to serve both.
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    _, first = np.unique(low * np.int64(size) + high, return_index=True)
    low, high, square = low[first], high[first], squares.ravel()[first]
    graph = sp.coo_array(
        (
            np.concatenate([square, square]),
            (np.concatenate([low, high]), np.concatenate([high, low])),
        ),
        shape=(size, size),
    ).tocsr()
    graph.sort_indices()
    return graph


def _to_bcoo(matrix: sp.csr_array) -> jsparse.BCOO:
    """CSR with sorted, unique indices as BCOO that knows it."""
    size = matrix.shape[0]
    rows = np.repeat(np.arange(size, dtype=np.int32), np.diff(matrix.indptr))
    indices = np.stack([rows, matrix.indices.astype(np.int32)], axis=1)
    return jsparse.BCOO(
        jax.device_put((matrix.data.astype(np.float32), indices)),
        shape=matrix.shape,
        indices_sorted=True,
        unique_indices=True,
    )


def graph_from_neighbors(neighbors: Neighbors, sigma: float) -> NeighborGraph:
    """Builds `P = D^{-1} A` and `L = I - P` from neighbour lists.

    `A[j, k] = exp(-||x_j - x_k||^2 / sigma)` on the edges of `symmetric_edges`. Rows
    are normalised as a softmax, so that even a far outlier keeps a distribution.

    Args:
      neighbors: of N points, Euclidean.
      sigma: a positive number, in squared distance.

    Raises:
      ValueError: sigma that is not positive.
    """
    checks.in_range("sigma", sigma, 0, low_open=True)
    edges = symmetric_edges(neighbors)
    degree = np.diff(edges.indptr)
    nearest = np.minimum.reduceat(edges.data, edges.indptr[:-1])
    weight = np.exp(-(edges.data - np.repeat(nearest, degree)) / sigma)
    total = np.add.reduceat(weight, edges.indptr[:-1])
    transition = sp.csr_array(
        (weight / np.repeat(total, degree), edges.indices, edges.indptr),
        shape=edges.shape,
    )
    laplacian = (sp.eye_array(edges.shape[0], format="csr") - transition).tocsr()
    laplacian.sort_indices()
    return NeighborGraph(_to_bcoo(laplacian), _to_bcoo(transition), float(sigma))


def neighbor_graph(
    points: np.ndarray | jax.Array,
    k: int = 10,
    *,
    sigma: float | None = None,
) -> NeighborGraph:
    """Builds the kNN graph of a point set (Kim, ECCV 2022, section 3.2).

    Args:
      points: (N, d) floats, the Euclidean embedding of the data.
      k: number of neighbours, 1 … N-1; 10 in the paper.
      sigma: scale of the edge weights; by default the squared mean of pairwise
        distances, as in the paper.

    Raises:
      ValueError: bad points or k (see `nearest_neighbors`), or points that all
        coincide, so that no scale can be found.

    Example:
      >>> import numpy as np
      >>> from robustjax import graph
      >>> near = graph.neighbor_graph(np.array([[0.0], [1.0], [9.0]]), k=1)
      >>> [round(share, 2) for share in near.transition.todense()[1].tolist()]
      [0.85, 0.0, 0.15]
    """
    neighbors = nearest_neighbors(points, k)
    if sigma is None:
        sigma = mean_pairwise_distance(points) ** 2
        if sigma == 0:
            raise ValueError("points: all coincide, expected distinct points")
    return graph_from_neighbors(neighbors, sigma)
