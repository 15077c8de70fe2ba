"""Plain variants of `robustjax.graph`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.experimental import sparse

from robustjax import graph

from .variants import Row

_RNG = np.random.default_rng(0)
# Exact in float16, so that every form holds the same numbers.
POINTS = _RNG.integers(-64, 64, (12, 3)) / 16.0
_K = 3


def squares(points: np.ndarray) -> np.ndarray:
    """Squared distances (N, N)."""
    points = points - points[:1]
    return ((points[:, None] - points[None]) ** 2).sum(-1)


def neighbors(points: np.ndarray, k: int = _K) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances, ties to the lowest index."""
    if len(points) <= k:
        raise ValueError("too few")
    square = squares(points)
    np.fill_diagonal(square, np.inf)
    order = np.argsort(square, axis=1, kind="stable")[:, :k]
    return order, np.sqrt(np.take_along_axis(square, order, axis=1))


def _mean_distance(points: np.ndarray) -> float:
    size = len(points)
    return np.sqrt(squares(points)).sum() / (size * (size - 1))


def _edges(indices: np.ndarray, distances: np.ndarray) -> np.ndarray:
    size = len(indices)
    found = np.full((size, size), np.inf)
    for row, (columns, lengths) in enumerate(zip(indices, distances)):
        for column, length in zip(columns, lengths):
            found[row, column] = found[column, row] = np.square(float(length))
    return found


def _transition(indices: np.ndarray, distances: np.ndarray, sigma: float) -> np.ndarray:
    edges = _edges(indices, distances)
    nearest = edges.min(axis=1, keepdims=True)
    weights = np.where(np.isfinite(edges), np.exp(-(edges - nearest) / sigma), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _plain_graph(points: np.ndarray) -> np.ndarray:
    sigma = _mean_distance(points) ** 2
    if sigma == 0:
        raise ValueError("coincide")
    return _transition(*neighbors(points), sigma)


_INDICES, _DISTANCES = neighbors(POINTS)
_DISTANCES = np.round(_DISTANCES * 16) / 16
_MATRIX = np.eye(12) - np.roll(np.eye(12), 1, axis=1) / 2
_SPARSE = sparse.BCOO.fromdense(jnp.asarray(_MATRIX, jnp.float32))


def _dense_edges(indices, distances):
    found = graph.symmetric_edges(graph.Neighbors(indices, distances)).tocoo()
    dense = np.full(found.shape, -1.0)
    dense[found.row, found.col] = found.data
    return dense


def _from_neighbors(indices, distances):
    made = graph.graph_from_neighbors(graph.Neighbors(indices, distances), 4.0)
    return made.transition.todense()


def _times(matrix, vector):
    """The product of a sparse matrix: what is zero meets no NaN."""
    there = matrix != 0
    return np.where(there, matrix * np.where(there, vector, 0), 0).sum(axis=1)


def _diffused(values):
    for _ in range(2):
        values = values - 0.5 * _times(_MATRIX, values)
    return values


_NAMED = ("neighbors.indices", "neighbors.distances", "k", "number", "sigma")

TABLE = {
    "nearest_neighbors": Row(
        lambda points: graph.nearest_neighbors(points, _K),
        neighbors,
        {"points": POINTS},
        must_refuse=("nan", "inf"),
        names=_NAMED,
    ),
    "mean_pairwise_distance": Row(
        lambda points: graph.mean_pairwise_distance(points),
        _mean_distance,
        {"points": POINTS},
        must_refuse=("nan", "inf", "one_row", "empty"),
        names=_NAMED,
    ),
    "neighbor_graph": Row(
        lambda points: graph.neighbor_graph(points, _K).transition.todense(),
        _plain_graph,
        {"points": POINTS},
        must_refuse=("nan", "inf"),
        names=_NAMED,
    ),
    "graph_from_neighbors": Row(
        _from_neighbors,
        lambda indices, distances: _transition(indices, distances, 4.0),
        {"distances": _DISTANCES},
        {"indices": _INDICES},
        must_refuse=("nan", "inf"),
        skips=("duplicates",),  # Whose lists would contradict each other.
        names=_NAMED,
    ),
    "symmetric_edges": Row(
        _dense_edges,
        lambda indices, distances: np.where(
            np.isfinite(found := _edges(indices, distances)), found, -1
        ),
        {"distances": _DISTANCES},
        {"indices": _INDICES},
        must_refuse=("nan", "inf"),
        skips=("duplicates",),  # Whose lists would contradict each other.
        names=_NAMED,
    ),
    "matvec": Row(
        lambda vector: graph.matvec(_SPARSE, vector),
        lambda vector: _times(_MATRIX, vector),
        {"vector": POINTS[:, 0]},
    ),
    "diffuse": Row(
        lambda values: graph.diffuse(_SPARSE, values, step_size=0.5, steps=2),
        _diffused,
        {"values": POINTS[:, 0]},
        names=("vector",),
    ),
}

# Functions without arrays of numbers among their arguments.
WITHOUT = {
    "clamped_diffusion": "a sparse matrix of JAX, which holds JAX arrays",
    "split_rows": "a sparse matrix of JAX, which holds JAX arrays",
}
