"""The graph Laplacian and its products against dense NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from jax.experimental import sparse as jsparse

from robustjax import graph


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(3, 5)) * 3
    return (centres[rng.integers(0, 3, 200)] + rng.normal(size=(200, 5))).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def built(points):
    return graph.neighbor_graph(points, 6)


def dense_reference(points, k):
    """Eq. 7 written out with dense float64 matrices."""
    points = points.astype(np.float64)
    n = len(points)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    sigma = distance[np.triu_indices(n, 1)].mean() ** 2
    order = np.argsort(np.where(np.eye(n, dtype=bool), np.inf, distance), axis=1)
    near = np.zeros((n, n), bool)
    near[np.repeat(np.arange(n), k), order[:, :k].ravel()] = True
    a = np.where(near | near.T, np.exp(-(distance**2) / sigma), 0.0)
    p = a / a.sum(1, keepdims=True)
    return a, p, np.eye(n) - p, sigma


def test_equals_dense_equation_7(points, built):
    _, p, laplacian, sigma = dense_reference(points, 6)
    np.testing.assert_allclose(built.sigma, sigma, rtol=1e-4)
    np.testing.assert_allclose(built.transition.todense(), p, atol=1e-5)
    np.testing.assert_allclose(built.laplacian.todense(), laplacian, atol=1e-5)


def test_rows_sum_to_one_and_edges_are_symmetric(points, built):
    p = built.transition.todense()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    edges = graph.symmetric_edges(graph.nearest_neighbors(points, 6))
    assert abs(edges - edges.T).max() == 0
    assert edges.diagonal().sum() == 0
    degree = np.diff(edges.indptr)
    assert degree.min() >= 6
    assert degree.mean() < 12


def test_an_outlier_keeps_a_distribution(points):
    far = np.concatenate([points, np.full((1, 5), 1e4, np.float32)])
    built = graph.neighbor_graph(far, 6, sigma=1.0)
    assert np.isfinite(built.transition.data).all()
    np.testing.assert_allclose(built.transition.todense().sum(1), 1, rtol=1e-5)


def test_bad_scale():
    with pytest.raises(ValueError, match="points: all coincide"):
        graph.neighbor_graph(np.ones((8, 2)), 2)
    with pytest.raises(ValueError, match="sigma: got -1"):
        graph.neighbor_graph(np.eye(8), 2, sigma=-1)


def random_matrix(rng, n, density, longest):
    """A square matrix with very uneven rows, a diagonal, and an empty row."""
    dense = np.where(rng.random((n, n)) < density, rng.normal(size=(n, n)), 0.0)
    dense[3, :longest] = rng.normal(size=longest)
    dense[5] = 0
    return dense.astype(np.float32)


@pytest.mark.parametrize("width", [1, 3, 12, 64])
def test_every_layout_multiplies_like_scipy(width, rng):
    dense = random_matrix(rng, 60, 0.05, 57)
    vector = rng.normal(size=60).astype(np.float32)
    want = sp.csr_array(dense) @ vector
    bcoo = jsparse.BCOO.fromdense(dense)
    bcsr = jsparse.BCSR.from_bcoo(bcoo)
    for matrix in (bcoo, bcsr, graph.split_rows(bcoo, width)):
        got = jax.jit(graph.matvec)(matrix, jnp.asarray(vector))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        got = graph.matvec(matrix, jnp.asarray(vector), base=jnp.ones(60))
        np.testing.assert_allclose(got, want + 1, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_layout_accepts_padded_and_repeated_entries(rng):
    dense = random_matrix(rng, 20, 0.1, 15)
    bcoo = jsparse.BCOO.fromdense(dense, nse=200)
    twice = jsparse.BCOO(
        (
            jnp.concatenate([bcoo.data, bcoo.data]),
            jnp.concatenate([bcoo.indices, bcoo.indices]),
        ),
        shape=(20, 20),
    )
    vector = jnp.asarray(rng.normal(size=20), jnp.float32)
    np.testing.assert_allclose(
        graph.matvec(graph.split_rows(twice, 4), vector),
        2 * dense @ np.asarray(vector),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.slow
def test_matvec_under_vmap_and_grad(built, rng):
    layout = graph.split_rows(built.transition)
    vectors = jnp.asarray(rng.normal(size=(3, 200)), jnp.float32)
    dense = np.asarray(built.transition.todense())
    got = jax.vmap(lambda v: graph.matvec(layout, v))(vectors)
    np.testing.assert_allclose(got, np.asarray(vectors) @ dense.T, atol=1e-5)
    gradient = jax.grad(lambda v: graph.matvec(layout, v).sum())(vectors[0])
    np.testing.assert_allclose(gradient, dense.sum(0), rtol=1e-4)


def test_bad_matvec(built):
    with pytest.raises(ValueError, match=r"vector: got shape \(7,\), expected \(200,"):
        graph.matvec(built.laplacian, jnp.ones(7))
    for base in (jnp.ones((200, 1)), jnp.ones(1), 1.0):
        for matrix in (built.laplacian, graph.split_rows(built.laplacian)):
            with pytest.raises(ValueError, match=r"base: got shape .*\(200,\)"):
                graph.matvec(matrix, jnp.ones(200), base=base)
    with pytest.raises(ValueError, match=r"matrix: got shape \(2, 3\)"):
        graph.split_rows(jsparse.BCOO.fromdense(jnp.ones((2, 3))))
    with pytest.raises(ValueError, match="width: got 0"):
        graph.split_rows(built.laplacian, 0)
