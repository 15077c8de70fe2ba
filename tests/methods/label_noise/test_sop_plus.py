"""SOP+: two views in one pass, consistency, balance."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.methods.label_noise import robust_loss, sop_plus
from robustjax.models import MLP
from tests.methods import recipe_problem
from tests.methods.recipe_problem import Normalized
from tests.training import toy


def small(model=None, epochs=2, **options):
    return sop_plus(
        model or Normalized(), optax.sgd(0.1, momentum=0.9), epochs=epochs, **options
    )


def start(recipe, deviation=0.0):
    """A state of the toy problem, with rows of that deviation."""
    x, _ = toy.arrays()
    algorithm, spec = recipe.phases[0].algorithm, rj.ExampleSpec(toy.N, toy.C)
    init = jax.jit(algorithm.init, static_argnums=2)
    state = init(jax.random.key(0), jnp.asarray(x[:1]), spec)
    rng = np.random.default_rng(1)
    rows = jax.tree.map(
        lambda leaf: leaf + deviation * rng.normal(size=leaf.shape).astype(np.float32),
        state.loss_state.rows,
    )
    return state._replace(loss_state=state.loss_state._replace(rows=rows))


@pytest.mark.slow
def test_without_its_terms_and_augmentation_it_is_sop():
    plus, _ = recipe_problem.run_toy(
        small(consistency=0.0, balance=0.0, lr_u=5.0, lr_v=20.0)
    )
    plain = robust_loss(
        Normalized(), optax.sgd(0.1, momentum=0.9), rj.sop(5.0, 20.0), epochs=2
    )
    sop, _ = recipe_problem.run_toy(plain)
    # Statistics of every row twice round otherwise than those of every row once.
    chex.assert_trees_all_close(plus.params, sop.params, atol=1e-4)
    chex.assert_trees_all_close(plus.model_state, sop.model_state, atol=1e-4)
    rows = plus.loss_state.rows[0]
    chex.assert_trees_all_close(rows, sop.loss_state.rows, rtol=1e-3)


def test_the_loss_equals_numpy():
    recipe = small(
        weak=lambda key, x: x + 1,
        strong=lambda key, x: 2 * x,
        consistency=0.9,
        balance=0.3,
    )
    state = start(recipe, deviation=0.4)
    x, labels = toy.arrays()
    x, labels, count = x[:12], labels[0, :12], 12
    batch = {
        "index": jnp.arange(count),
        "mask": jnp.ones(count, bool),
        "label": jnp.asarray(labels, jnp.int32),
        "inputs": jnp.asarray(x),
    }
    objective = jax.jit(recipe.phases[0].algorithm.objective)
    loss, (new, metrics) = objective(state.params, state, batch, jax.random.key(0))
    variables = {"params": state.params, **state.model_state}
    views = np.concatenate([x + 1, 2 * x])
    logits, changed = Normalized().apply(
        variables, views, train=True, mutable=["batch_stats"]
    )
    chex.assert_trees_all_close(new.model_state, changed, atol=1e-6)

    chances = np.asarray(jax.nn.softmax(logits), np.float64)
    weak, strong = chances[:count], chances[count:]
    rows = state.loss_state.rows[0]
    u, v = (np.asarray(rows[name][:count], np.float64) for name in "uv")
    given = np.eye(toy.C)[labels]
    added = np.clip(u**2, 0, 1) * given
    removed = np.clip(v**2, 0, 1) * (1 - given)
    q = np.maximum(weak + added - removed, 1e-4)
    q = np.clip(q / q.sum(1, keepdims=True), 1e-4, 1)
    fit = -np.log(q[np.arange(count), labels])
    predicted = np.eye(toy.C)[weak.argmax(1)]
    residual = ((predicted + added - removed - given) ** 2).sum(1)
    divergence = (weak * np.log(weak / strong)).sum(1)
    want = np.mean(fit + residual + 0.9 * divergence)
    want += 0.3 * -np.mean(np.log(q.mean(0)))
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], want, rtol=1e-5)
    share = np.mean(weak.argmax(1) == labels)
    np.testing.assert_allclose(metrics["accuracy"], share, rtol=1e-6)
    moved = np.abs(new.loss_state.rows[0]["v"] - rows["v"]).max(axis=1)
    assert moved[:count].max() > 0
    np.testing.assert_array_equal(moved[count:], 0)


@pytest.mark.slow
def test_by_default_the_strong_view_is_another_weak_one():
    x, y = toy.arrays()
    batch = {
        "index": jnp.arange(4),
        "label": jnp.asarray(y[0, :4]),
        "inputs": jnp.asarray(x[:4]),
    }

    def divergence(weak):
        """What the consistency adds to the loss; 0 for equal views."""
        values = []
        for strength in (0.0, 1.0):
            recipe = small(MLP(toy.C, (8,)), weak=weak, consistency=strength)
            state = start(recipe)
            objective = jax.jit(recipe.phases[0].algorithm.objective)
            values.append(objective(state.params, state, batch, jax.random.key(0))[0])
        return float(values[1] - values[0])

    np.testing.assert_allclose(divergence(None), 0.0, atol=1e-6)
    assert divergence(lambda key, x: x + jax.random.normal(key, x.shape)) > 0.05


@pytest.mark.slow
def test_a_record_changes_nothing_and_counts_every_visit():
    plain, _ = recipe_problem.run_toy(small())
    recorded, _ = recipe_problem.run_toy(small(record=True))
    chex.assert_trees_all_close(recorded.params, plain.params, atol=1e-6)
    *others, rows = recorded.loss_state.rows
    chex.assert_trees_all_close(tuple(others), plain.loss_state.rows, atol=1e-6)
    record = rj.transforms.read_learning_record(rows, toy.N)
    np.testing.assert_array_equal(record.visits, 2)
    assert np.isfinite(record.loss).all()


@pytest.mark.slow
def test_beats_cross_entropy_on_noisy_digits():
    def weak(key, x):
        x = training.as_float(x)
        return x + 0.1 * jax.random.normal(key, x.shape)

    def strong(key, x):
        return training.as_float(x) * jax.random.bernoulli(key, 0.7, x.shape)

    def run(function, *arguments, **options):
        model, optimizer = MLP(10, (128,)), optax.sgd(0.1, momentum=0.9)
        recipe = function(model, optimizer, *arguments, epochs=30, **options)
        return recipe_problem.train_on_digits(recipe)[2]

    plain = run(robust_loss, rj.ce())
    # Published for batches of 128, and these have 64.
    plus = run(sop_plus, lr_u=5.0, lr_v=5.0, weak=weak, strong=strong)
    assert plus > plain + 0.15, (plus, plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr_u": -1}, "lr_u: got -1"),
        ({"lr_v": -1}, "lr_v: got -1"),
        ({"consistency": -1}, "strength: got -1"),
        ({"balance": -1}, "balance: got -1"),
        ({"epochs": 0}, "epochs: got 0"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        training.RecipeProgram(
            small(**options),
            rj.ExampleSpec(toy.N, toy.C),
            batch_size=8,
            execution=recipe_problem.EXECUTION,
        )
