"""From a pre-trained network: only the head moves, or everything does."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import data, methods, training
from robustjax.data import augmentation
from robustjax.methods.features import linear_probe, with_pretrained
from robustjax.models import MLP, SmallCNN
from robustjax.training import init_variables
from tests.methods import recipe_problem
from tests.methods.feature_problem import NormalizedFeatures
from tests.training import toy

MODEL = NormalizedFeatures()
# Decay and momentum would move what has no gradient.
OPTIMIZER = optax.chain(
    optax.add_decayed_weights(0.1), optax.sgd(0.1, momentum=0.9, nesterov=True)
)


@functools.cache
def pretrained(seed=5, model=MODEL):
    """(parameters, running statistics) of a network with a past."""
    params, model_state = init_variables(
        model, jax.random.key(seed), jnp.zeros((1, toy.D))
    )
    stats = jax.tree.map(lambda leaf: leaf + 0.3, model_state)
    return params, stats


def probe(params=None, model_state=None, model=MODEL, **options):
    given = pretrained()
    return linear_probe(
        model,
        given[0] if params is None else params,
        given[1] if model_state is None else model_state,
        OPTIMIZER,
        epochs=2,
        **options,
    )


def first(tree):
    return jax.tree.map(lambda leaf: leaf[0], tree)


def without_head(params):
    return {name: value for name, value in params.items() if name != "head"}


def test_only_the_head_moves():
    params, model_state = pretrained()
    state, history = recipe_problem.run_toy(probe(), slice(0, 1))
    chex.assert_trees_all_equal(first(without_head(state.params)), without_head(params))
    chex.assert_trees_all_equal(first(state.model_state), model_state)
    moved = state.params["head"]["kernel"][0] - params["head"]["kernel"]
    assert np.abs(moved).max() > 0.01
    # Of the other parameters there is no momentum either.
    kept = [leaf.shape[1:] for leaf in jax.tree.leaves(state.opt_state)]
    assert sorted(kept) == [(3,), (8, 3)]
    assert history[1]["loss"].mean() < history[0]["loss"].mean()


def test_it_is_logistic_regression_on_fixed_features():
    """Two steps in NumPy, from features of prediction mode."""
    params, model_state = pretrained()
    x, y = toy.arrays()
    algorithm = (
        linear_probe(MODEL, params, model_state, optax.sgd(0.5), epochs=1)
        .phases[0]
        .algorithm
    )
    spec = rj.ExampleSpec(toy.N, toy.C)
    state = toy.first_state(algorithm, jnp.asarray(x[:1]), spec)
    held = training.TrainData(jnp.asarray(x), jnp.asarray(y[0], jnp.int32))
    step = jax.jit(functools.partial(training.train_step, algorithm))
    features = np.asarray(
        MODEL.apply({"params": params, **model_state}, x, method="features")
    )
    w, b = (np.array(params["head"][name], np.float64) for name in ("kernel", "bias"))
    for part in (slice(0, 8), slice(8, 14)):
        batch = {
            "index": jnp.arange(toy.N)[part],
            "mask": jnp.ones(part.stop - part.start, bool),
            "label": held.labels[part],
            "inputs": held.inputs[part],
        }
        state, _ = step(state, batch)
        p = np.exp(features[part] @ w + b)
        error = p / p.sum(1, keepdims=True) - np.eye(toy.C)[y[0, part]]
        w -= 0.5 * features[part].T @ error / len(error)
        b -= 0.5 * error.mean(0)
    np.testing.assert_allclose(state.params["head"]["kernel"], w, atol=1e-5)
    np.testing.assert_allclose(state.params["head"]["bias"], b, atol=1e-5)


def test_everything_moves_on_request():
    params, model_state = pretrained()
    state, _ = recipe_problem.run_toy(probe(train_all=True), slice(0, 1))
    for got, start in ((state.params, params), (state.model_state, model_state)):
        moved = jax.tree.map(lambda a, b: np.abs(a[0] - b).max(), got, start)
        # A bias before BatchNorm has no gradient, and decays from zero.
        moved.get("first", {}).pop("bias", None)
        assert min(jax.tree.leaves(moved)) > 1e-3


def test_a_missing_head_is_made():
    params, model_state = pretrained()
    bare = without_head(params)
    x, _ = toy.arrays()
    program = recipe_problem.toy_program(probe(bare, model_state))
    state = program.init(jax.random.split(jax.random.key(0), 2), jnp.asarray(x))
    heads = state.params["head"]["kernel"]
    assert np.abs(heads[0] - heads[1]).max() > 0.01
    for repeat in range(2):
        got = jax.tree.map(lambda leaf, r=repeat: leaf[r], state.params)
        chex.assert_trees_all_equal(without_head(got), bare)


@pytest.mark.parametrize("train_all", [False, True])
def test_repeats_from_their_own_networks_equal_single_runs(train_all):
    networks = [pretrained(seed) for seed in (5, 6)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    x, y = toy.arrays()
    keys = jax.random.split(jax.random.key(0), toy.REPEATS)

    def run(recipe, repeats, given):
        program = recipe_problem.toy_program(recipe)
        held = program.make_data(x, y[repeats])
        state = program.init(keys[repeats], held.inputs)
        if given is not None:
            state = with_pretrained(state, *given)
        state = training.fit(program, state, held, epochs=2)
        return state.params, state.model_state

    together = run(probe(train_all=train_all), slice(None), stacked)
    # Training consumes its state, and not what was given.
    chex.assert_trees_all_equal(first(stacked), networks[0])
    for r, network in enumerate(networks):
        alone = run(probe(*network, train_all=train_all), slice(r, r + 1), None)
        chex.assert_trees_all_close(
            first(alone), jax.tree.map(lambda leaf, r=r: leaf[r], together), atol=1e-5
        )


def test_padding_is_inert():
    for train_all in (False, True):
        algorithm = probe(train_all=train_all).phases[0].algorithm
        state = recipe_problem.first_state(algorithm)
        recipe_problem.assert_padding_is_inert(algorithm, state)


@pytest.mark.slow
def test_features_learned_without_labels_serve_few_labels():
    """SimCLR on digits and on images of nothing, then four labels per class."""
    train, test = data.load_digits("train"), data.load_digits("test")
    encoder = SmallCNN(10, blocks=((16,), (32,)), hidden=(64,), convolution="patches")
    noise = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1))
    algorithm = methods.simclr(
        encoder,
        optax.adam(3e-3),
        projection=(32, 16),
        augment=augmentation.simclr_augmentation(
            crop_scale=(0.5, 1.0), flip=False, jitter=0.5, grayscale=0
        ),
    )
    program, state = methods.train_simclr(
        algorithm,
        np.concatenate([train.inputs, noise.astype(train.inputs.dtype)]),
        jax.random.key(0),
        epochs=5,
        batch_size=128,
    )
    known = np.concatenate([np.flatnonzero(train.labels == c)[:4] for c in range(10)])

    def accuracy(state):
        recipe = linear_probe(
            encoder,
            *methods.encoder_variables(state),
            optax.adam(3e-2),
            epochs=30,
        )
        trainer = training.RecipeProgram(
            recipe,
            rj.ExampleSpec(40, 10),
            batch_size=20,
            execution=recipe_problem.EXECUTION,
        )
        held = trainer.make_data(train.inputs[known], train.labels[None, known])
        probed = trainer.init(jax.random.key(1)[None], held.inputs)
        probed = training.fit(trainer, probed, held, epochs=30)
        logits = trainer.predict(probed, jnp.asarray(test.inputs))
        return np.mean(np.argmax(logits, axis=-1) == test.labels[None])

    untrained = program.init(jax.random.key(0)[None], jnp.asarray(train.inputs))
    before, after = accuracy(untrained), accuracy(state)
    assert after > before + 0.05, (before, after)


def test_bad_arguments():
    class Featureless(MLP):
        features = None

    def begin(*variables):
        recipe_problem.first_state(probe(*variables).phases[0].algorithm)

    params, _ = pretrained()
    with pytest.raises(ValueError, match="model: got Featureless, expected one with"):
        probe(model=Featureless(3))
    with pytest.raises(ValueError, match=r"params: misses \['first'\]\['bias'\]"):
        begin({**params, "first": {"kernel": params["first"]["kernel"]}})
    with pytest.raises(ValueError, match=r"params: got \['last'\]\['x'\], expected no"):
        begin({**params, "last": {"x": jnp.zeros(3)}})
    other, _ = pretrained(model=NormalizedFeatures(7))
    with pytest.raises(ValueError, match=r"params: got \['head'\]\['bias'\] of shape"):
        begin(other)
    kernel = params["first"]["kernel"]
    for fewer in (kernel[:1], kernel[0]):
        # No network of such a shape is meant by the one that it could be repeated to.
        with pytest.raises(ValueError, match=r"params: got .*'kernel'\] of shape"):
            begin({**params, "first": {**params["first"], "kernel": fewer}})
    with pytest.raises(ValueError, match="model_state: misses"):
        begin(params, {})
