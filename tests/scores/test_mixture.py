"""The mixture of two Gaussians against scikit-learn, and its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from robustjax.scores import fit_two_gaussians, min_max_normalize, posterior_of_lower


def losses(rng, count=600, wrong=0.4, clean_scale=0.3):
    """Losses as after a warm-up: a peak near 0 and a broad hill."""
    low = rng.exponential(clean_scale, size=int(count * (1 - wrong)))
    high = rng.normal(3.0, 0.6, size=count - len(low))
    values = rng.permutation(np.concatenate([low, np.maximum(high, 0)]))
    return (values - values.min()) / (values.max() - values.min())


def sklearn_fit(values, **settings):
    return GaussianMixture(
        2, **{"max_iter": 10, "tol": 1e-2, "reg_covar": 5e-4, **settings}
    ).fit(values[:, None])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("wrong", "settings"),
    [(0.2, {}), (0.5, {}), (0.8, {}), (0.5, {"max_iter": 3, "tol": 0.0})],
)
def test_equals_scikit_learn(wrong, settings, rng):
    values = losses(rng, wrong=wrong)
    reference = sklearn_fit(values, random_state=0, **settings)
    named = {"max_iter": "max_iterations", "tol": "tolerance"}
    got = fit_two_gaussians(
        jnp.asarray(values), **{named[name]: value for name, value in settings.items()}
    )
    order, ours = np.argsort(reference.means_[:, 0]), np.argsort(got.means)
    np.testing.assert_allclose(got.means[ours], reference.means_[order, 0], rtol=1e-4)
    np.testing.assert_allclose(
        got.variances[ours], reference.covariances_[order, 0, 0], rtol=1e-3
    )
    np.testing.assert_allclose(got.weights[ours], reference.weights_[order], rtol=1e-4)
    want = reference.predict_proba(values[:, None])[:, order[0]]
    np.testing.assert_allclose(
        posterior_of_lower(jnp.asarray(values), got), want, atol=1e-3
    )


def test_separated_values_are_told_apart(rng):
    upper = rng.random(600) < 0.3
    values = np.where(upper, 0.9, 0.1) + 0.02 * rng.normal(size=600)
    mixture = fit_two_gaussians(jnp.asarray(values))
    posterior = posterior_of_lower(jnp.asarray(values), mixture)
    np.testing.assert_allclose(posterior, ~upper, atol=1e-6)
    np.testing.assert_allclose(
        np.sort(mixture.weights), [upper.mean(), 1 - upper.mean()], rtol=1e-4
    )


def test_masked_values_do_not_count(rng):
    values = losses(rng, 500)
    mask = np.ones(600, bool)
    mask[::6] = False
    spoilt = np.full(600, np.nan)
    spoilt[1::12] = np.inf
    spoilt[mask] = values
    got = fit_two_gaussians(jnp.asarray(spoilt), jnp.asarray(mask))
    means = sklearn_fit(values, random_state=0).means_[:, 0]
    np.testing.assert_allclose(np.sort(got.means), np.sort(means), rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.7, -3.0])
def test_constant_values_all_belong_to_the_lower(value):
    values = jnp.full(600, value)
    mixture = fit_two_gaussians(values)
    assert np.isfinite(np.asarray(mixture)).all()
    np.testing.assert_allclose(posterior_of_lower(values, mixture), 1, atol=1e-4)


@pytest.mark.parametrize("values", [[0.3], [0.0, 1.0], [0.0, 0.0, 1.0], [1e-30, 0.0]])
def test_few_values_leave_no_nan(values):
    values = jnp.array(values)
    mixture = fit_two_gaussians(values)
    assert np.isfinite(np.asarray(mixture)).all()
    assert np.isfinite(posterior_of_lower(values, mixture)).all()


def test_nothing_to_fit_leaves_no_nan():
    nothing = fit_two_gaussians(jnp.full(3, jnp.nan), jnp.zeros(3, bool))
    assert np.isfinite(np.asarray(nothing)).all()


def test_far_values_are_certain_not_nan():
    """A density that underflows on both sides still has a posterior."""
    values = jnp.concatenate([jnp.linspace(0, 0.01, 50), jnp.linspace(0.99, 1, 50)])
    mixture = fit_two_gaussians(values)
    far = posterior_of_lower(jnp.array([-1e4, 1e4]), mixture)
    assert np.isfinite(far).all()
    assert ((far < 1e-6) | (far > 1 - 1e-6)).all()


def test_vmap_equals_single_fits(rng):
    """One row converges at once, another needs every step."""
    rows = np.stack([losses(rng, wrong=w) for w in (0.1, 0.5)] + [np.zeros(600)])
    together = jax.jit(jax.vmap(fit_two_gaussians))(jnp.asarray(rows, jnp.float32))
    for i, row in enumerate(rows):
        alone = fit_two_gaussians(jnp.asarray(row, jnp.float32))
        for got, want in zip(together, alone):
            np.testing.assert_allclose(got[i], want, rtol=1e-4, atol=1e-6)


def test_min_max_normalize():
    values = jnp.array([3.0, 1.0, 99.0, 2.0])
    mask = jnp.array([True, True, False, True])
    np.testing.assert_allclose(min_max_normalize(values, mask), [1, 0, 0, 0.5])
    np.testing.assert_allclose(min_max_normalize(jnp.arange(3)), [0, 0.5, 1])
    np.testing.assert_array_equal(min_max_normalize(jnp.full(3, 7.0)), 0)
    # Float32 has one number for all of these.
    for large in (2**30 + np.arange(3), 2**30 + jnp.arange(3)):
        np.testing.assert_allclose(min_max_normalize(large), [0, 0.5, 1])
    with pytest.raises(ValueError, match="mask: got 2, expected bools"):
        min_max_normalize(values, np.array([0, 1, 2, 3]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": jnp.ones((2, 2))}, r"values: got shape \(2, 2\)"),
        ({"mask": jnp.ones(4, bool)}, "values: lengths differ"),
        ({"mask": np.array([0, 1, 2])}, "mask: got 2, expected bools, or 0 and 1"),
        ({"values": 2**30 + jnp.arange(3)}, "values: got numbers from .* resolves"),
        ({"max_iterations": 0}, "max_iterations: got 0"),
        ({"max_iterations": 2.5}, "max_iterations: got 2.5, expected an integer"),
        ({"tolerance": -1.0}, "tolerance: got -1.0"),
        ({"regularization": 0.0}, "regularization: got 0.0"),
        ({"regularization": 1e-50}, "regularization: got 1e-50"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_two_gaussians(**{"values": jnp.ones(3), **arguments})
