"""Euler diffusion and the clamped map against NumPy, and their invariants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import sparse as jsparse

from robustjax import graph


@pytest.fixture(scope="module")
def built():
    rng = np.random.default_rng(2)
    return graph.neighbor_graph(rng.normal(size=(300, 4)).astype(np.float32), 5)


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(3).exponential(size=300)


def numpy_clamped(p, values, node, step_size, steps):
    e = values.copy()
    for _ in range(steps):
        e[node] = 0
        e = (1 - step_size) * e + step_size * (p @ e)
    return e


def dense(built):
    return np.asarray(built.transition.todense(), np.float64)


@pytest.mark.parametrize("layout", ["bcoo", "split_rows"])
def test_euler_steps_equal_numpy(layout, built, values):
    laplacian = built.laplacian
    if layout == "split_rows":
        laplacian = graph.split_rows(laplacian)
    got = graph.diffuse(laplacian, jnp.asarray(values, jnp.float32), step_size=0.1)
    want = values - 0.1 * (values - dense(built) @ values)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    got = graph.diffuse(
        laplacian, jnp.asarray(values, jnp.float32), step_size=0.1, steps=30
    )
    want = np.linalg.matrix_power(0.9 * np.eye(300) + 0.1 * dense(built), 30) @ values
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_constants_stay_and_extremes_bound(built, values):
    e = jnp.asarray(values, jnp.float32)
    for steps in (1, 10, 200):
        out = graph.diffuse(built.laplacian, e, step_size=0.1, steps=steps)
        assert out.min() >= e.min() - 1e-6
        assert out.max() <= e.max() + 1e-6
        constant = graph.diffuse(
            built.laplacian, jnp.full(300, 0.7), step_size=0.1, steps=steps
        )
        np.testing.assert_allclose(constant, 0.7, rtol=1e-5)


@pytest.mark.parametrize("solver", ["euler", "chebyshev"])
@pytest.mark.parametrize(
    ("step_size", "steps"),
    [(0.1, 10), (0.1, 0), (0.1, 1), (0.1, 2), (0.5, 7), (1.0, 4), (0.0, 5), (0.05, 60)],
)
def test_clamped_map_equals_numpy(solver, step_size, steps, built, values):
    diffusion = graph.clamped_diffusion(
        built.laplacian, step_size=step_size, steps=steps, solver=solver
    )
    for node in (0, 17, 299):
        got = jax.jit(diffusion)(jnp.asarray(values, jnp.float32), node)
        want = numpy_clamped(dense(built), values, node, step_size, steps)
        np.testing.assert_allclose(got, want, atol=3e-6)


def test_chebyshev_takes_seven_products_for_the_papers_ten(built):
    diffusion = graph.clamped_diffusion(built.laplacian)
    assert len(diffusion.coefficients) == 7  # One leading term, six products, one K.


def test_clamping_lowers_the_neighbourhood_most(built):
    diffusion = graph.clamped_diffusion(built.laplacian)
    ones = jnp.ones(300)
    after = np.asarray(diffusion(ones, 12))
    neighbours = dense(built)[12] > 0
    assert 0 < after[12] < 0.15
    assert after[neighbours].max() < after[~neighbours].max()
    assert after[neighbours].mean() < 0.97
    assert np.median(after) > 0.999


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step_size": 1.5}, "step_size: got 1.5"),
        ({"steps": -1}, "steps: got -1"),
        ({"solver": "implicit"}, "solver: unknown 'implicit'; known: euler, chebysh"),
    ],
)
def test_bad_arguments(arguments, message, built):
    with pytest.raises(ValueError, match=message):
        graph.clamped_diffusion(built.laplacian, **arguments)


def test_numbers_of_steps_and_nodes_that_are_none(built, values):
    e = jnp.asarray(values, jnp.float32)
    for steps in (-1, 2.5):
        with pytest.raises(ValueError, match=f"steps: got {steps}"):
            graph.diffuse(built.laplacian, e, step_size=0.1, steps=steps)
    diffusion = graph.clamped_diffusion(built.laplacian)
    for node in (-1, 300):
        with pytest.raises(ValueError, match=rf"node: got {node}, .* \[0, 299\]"):
            diffusion(e, node)


def test_only_the_laplacian_of_a_random_walk_is_diffused_on(built):
    """The series is that of shares, and what is none would give any number."""
    degrees = jnp.arange(1.0, 301)[built.laplacian.indices[:, 0]]
    unnormalised = jsparse.BCOO(
        (built.laplacian.data * degrees, built.laplacian.indices), shape=(300, 300)
    )
    for other in (built.transition, unnormalised):
        with pytest.raises(ValueError, match="laplacian: rows of I - L are off 1 by"):
            graph.clamped_diffusion(other)
