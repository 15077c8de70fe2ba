"""Losses by name, and training with nothing but a loss."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import losses, methods
from robustjax.methods.label_noise import ROBUST_LOSSES, heteroscedastic, robust_loss
from robustjax.models import MLP
from robustjax.transforms import Stage
from tests.methods import recipe_problem
from tests.methods.test_registry import required
from tests.training import toy


def batch_of_six(rng):
    """A batch of the data set's first examples, and its logits."""
    batch = {"index": jnp.arange(6), "label": jnp.asarray(rng.integers(0, 4, 6))}
    return batch, jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)


def updated(transform, batch, logits):
    state = transform.init(rj.ExampleSpec(8, 4))
    return transform.update(rj.start(batch), state, batch, logits=logits)


@pytest.mark.slow
def test_every_name_is_a_whole_loss(rng):
    batch, logits = batch_of_six(rng)

    def reduced(transform):
        terms, _ = updated(transform, batch, logits)
        return rj.reduce(terms)

    values = {}
    for name, factory in ROBUST_LOSSES.items():
        transform = factory(**required(methods.entry(name, "label_noise")))
        assert transform.stages.count(Stage.HEAD) == 1, name
        values[name] = float(reduced(transform))
    expected = {
        "ce": losses.cross_entropy,
        "mae": losses.mae,
        "gce": losses.gce,
        "symmetric_ce": losses.symmetric_ce,
        "nce": losses.nce,
        "nfl": losses.nfl,
        "ngce": losses.ngce,
        "active_passive": losses.active_passive,
        "jensen_shannon": losses.jensen_shannon,
        "bootstrap": functools.partial(losses.bootstrap_ce, beta=0.95),
    }
    for name, loss in expected.items():
        want = np.mean(loss(logits, batch["label"]))
        np.testing.assert_allclose(values[name], want, rtol=1e-5, err_msg=name)
    # Before the first epoch ends nothing is pruned.
    np.testing.assert_allclose(values["truncated_gce"], values["gce"], rtol=1e-6)
    assert all(np.isfinite(value) for value in values.values())


def test_chains_equal_numpy(rng):
    batch, logits = batch_of_six(rng)
    p = np.asarray(jax.nn.softmax(logits), np.float64)
    ce = -np.log(p[np.arange(6), np.asarray(batch["label"])])

    smooth, _ = updated(ROBUST_LOSSES["label_smoothing"](0.2), batch, logits)
    uniform = -np.log(p).mean(1)
    np.testing.assert_allclose(smooth.value, 0.8 * ce + 0.2 * uniform, rtol=1e-5)

    # After one visit the memory is (1 - decay) p.
    elr, state = updated(ROBUST_LOSSES["elr"](2.0, 0.6), batch, logits)
    penalty = 2 * np.log(1 - (0.4 * p * p).sum(1))
    np.testing.assert_allclose(elr.value, ce + penalty, rtol=1e-4)
    np.testing.assert_allclose(state.rows[1]["target"][:6], 0.4 * p, rtol=1e-4)

    # Without a gradual increase: int((1 - 0.3) 6) = 4 examples.
    kept, _ = updated(ROBUST_LOSSES["small_loss"](0.3, num_gradual=0), batch, logits)
    np.testing.assert_allclose(rj.reduce(kept), np.sort(ce)[:4].mean(), rtol=1e-5)


@pytest.mark.slow
def test_beats_cross_entropy_on_noisy_digits():
    def run(name, **options):
        recipe = robust_loss(
            MLP(10, (128,)),
            optax.sgd(0.1, momentum=0.9),
            ROBUST_LOSSES[name](**options),
            epochs=30,
        )
        return recipe_problem.train_on_digits(recipe)

    _, _, plain = run("ce")
    # With a memory of predictions, and with one that is renewed by an evaluation.
    _, _, elr = run("elr")
    _, state, truncated = run("truncated_gce", start_epoch=5)
    assert elr > plain + 0.1, (elr, plain)
    assert truncated > plain + 0.1, (truncated, plain)
    # What is left out is mostly what is wrong.
    train, _, given = recipe_problem.noisy_digits()
    right, kept = given == train.labels, np.asarray(state.loss_state.rows["kept"][0])
    assert right[kept].mean() > 0.85
    assert right[~kept].mean() < 0.25


def test_inputs_are_changed_in_training_only():
    recipe = robust_loss(
        MLP(toy.C, (8,)),
        optax.sgd(0.0),
        ROBUST_LOSSES["ce"](),
        epochs=1,
        augment=lambda key, x: x + 1,
        preprocess=lambda x: 2 * x,
    )
    x, y = toy.arrays()
    program = recipe_problem.toy_program(recipe, batch_size=toy.N)
    held = program.make_data(x, y[:1])
    state = program.init(jax.random.key(0)[None], held.inputs)
    state, metrics = program.at(0).epoch(state, held)
    params = jax.tree.map(lambda leaf: leaf[0], state.params)

    def logits(inputs):
        return MLP(toy.C, (8,)).apply({"params": params}, inputs)

    want = np.mean(losses.cross_entropy(logits(2 * (x + 1)), jnp.asarray(y[0])))
    np.testing.assert_allclose(metrics["loss"], want, rtol=1e-5)
    got = program.predict(state, held.inputs)[0]
    np.testing.assert_allclose(got, logits(2 * x), atol=1e-5)


@pytest.mark.slow
def test_heteroscedastic_head_replaces_the_models():
    recipe = heteroscedastic(
        MLP(toy.C, (8,)), optax.sgd(0.1), epochs=2, rank=2, num_samples=20, chunk=10
    )
    state, history = recipe_problem.run_toy(recipe)
    assert history[1]["loss"].mean() < history[0]["loss"].mean()
    assert "head" not in state.params["backbone"]
    program = recipe_problem.toy_program(recipe)
    x, _ = toy.arrays()
    log_p = program.predict(state, jnp.asarray(x))
    assert (np.asarray(log_p) <= 0).all()
    # Up to the probabilities below the minimum.
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, atol=1e-4)

    class NoFeatures(nn.Module):
        num_classes: int = 3

    with pytest.raises(ValueError, match="model: got NoFeatures"):
        heteroscedastic(NoFeatures(), optax.sgd(0.1), epochs=1)
    with pytest.raises(ValueError, match="temperature: got 2.0 with temperature_range"):
        heteroscedastic(
            MLP(toy.C, (8,)), optax.sgd(0.1), epochs=1,
            temperature=2.0, temperature_range=(0.3, 3.0),
        )  # fmt: skip
