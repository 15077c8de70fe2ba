"""Active passive losses against plain NumPy, their limits, gradients and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses


def log_softmax(z):
    z = np.asarray(z, np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def focal_values(log_p, gamma, factor_at=None):
    """-(1 - p_k)^gamma log p_k, the factor possibly frozen at other log p."""
    frozen = log_p if factor_at is None else factor_at
    return -((1 - np.exp(frozen)) ** gamma) * log_p


# name -> (JAX loss, NumPy values of every label from log p)
NORMALISED = {
    "nce": (losses.nce, lambda s: s / s.sum()),
    "ngce": (
        losses.ngce,
        lambda s: (1 - np.exp(s) ** 0.7) / (1 - np.exp(s) ** 0.7).sum(),
    ),
    "nfl": (losses.nfl, lambda s: focal_values(s, 0.5) / focal_values(s, 0.5).sum()),
}
ALL = {**NORMALISED, "focal": (losses.focal, lambda s: focal_values(s, 2.0))}


@pytest.mark.parametrize("name", ALL)
def test_equals_numpy(name, rng):
    logits = (rng.normal(size=(3, 4, 6)) * 3).astype(np.float32)
    labels = rng.integers(0, 6, (3, 4))
    target = rng.dirichlet(np.ones(6), (3, 4))
    loss, reference = ALL[name]
    values = np.apply_along_axis(reference, -1, log_softmax(logits))
    hard = np.take_along_axis(values, labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(loss(logits, labels), hard, rtol=1e-4, atol=1e-6)
    soft = (values * target).sum(-1)
    got = loss(logits, jnp.asarray(target, jnp.float32))
    np.testing.assert_allclose(got, soft, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NORMALISED)
def test_normalised_losses_lie_in_0_1_and_add_up_to_1(name, rng):
    logits = jnp.asarray(rng.normal(size=(20, 4)) * 10, jnp.float32)
    every = jax.vmap(lambda k: NORMALISED[name][0](logits, jnp.full(20, k)))(
        jnp.arange(4)
    )
    assert (every >= 0).all()
    assert (every <= 1).all()
    np.testing.assert_allclose(every.sum(0), 1, rtol=1e-5)


def numerical_gradient(function, z, step=1e-6):
    moves = step * np.eye(len(z))
    return np.array([(function(z + d) - function(z - d)) / (2 * step) for d in moves])


def nfl_reference(z, at, label, detached):
    """The NFL whose detached factors are those of the logits `at`."""
    s, frozen = log_softmax(z), log_softmax(at)
    above = focal_values(s, 0.5, frozen if detached == "both" else None)
    below = focal_values(s, 0.5, None if detached == "none" else frozen)
    return above[label] / below.sum()


@pytest.mark.parametrize("detached", ["both", "normaliser", "none"])
def test_nfl_gradient_treats_the_named_factors_as_constants(detached):
    z = np.array([0.3, -1.2, 2.0, 0.5])
    want = numerical_gradient(lambda x: nfl_reference(x, z, 1, detached), z)
    gradient = jax.jit(jax.grad(lambda x: losses.nfl(x, 1, detached=detached)))
    got = gradient(jnp.asarray(z))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-7)
    others = {"both", "normaliser", "none"} - {detached}
    for other in others:
        away = numerical_gradient(lambda x, o=other: nfl_reference(x, z, 1, o), z)
        assert np.abs(away - want).max() > 1e-3


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_focal_gradient(stop_gradient):
    z = np.array([0.3, -1.2, 2.0])

    def reference(x):
        frozen = log_softmax(z) if stop_gradient else None
        return focal_values(log_softmax(x), 0.5, frozen)[0]

    gradient = jax.grad(
        lambda x: losses.focal(x, 0, gamma=0.5, stop_gradient=stop_gradient)
    )
    got = jax.jit(gradient)(jnp.asarray(z))
    np.testing.assert_allclose(got, numerical_gradient(reference, z), rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (losses.nce, lambda s: s[2] / s.sum()),
        (losses.ngce, lambda s: (1 - np.exp(0.7 * s[2])) / (1 - np.exp(0.7 * s)).sum()),
    ],
)
def test_gradients_equal_finite_differences(loss, reference):
    z = np.array([0.3, -1.2, 2.0, 0.1])
    got = jax.jit(jax.grad(lambda x: loss(x, 2)))(jnp.asarray(z))
    want = numerical_gradient(lambda x: reference(log_softmax(x)), z)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-7)


def test_limits(rng):
    logits = jnp.asarray(rng.normal(size=(10, 5)) * 2, jnp.float32)
    labels = jnp.asarray(rng.integers(0, 5, 10))
    plain = losses.nce(logits, labels)
    p_y = np.exp(log_softmax(logits))[np.arange(10), labels]
    np.testing.assert_allclose(losses.ngce(logits, labels, q=0.0), plain, rtol=1e-6)
    np.testing.assert_allclose(losses.nfl(logits, labels, gamma=0.0), plain, rtol=1e-6)
    np.testing.assert_allclose(
        losses.ngce(logits, labels, q=1.0), (1 - p_y) / 4, rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.focal(logits, labels, gamma=0.0),
        losses.cross_entropy(logits, labels),
        rtol=1e-6,
    )


@pytest.mark.parametrize("passive", ["rce", "mae"])
@pytest.mark.parametrize("active", ["nce", "nfl", "ngce"])
def test_combination_has_the_published_scale(active, passive, rng):
    """The published passive terms are 9.21 (1 - p_y) and 1 - p_y."""
    logits = (rng.normal(size=(6, 4)) * 2).astype(np.float32)
    labels = rng.integers(0, 4, 6)
    got = losses.active_passive(
        logits, labels, active=active, passive=passive, alpha=10.0, beta=0.5
    )
    log_p = log_softmax(logits)
    values = np.apply_along_axis(NORMALISED[active][1], -1, log_p)
    rest = 1 - np.exp(log_p)[np.arange(6), labels]
    scale = -np.log(1e-4) if passive == "rce" else 1.0
    want = 10 * values[np.arange(6), labels] + 0.5 * scale * rest
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_combination_passes_its_parameters_on(rng):
    logits = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 4, 6))

    def combined(**parameters):
        return losses.active_passive(logits, labels, **parameters)

    nothing = {"beta": 0.0}
    np.testing.assert_array_equal(
        combined(active="nfl", gamma=2.0, **nothing),
        losses.nfl(logits, labels, gamma=2.0),
    )
    np.testing.assert_array_equal(
        combined(active="ngce", q=0.1, **nothing), losses.ngce(logits, labels, q=0.1)
    )
    np.testing.assert_array_equal(
        combined(alpha=0.0, log_zero=-4.0), losses.rce(logits, labels, log_zero=-4.0)
    )


EXTREME = {
    "nce": (losses.nce, [0.0, 1 / 3, 2 / 3]),
    "ngce": (losses.ngce, [0.0, 0.5, 0.5]),
    "nfl": (losses.nfl, [0.0, 1 / 3, 2 / 3]),
    "focal": (losses.focal, [0.0, 1e4, 2e4]),
    "focal(0.5)": (lambda z, y: losses.focal(z, y, gamma=0.5), [0.0, 1e4, 2e4]),
    "nfl(none)": (
        lambda z, y: losses.nfl(z, y, detached="none"),
        [0.0, 1 / 3, 2 / 3],
    ),
    "active_passive": (
        losses.active_passive,
        [0.0, 1 / 3 + 9.2103404, 2 / 3 + 9.2103404],
    ),
}


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_logits(name):
    loss, want = EXTREME[name]
    logits = jnp.tile(jnp.array([1e4, 0.0, -1e4]), (3, 1))
    labels = jnp.arange(3)

    @jax.jit
    def both(z):
        value, pull_back = jax.vjp(lambda x: loss(x, labels), z)
        return value, *pull_back(jnp.ones_like(value))

    value, gradient = both(logits)
    np.testing.assert_allclose(value, want, rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", EXTREME)
def test_a_masked_label_out_of_range_has_gradient_zero(name):
    labels = jnp.array([3, 0, -1])

    def masked(logits):
        values = EXTREME[name][0](logits, labels)
        return jnp.where(labels == 0, values, 0.0).sum()

    gradient = jax.jit(jax.grad(masked))(jnp.ones((3, 3)))
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.abs(gradient).sum(1) > 0, labels == 0)


@pytest.mark.parametrize("name", EXTREME)
def test_label_out_of_range_is_nan_and_half_precision_is_float32(name):
    got = EXTREME[name][0](jnp.zeros((3, 3), jnp.bfloat16), jnp.array([3, 0, -1]))
    assert np.isnan(got[np.array([0, 2])]).all()
    assert np.isfinite(got[1])
    assert got.dtype == jnp.float32


def test_parameters_may_be_traced():
    logits, labels = jnp.array([[1.0, 0.0, -2.0]]), jnp.array([1])

    @jax.jit
    def combined(alpha, beta, gamma, q):
        return sum(
            losses.active_passive(
                logits, labels, active=active, alpha=alpha, beta=beta, gamma=gamma, q=q
            )
            for active in ("nce", "nfl", "ngce")
        )

    want = combined.__wrapped__(2.0, 0.5, 0.5, 0.7)
    np.testing.assert_allclose(combined(2.0, 0.5, 0.5, 0.7), want, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, y: losses.ngce(z, y, q=1.5), r"q: got 1.5, expected .*\[0, 1\]"),
        (lambda z, y: losses.nfl(z, y, gamma=-1), "gamma: got -1"),
        (lambda z, y: losses.nfl(z, y, detached="all"), "detached: unknown 'all'"),
        (lambda z, y: losses.focal(z, y, gamma=-1), "gamma: got -1"),
        (lambda z, y: losses.active_passive(z, y, alpha=-1), "alpha: got -1"),
        (lambda z, y: losses.active_passive(z, y, beta=-1), "beta: got -1"),
        (lambda z, y: losses.active_passive(z, y, active="nec"), "did you mean 'nce'"),
        (lambda z, y: losses.active_passive(z, y, passive="ce"), "passive: unknown"),
        (lambda z, y: losses.nce(z, y[:1]), r"labels: got shape \(1,\)"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((2, 3)), jnp.array([0, 1]))
