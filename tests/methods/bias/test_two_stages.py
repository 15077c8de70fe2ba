"""JTT and PGD: a first training's weights, and what the second does with them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robustjax.methods import bias
from robustjax.methods.bias._draws import kept_order, weighted_order
from robustjax.models import MLP
from tests.methods.bias import problem

ADAM = optax.adam(1e-2)


def outputs(params, repeat):
    x, y, _ = problem.arrays()
    own = {"params": problem.leaf_of(params, repeat)}
    features = np.asarray(problem.MODEL.apply(own, x, method="features"))
    return features, np.asarray(problem.MODEL.apply(own, x)), y[repeat]


@pytest.mark.slow
def test_jtt_counts_the_first_networks_errors_and_starts_anew():
    recipe = bias.jtt(
        problem.MODEL,
        ADAM,
        epochs=4,
        identification_epochs=2,
        factor=4.0,
        by="weights",
    )
    assert recipe.epochs == 4
    _, states = problem.run(recipe)
    _, plain = problem.run(bias.vanilla(problem.MODEL, ADAM, epochs=2))
    weights = [state.loss_state.rows["weight"]["weight"] for state in states]
    np.testing.assert_array_equal(weights[0], 1)
    for repeat in range(problem.REPEATS):
        _, logits, labels = outputs(plain[1].params, repeat)
        want = np.where(logits.argmax(1) != labels, 4.0, 1.0)
        np.testing.assert_array_equal(weights[1][repeat], want)
    np.testing.assert_array_equal(weights[3], weights[1])
    # A fresh network and a fresh optimiser.
    assert np.all(states[1].opt_state[0].count == 0)
    kernels = [s.params["head"]["kernel"] for s in (states[0], states[1])]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.3


@pytest.mark.slow
def test_a_factor_of_one_is_plain_training_of_the_fresh_network():
    recipe = bias.jtt(problem.MODEL, ADAM, epochs=2, factor=1.0, by="weights")
    _, states = problem.run(recipe)
    fresh, last = recipe.phases[0].algorithm, recipe.phases[1].algorithm
    one = problem.leaf_of(states[0], 0)
    one = one._replace(key=jax.random.wrap_key_data(one.key))
    batch = problem.batch(0, 9, padding=3)
    plain = bias.vanilla(problem.MODEL, ADAM, epochs=1).phases[0].algorithm

    @jax.jit
    def slopes(state):
        args = (state.params, state, batch, jax.random.key(0))
        bare = state._replace(loss_state=plain_memory)
        return (
            jax.grad(last.objective, has_aux=True)(*args)[0],
            jax.grad(plain.objective, has_aux=True)(args[0], bare, *args[2:])[0],
        )

    plain_memory = problem.first_state(plain).loss_state
    chex.assert_trees_all_close(*slopes(one), atol=1e-6)
    assert fresh is not last


@pytest.mark.slow
def test_pgd_draws_by_the_last_layers_gradient_and_goes_on():
    recipe = bias.pgd(problem.MODEL, optax.sgd(0.1, momentum=0.9), epochs=4, order=1.0)
    program, states = problem.run(recipe)
    _, biased = problem.run(
        bias.gce_biased(problem.MODEL, optax.sgd(0.1, momentum=0.9), epochs=2)
    )
    chex.assert_trees_all_close(states[1].params, biased[1].params, atol=1e-6)
    weights = states[1].loss_state.rows["weight"]["weight"]
    for repeat in range(problem.REPEATS):
        features, logits, labels = outputs(states[1].params, repeat)
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        slope = (p - np.eye(problem.C)[labels])[:, None] * features[:, :, None]
        norm = np.abs(slope).sum((1, 2))
        want = np.maximum(norm, 1e-8) / norm.sum()
        np.testing.assert_allclose(weights[repeat] / problem.N, want, rtol=1e-4)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(states[1].opt_state))
    # The order of the second stage follows the weights, and is not the plain one.
    order = recipe.phases[-1].algorithm.order
    state = problem.leaf_of(states[1], 0)
    drawn = order(jax.random.key(0), state, problem.N, 4, problem.N)
    assert len(np.unique(drawn)) < problem.N
    assert program.at(3).algorithm.order is order


def test_draws_are_in_proportion():
    weights = jnp.array([0.0, 1, 3, 0, 4])
    keys = jax.random.split(jax.random.key(0), 400)
    drawn = jax.jit(jax.vmap(lambda key: weighted_order(key, weights, 2, 9)))(keys)
    assert drawn.shape == (400, 3, 2)
    np.testing.assert_array_equal(drawn[:, -1, -1], 9)
    count = np.bincount(np.ravel(drawn), minlength=10)[:5]
    want = 2000 * np.asarray(weights) / 8
    assert count[want == 0].sum() == 0
    # Chi-square of 2 degrees of freedom, its 99.99 % point.
    assert (((count - want)[want > 0]) ** 2 / want[want > 0]).sum() < 18.4


def test_kept_ones_come_round_and_round():
    kept = jnp.arange(10) % 4 == 1
    order = jax.jit(lambda key, kept: kept_order(key, kept, 4, 10))
    drawn = order(jax.random.key(0), kept)
    assert drawn.shape == (3, 4)
    count = np.bincount(np.ravel(drawn), minlength=11)
    np.testing.assert_array_equal(count[:10] > 0, kept)
    np.testing.assert_array_equal(sorted(count[[1, 5, 9]]), [3, 3, 4])
    assert count[10] == 2
    others = [order(key, kept) for key in jax.random.split(jax.random.key(1), 8)]
    assert len({np.asarray(each).tobytes() for each in others}) > 2
    np.testing.assert_array_equal(order(jax.random.key(0), kept & False), 10)


class WithoutFeatures(MLP):
    features = None


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (bias.jtt, {"epochs": 1}, "epochs: got 1, expected an integer >= 2"),
        (bias.jtt, {"identification_epochs": 0}, "identification_epochs: got 0"),
        (bias.jtt, {"factor": -1.0}, "factor: got -1.0"),
        (bias.jtt, {"by": "copies"}, "by: unknown 'copies'"),
        (bias.jtt, {"identification_loss": "mse"}, "identification_loss: unknown"),
        (bias.pgd, {"epochs": 1}, "epochs: got 1, expected an integer >= 2"),
        (bias.pgd, {"biased_epochs": 4}, "epochs: got 4, expected an integer >= 5"),
        (bias.pgd, {"order": 0.0}, "order: got 0.0"),
        (bias.pgd, {"model": WithoutFeatures(3)}, "model: got WithoutFeatures"),
    ],
)
def test_bad_arguments(make, options, message):
    given = {"model": problem.MODEL, "optimizer": ADAM, "epochs": 4, **options}
    with pytest.raises(ValueError, match=message):
        make(**given)
