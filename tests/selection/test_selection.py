"""Entropy propagation against a plain loop, its limits; top-k and argmax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import graph, selection

N, Q = 400, 25


@pytest.fixture(scope="module")
def built():
    rng = np.random.default_rng(5)
    return graph.neighbor_graph(rng.normal(size=(N, 4)).astype(np.float32), 6)


@pytest.fixture(scope="module")
def entropies():
    """Well separated, so that float32 and float64 agree on every pick."""
    return np.random.default_rng(6).permutation(N) * 0.05 + 1.0


def numpy_picks(p, e, candidates, num_queries, mode):
    """Algorithm 1, lines 15 to 22, in float64."""
    e, free, picks = e.astype(np.float64).copy(), list(candidates), []
    for _ in range(num_queries):
        x = max(free, key=lambda j: (e[j], -free.index(j)))
        free.remove(x)
        picks.append(x)
        if mode == "literal":
            for _ in range(10):
                e[x] = 0
                e = 0.9 * e + 0.1 * (p @ e)
        else:
            h = np.zeros(N)
            for _ in range(10):
                h[x] = 1
                h = 0.9 * h + 0.1 * (p @ h)
            h[x] = 1
            e = np.maximum(e - e[x] * h, 0)
    return picks, e


@pytest.mark.parametrize("mode", ["literal", "delta"])
@pytest.mark.parametrize("solver", ["euler", "chebyshev"])
def test_equals_the_plain_loop(mode, solver, built, entropies):
    p = np.asarray(built.transition.todense(), np.float64)
    candidates = np.sort(np.random.default_rng(7).choice(N, 4 * Q, replace=False))
    diffusion = graph.clamped_diffusion(built.laplacian, solver=solver)
    select = jax.jit(
        functools.partial(selection.propagate_entropy, num_queries=Q, mode=mode)
    )
    picks, e = select(
        jnp.asarray(entropies, jnp.float32),
        jnp.asarray(candidates, jnp.int32),
        jnp.ones(4 * Q, bool),
        diffusion,
    )
    # Literal smoothing brings near-ties early; delta keeps the ranking apart.
    steps = 8 if mode == "literal" else Q
    want, want_e = numpy_picks(p, entropies, candidates, Q, mode)
    np.testing.assert_array_equal(picks[:steps], want[:steps])
    if mode == "delta":
        np.testing.assert_allclose(e, want_e, atol=1e-4)
    assert len(set(picks.tolist())) == Q
    assert set(picks.tolist()) <= set(candidates.tolist())


@pytest.mark.parametrize("mode", ["literal", "delta"])
def test_no_diffusion_is_top_q_by_entropy(mode, built, entropies):
    for arguments in ({"steps": 0}, {"step_size": 0.0}):
        if mode == "literal" and "step_size" in arguments:
            continue  # A clamped entropy stays at zero, which is the same here.
        diffusion = graph.clamped_diffusion(built.laplacian, **arguments)
        picks, _ = selection.propagate_entropy(
            jnp.asarray(entropies, jnp.float32),
            jnp.arange(N),
            jnp.ones(N, bool),
            diffusion,
            num_queries=Q,
            mode=mode,
        )
        np.testing.assert_array_equal(picks, np.argsort(-entropies)[:Q])


def test_unusable_candidates_are_never_picked(built, entropies):
    usable = jnp.arange(N) % 2 == 0
    picks, _ = selection.propagate_entropy(
        jnp.asarray(entropies, jnp.float32),
        jnp.arange(N),
        usable,
        graph.clamped_diffusion(built.laplacian),
        num_queries=Q,
    )
    assert (np.asarray(picks) % 2 == 0).all()


def test_diffusion_spreads_the_picks(built):
    """A hot region that top-Q would take whole is left after a few picks."""
    p = np.asarray(built.transition.todense())
    region = np.flatnonzero(np.linalg.matrix_power(p, 2)[10] > 0)
    entropies = np.full(N, 0.9, np.float32)
    entropies[region] = 1.0
    args = (jnp.asarray(entropies), jnp.arange(N), jnp.ones(N, bool))
    count = min(20, len(region))
    hits = {}
    for mode in ("literal", "delta"):
        picks, _ = selection.propagate_entropy(
            *args,
            graph.clamped_diffusion(built.laplacian, steps=30),
            num_queries=count,
            mode=mode,
        )
        hits[mode] = np.isin(picks, region).sum()
    assert hits["literal"] < count
    assert hits["delta"] < count


@pytest.mark.slow
def test_vmap_over_repeats(built, entropies, rng):
    diffusion = graph.clamped_diffusion(built.laplacian)
    many = jnp.asarray(np.stack([rng.permutation(entropies) for _ in range(3)]))
    select = functools.partial(selection.propagate_entropy, num_queries=8, mode="delta")
    args = (jnp.arange(N), jnp.ones(N, bool), diffusion)
    picks, _ = jax.vmap(lambda e: select(e, *args))(many.astype(jnp.float32))
    for i in range(3):
        alone, _ = select(many[i].astype(jnp.float32), *args)
        np.testing.assert_array_equal(picks[i], alone)


def test_bad_arguments(built):
    diffusion = graph.clamped_diffusion(built.laplacian)
    with pytest.raises(ValueError, match="candidates: got 5, expected at least"):
        selection.propagate_entropy(
            jnp.ones(N), jnp.arange(5), jnp.ones(5, bool), diffusion, num_queries=6
        )
    with pytest.raises(ValueError, match="mode: unknown 'x'; known: literal, delta"):
        selection.propagate_entropy(
            jnp.ones(N),
            jnp.arange(N),
            jnp.ones(N, bool),
            diffusion,
            num_queries=6,
            mode="x",
        )
    # A pick's value is set to zero, above all that are negative.
    with pytest.raises(ValueError, match="entropies: got -2"):
        selection.propagate_entropy(
            jnp.full(N, -2.0),
            jnp.arange(N),
            jnp.ones(N, bool),
            diffusion,
            num_queries=6,
        )
    with pytest.raises(ValueError, match="usable: got 2, expected bools, or 0 and 1"):
        selection.propagate_entropy(
            jnp.ones(N), jnp.arange(N), np.arange(N), diffusion, num_queries=6
        )
    with pytest.raises(ValueError, match="available: got 2, expected bools, or 0 and"):
        selection.top_available(np.ones(3), [0, 2, 1], 2)
    for make in (np.array, jnp.array):
        values = make([1.0, np.nan, 3.0])
        with pytest.raises(ValueError, match="scores: 1 are NaN .first: row 1"):
            selection.top_available(values, np.ones(3, bool), 2)
        with pytest.raises(ValueError, match="values: 1 are NaN .first: row 1"):
            selection.fast_argmax(values)


@pytest.mark.parametrize("size", [1, 5, 256, 257, 5000])
def test_fast_argmax(size, rng):
    values = rng.integers(0, 30, size).astype(np.float32)
    assert selection.fast_argmax(jnp.asarray(values)) == values.argmax()
    assert selection.fast_argmax(jnp.full(size, -jnp.inf)) == 0


@pytest.mark.slow
def test_top_available():
    scores = jnp.array([3.0, 9.0, 3.0, 1.0, 7.0])
    indices, real = selection.top_available(
        scores, jnp.array([True, False, True, True, False]), 4
    )
    np.testing.assert_array_equal(indices[:3], [0, 2, 3])
    np.testing.assert_array_equal(real, [True, True, True, False])
