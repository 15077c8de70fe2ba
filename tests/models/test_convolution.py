"""Convolution and pooling against NumPy loops, Linen, and each other."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import Conv, conv2d, max_pool2
from robustjax.models import _patches as patches
from robustjax.models._window import make_window
from tests.models.convolution_gradients import of_a_penalty, under_vmap

# kernel, strides, padding, batch, input channels: every value of each occurs.
CASES = [
    (3, (1, 1), "SAME", 5, 3),
    (1, (1, 1), "VALID", 2, 4),
    (1, (2, 2), ((0, 0), (0, 0)), 3, 2),
    (5, (2, 1), ((1, 1), (0, 2)), 1, 1),
    (7, (2, 2), ((3, 3), (3, 3)), 3, 3),
    (3, (3, 2), "SAME", 1, 9),
    (3, (1, 1), ((1, 1), (1, 1)), 7, 9),
    (3, (1, 1), "VALID", 3, 8),
    (2, (1, 1), ((1, 0), (0, 1)), 2, 2),
]


def loop_reference(x, w, strides, padding):
    """Cross-correlation by its definition."""
    kh, kw, _, features = w.shape
    x = np.pad(x, ((0, 0), *padding, (0, 0))).astype(np.float64)
    high = (x.shape[1] - kh) // strides[0] + 1
    wide = (x.shape[2] - kw) // strides[1] + 1
    out = np.zeros((x.shape[0], high, wide, features))
    for i in range(high):
        for j in range(wide):
            top, left = i * strides[0], j * strides[1]
            patch = x[:, top : top + kh, left : left + kw]
            out[:, i, j] = np.tensordot(patch, w, ([1, 2, 3], [0, 1, 2]))
    return out


def same_padding(size, kernel, stride):
    """TensorFlow's rule, written down on its own."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def value_and_gradients(x, w, **settings):
    @jax.jit
    def run(x, w):
        y, pull = jax.vjp(lambda x, w: conv2d(x, w, **settings), x, w)
        weights = jnp.cos(jnp.arange(y.size)).reshape(y.shape)
        return y, *pull(weights.astype(y.dtype))

    return run(x, w)


def problem(rng, kernel, batch, channels, features=4, size=(9, 8)):
    x = rng.normal(size=(batch, *size, channels)).astype(np.float32)
    w = rng.normal(size=(kernel, kernel, channels, features)).astype(np.float32)
    return x, w


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_implementations_equal_the_definition(rng, case):
    kernel, strides, padding, batch, channels = case
    x, w = problem(rng, kernel, batch, channels)
    explicit = {
        "SAME": tuple(same_padding(n, kernel, s) for n, s in zip((9, 8), strides)),
        "VALID": ((0, 0), (0, 0)),
    }.get(padding, padding)
    want = loop_reference(x, w, strides, explicit)
    settings = {"strides": strides, "padding": padding}
    native = value_and_gradients(x, w, **settings)
    ours = value_and_gradients(x, w, **settings, implementation="patches")
    np.testing.assert_allclose(native[0], want, rtol=1e-4, atol=1e-4)
    for got, other in zip(ours, native):
        np.testing.assert_allclose(got, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", ["native", "patches"])
def test_padding_wider_than_the_kernel(rng, implementation):
    padding = ((3, 0), (1, 2))
    x, w = problem(rng, 2, 1, 2, size=(4, 3))
    settings = {"padding": padding, "implementation": implementation}
    y, by_inputs, by_kernel = value_and_gradients(x, w, **settings)
    want = loop_reference(x, w, (1, 1), padding)
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)
    # Convolution is linear in either argument: derivatives from its basis.
    weights = np.cos(np.arange(y.size)).reshape(y.shape)
    basis = np.eye(x.size).reshape(-1, *x.shape[1:])
    outputs = loop_reference(basis, w, (1, 1), padding)
    want = (outputs * weights).sum((1, 2, 3)).reshape(x.shape)
    np.testing.assert_allclose(by_inputs, want, rtol=1e-4, atol=1e-4)
    basis = np.eye(w.size).reshape(-1, *w.shape)
    outputs = [loop_reference(x, each, (1, 1), padding) for each in basis]
    want = [(output * weights).sum() for output in outputs]
    np.testing.assert_allclose(by_kernel.ravel(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [2, 8])
@pytest.mark.parametrize("most", [3, 7])
def test_blocks_of_the_batch_change_nothing(rng, monkeypatch, channels, most):
    x, w = problem(rng, 3, 7, channels)
    whole = value_and_gradients(x, w, implementation="patches")
    monkeypatch.setattr(patches, "num_blocks", lambda *_: most)
    blocked = value_and_gradients(x, w, implementation="patches")
    for got, want in zip(blocked, whole):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)])
def test_vmap_over_inputs_and_kernels(rng, axes):
    x = rng.normal(size=(3, 2, 6, 5, 8)).astype(np.float32)
    w = rng.normal(size=(3, 3, 3, 8, 4)).astype(np.float32)
    x, w = (a if axis == 0 else a[0] for a, axis in zip((x, w), axes))

    ours, native = (under_vmap(x, w, axes, kind) for kind in ("patches", "native"))
    for got, want in zip(jax.tree.leaves(ours), jax.tree.leaves(native)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_a_gradient_penalty(rng, strides):
    x, w = problem(rng, 3, 4, 8, features=8)

    ours, native = (
        of_a_penalty(x / 10, w / 10, kind, strides) for kind in ("patches", "native")
    )
    for got, want in zip(ours, native):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_a_gradient_inside_a_scan(rng):
    x, w = problem(rng, 3, 4, 8, features=8)

    def run(implementation):
        def step(w, _):
            gradient = jax.grad(
                lambda w: jnp.mean(conv2d(x, w, implementation=implementation) ** 2)
            )(w)
            return w - 0.01 * gradient, None

        return jax.jit(lambda w: jax.lax.scan(step, w, length=3)[0])(w)

    np.testing.assert_allclose(run("patches"), run("native"), rtol=1e-4, atol=1e-4)


def test_half_precision_stays_half_precision(rng):
    x, w = (a.astype(jnp.bfloat16) for a in problem(rng, 3, 3, 8))
    ours = value_and_gradients(x, w, implementation="patches")
    full = value_and_gradients(x.astype(np.float32), w.astype(np.float32))
    for got, want in zip(ours, full):
        assert got.dtype == jnp.bfloat16
        error = np.abs(np.asarray(got, np.float32) - want).max() / np.abs(want).max()
        assert error < 0.03


@pytest.mark.parametrize("implementation", ["native", "patches"])
def test_module_equals_linen(rng, implementation):
    x = rng.normal(size=(2, 7, 7, 3)).astype(np.float32)
    key = jax.random.key(0)
    settings = {"strides": (2, 2), "padding": ((1, 1), (1, 1))}
    theirs = nn.Conv(5, (3, 3), **settings)
    ours = Conv(5, (3, 3), **settings, implementation=implementation)
    variables = theirs.init(key, x)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, ours.init(key, x), variables))
    variables["params"]["bias"] += 1.0
    np.testing.assert_allclose(
        ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5
    )


def test_module_without_bias(rng):
    x = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    params = Conv(5, (3, 3), use_bias=False).init(jax.random.key(0), x)["params"]
    assert set(params) == {"kernel"}


def test_errors():
    x, w = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 1))
    with pytest.raises(ValueError, match="implementation: unknown 'patch'"):
        conv2d(x, w, implementation="patch")
    with pytest.raises(ValueError, match="kernel: got 3 input channels"):
        conv2d(x, jnp.zeros((3, 3, 3, 1)))
    with pytest.raises(ValueError, match="inputs: got shape"):
        conv2d(x[0], w)
    with pytest.raises(ValueError, match="padding: unknown 'FULL'"):
        conv2d(x, w, padding="FULL")
    with pytest.raises(ValueError, match="padding: got -1"):
        conv2d(x, w, padding=((-1, 0), (0, 0)))
    with pytest.raises(ValueError, match="strides: got 0"):
        conv2d(x, w, strides=(0, 1))
    with pytest.raises(ValueError, match="strides: got"):
        conv2d(x, w, strides=(1,))
    with pytest.raises(ValueError, match="expected at most that of the inputs"):
        make_window((4, 4), (5, 5), (1, 1), "VALID")


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (2, 3)])
def test_max_pool_equals_linen_ties_included(rng, size):
    # Few different values, so that most windows hold ties.
    x = rng.integers(0, 3, (3, *size, 5)).astype(np.float32)

    def run(pool):
        y, pull = jax.vjp(pool, x)
        return y, *pull(jnp.arange(1.0, y.size + 1).reshape(y.shape))

    for got, want in zip(
        run(max_pool2), run(lambda x: nn.max_pool(x, (2, 2), (2, 2))), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_max_pool_under_vmap(rng):
    x = rng.normal(size=(2, 3, 4, 4, 5)).astype(np.float32)
    gradient = jax.grad(lambda x: jnp.sum(max_pool2(x) ** 2))
    batched = jax.vmap(gradient)(x)
    for i in range(2):
        np.testing.assert_array_equal(batched[i], gradient(x[i]))


def test_max_pool_errors():
    with pytest.raises(ValueError, match="height and width >= 2"):
        max_pool2(jnp.zeros((1, 1, 4, 1)))
    with pytest.raises(ValueError, match="inputs: got shape"):
        max_pool2(jnp.zeros((4, 4, 1)))
