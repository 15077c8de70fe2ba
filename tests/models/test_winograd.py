"""Convolution with fewer products, against sums in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax.models import _patches as patches
from robustjax.models import _winograd as winograd
from robustjax.models._window import make_window
from tests.models.convolution_gradients import of_a_penalty, under_vmap

edges = st.tuples(st.integers(0, 2), st.integers(0, 2))
extents = st.integers(3, 11)


def by_definition(x, w, g, window):
    """Outputs, and derivatives by inputs and by kernel, in float64."""
    x, w, g = (np.asarray(array, np.float64) for array in (x, w, g))
    padded = np.pad(x, ((0, 0), *window.padding, (0, 0)))
    (high, wide), (height, width) = window.out, window.size
    y, by_padded, by_kernel = np.zeros_like(g), np.zeros_like(padded), np.zeros_like(w)
    for i, j in window.taps:
        here = np.s_[:, i : i + high, j : j + wide]
        y += padded[here] @ w[i, j]
        by_padded[here] += g @ w[i, j].T
        by_kernel[i, j] = np.einsum("bhwc,bhwd->cd", padded[here], g)
    (top, _), (left, _) = window.padding
    return y, by_padded[:, top : top + height, left : left + width], by_kernel


def three_passes(x, w, g, window):
    """The same as training has it."""

    @jax.jit
    def run(x, w, g):
        y, pull = jax.vjp(lambda x, w: patches.conv_by_patches(x, w, window), x, w)
        return y, *pull(g)

    return run(x, w, g)


def problem(rng, window, batch, channels, features):
    x = rng.normal(size=(batch, *window.size, channels))
    w = rng.normal(size=(3, 3, channels, features)) / np.sqrt(9 * channels)
    g = rng.normal(size=(batch, *window.out, features))
    return [array.astype(np.float32) for array in (x, w, g)]


def errors(got, want):
    """The largest, as fractions of the largest number."""
    return np.array(
        [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(got, want, strict=True)]
    )


def test_the_matrices_filter_exactly(rng):
    to_outputs, of_kernel, of_inputs = winograd._matrices()
    d, w = rng.normal(size=6), rng.normal(size=3)
    got = to_outputs @ ((of_kernel @ w) * (of_inputs @ d))
    np.testing.assert_allclose(got, np.correlate(d, w, "valid"), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(extents, extents), st.tuples(edges, edges), st.integers(1, 4), st.data()
)
def test_any_size_and_padding(size, padding, batch, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    window = make_window(size, (3, 3), (1, 1), padding)
    x, w, g = problem(rng, window, batch, 3, 2)
    with pytest.MonkeyPatch.context() as patch:
        for pays in ("pays", "pays_by_kernel"):
            patch.setattr(winograd, pays, lambda *_: True)
        blocks = data.draw(st.integers(1, batch))
        patch.setattr(winograd, "num_blocks", lambda *_: blocks)
        got = three_passes(x, w, g, window)
    assert (errors(got, by_definition(x, w, g, window)) < 3e-6).all()


@pytest.mark.parametrize("size", [(16, 16), (8, 8), (4, 4), (6, 13)])
def test_rounding_stays_near_that_of_the_direct_sum(rng, monkeypatch, size):
    window = make_window(size, (3, 3), (1, 1), "SAME")
    x, w, g = problem(rng, window, 8, 64, 96)
    assert winograd.pays(window, 64, 96, x.dtype)
    want = by_definition(x, w, g, window)
    ours = errors(three_passes(x, w, g, window), want)
    monkeypatch.setattr(winograd, "pays", lambda *_: False)
    direct = errors(three_passes(x, w, g, window), want)
    assert (direct < 2e-6).all()
    assert (ours < 5e-6).all()


@pytest.mark.parametrize("size", [(4, 4), (8, 7), (16, 17)])
@pytest.mark.parametrize("axes", [(0, 0), (None, 0)])
def test_under_vmap(rng, size, axes):
    x = rng.normal(size=(2, 3, *size, 64)).astype(np.float32)
    w = rng.normal(size=(2, 3, 3, 64, 64)).astype(np.float32) / 24
    x = x if axes[0] == 0 else x[0]

    ours, native = (under_vmap(x, w, axes, kind) for kind in ("patches", "native"))
    for got, want in zip(jax.tree.leaves(ours), jax.tree.leaves(native)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(4, 4), (9, 8), (16, 15)])
def test_gradients_of_gradients(rng, size):
    x = rng.normal(size=(3, *size, 64)).astype(np.float32)
    w = rng.normal(size=(3, 3, 64, 64)).astype(np.float32) / 24

    ours, native = (of_a_penalty(x, w, kind) for kind in ("patches", "native"))
    assert (errors(ours, native) < 1e-5).all()


def test_where_it_does_not_pay():
    image = make_window((8, 8), (3, 3), (1, 1), "SAME")
    f32, bf16 = jnp.dtype("float32"), jnp.dtype("bfloat16")
    assert winograd.pays(image, 64, 64, f32)
    assert not winograd.pays(image, 64, 64, bf16)
    assert not winograd.pays(image, 3, 64, f32)
    assert not winograd.pays(image, 64, 1, f32)
    assert winograd.pays_by_kernel(image, 64, 64, f32)
    assert not winograd.pays_by_kernel(image, 64, 64, bf16)
    assert not winograd.pays_by_kernel(image, 64, 32, f32)
    for kernel, stride, size in ((3, 2, 8), (5, 1, 8), (1, 1, 8), (3, 1, 2)):
        other = make_window((size, size), (kernel, kernel), (stride, stride), "SAME")
        assert not winograd.pays(other, 64, 64, f32)


def test_what_is_not_finite_stays_in_its_tile(rng):
    window = make_window((8, 16), (3, 3), (1, 1), "SAME")
    x, w, _ = problem(rng, window, 2, 32, 32)
    x[0, 0, 0, 0] = np.inf
    y = np.isfinite(winograd.outputs(jnp.asarray(x), jnp.asarray(w), window))
    assert not y[0, :2, :4].any()
    assert y[0, 2:].all()
    assert y[0, :, 4:].all()
    assert y[1].all()
