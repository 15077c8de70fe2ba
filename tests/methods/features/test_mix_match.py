"""MixMatch by its definition, learning from few labels, and unlearning beside it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training, transforms
from robustjax.data import Mixed
from robustjax.methods import _semi_supervised as semi_supervised
from robustjax.methods._semi_supervised import LABELED, UNLABELED
from robustjax.methods.features import mix_match
from robustjax.methods.features._mix_match import OOD
from robustjax.models import MLP
from robustjax.training._epoch import read_batch
from tests.methods import recipe_problem
from tests.methods.feature_problem import NormalizedFeatures
from tests.training import toy

KNOWN = np.arange(toy.N) % 5 == 0
OUTSIDE = np.arange(toy.N) % 5 == 1
MODEL = MLP(toy.C, (8,))
UNLEARN = {"ood": OUTSIDE, "penalty": transforms.taufe(0.5)}


def small(epochs=2, model=MODEL, **options):
    return mix_match(
        model,
        optax.sgd(0.1),
        epochs=epochs,
        **{"labeled": KNOWN, "lambda_u": 5.0, "ramp_up_steps": 8, **options},
    )


def start(algorithm):
    """(state, data) of one repeat of the toy problem."""
    x, y = toy.arrays()
    data = training.TrainData(jnp.asarray(x), jnp.asarray(y[0], jnp.int32))
    spec = rj.ExampleSpec(toy.N, toy.C)
    return toy.first_state(algorithm, data.inputs[:1], spec), data


def numpy_sharpen(p, temperature):
    powers = np.asarray(p, np.float64) ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def test_a_step_equals_its_definition(monkeypatch):
    """Guesses from both views, sharpened; everything mixed; a weight that grows."""

    def fixed_mixup(key, inputs, targets, *, alpha, keep_dominant, per_example, mask):
        assert (alpha, keep_dominant, per_example) == (0.75, True, True)
        other = jnp.roll(jnp.arange(len(inputs)), 1)
        lam = jnp.full(len(inputs), 0.7)
        return Mixed(
            0.7 * inputs + 0.3 * inputs[other],
            0.7 * targets + 0.3 * targets[other],
            lam,
            other,
        )

    monkeypatch.setattr(semi_supervised, "mixup", fixed_mixup)

    def augment(key, rows):
        # The second view of an unlabelled example is another one.
        return rows * (1 + (jnp.arange(len(rows)) >= 8))[:, None]

    algorithm = small(augment=augment).phases[0].algorithm
    state, data = start(algorithm)
    index = np.stack([np.arange(0, 40, 5), np.arange(1, 41, 5)], axis=1)
    batch = read_batch(data, jnp.asarray(index), toy.N)
    state = state._replace(step=jnp.int32(2))
    gradient, (_, metrics) = jax.jit(jax.grad(algorithm.objective, has_aux=True))(
        state.params, state, batch, jax.random.key(0)
    )
    x, y = np.asarray(data.inputs), np.asarray(data.labels)
    known, unknown = x[index[:, 0]], x[index[:, 1]]

    def forward(params, inputs):
        return jax.nn.softmax(MODEL.apply({"params": params}, inputs))

    likely = forward(state.params, unknown), forward(state.params, 2 * unknown)
    guess = numpy_sharpen((likely[0] + likely[1]) / 2, 0.5)
    inputs = np.concatenate([known, unknown, 2 * unknown])
    targets = np.concatenate([np.eye(toy.C)[y[index[:, 0]]], guess, guess])
    inputs, targets = (
        (0.7 * array + 0.3 * np.roll(array, 1, 0)).astype(np.float32)
        for array in (inputs, targets)
    )

    @jax.jit
    def reference(params):
        # The guesses are constants to it.
        p = forward(params, inputs)
        supervised = -jnp.sum(targets * jnp.log(p), axis=1)[:8].mean()
        guessed = ((p - targets)[8:] ** 2).mean()
        return supervised + 5 * 2 / 8 * guessed, (p, supervised, guessed)

    (loss, (p, supervised, guessed)), want = jax.value_and_grad(
        reference, has_aux=True
    )(state.params)
    np.testing.assert_allclose(metrics["labeled_loss"], supervised, rtol=1e-4)
    np.testing.assert_allclose(metrics["unlabeled_loss"], guessed, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-4)
    right = p[:8].argmax(1) == y[index[:, 0]]
    np.testing.assert_allclose(metrics["accuracy"], right.mean())
    chex.assert_trees_all_close(gradient, want, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_what_is_not_known_is_not_looked_at():
    """Neither the labels of unlabelled examples nor padding make a difference."""
    algorithm = small().phases[0].algorithm
    state, data = start(algorithm)
    order = jax.jit(algorithm.order, static_argnums=(2, 3, 4))(
        jax.random.key(1), state, toy.N, 24, toy.N
    )
    # Ten examples are labelled, so that two of a batch's twelve are padding.
    batch = read_batch(data, order[0], toy.N)
    labeled, unlabeled = (batch["mask"][:, kind] for kind in (0, 1))
    assert int(labeled.sum()) == 10
    assert bool(unlabeled.all())
    junk = dict(batch)
    junk["label"] = jnp.where(
        labeled[:, None] & jnp.array([[True, False]]), batch["label"], 0
    )
    junk["inputs"] = jnp.where(batch["mask"][:, :, None], batch["inputs"], 50.0)
    gradient = jax.jit(jax.grad(algorithm.objective, has_aux=True))
    state = state._replace(step=jnp.int32(8))
    want, got = (
        gradient(state.params, state, each, jax.random.key(0)) for each in (batch, junk)
    )
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(want[0]))
    assert largest > 1e-3
    chex.assert_trees_all_close(got[0], want[0], atol=1e-6)
    chex.assert_trees_all_close(got[1][1], want[1][1], atol=1e-6)


def first_batch(algorithm, batch_size=16):
    """(state, data, the first batch of an epoch)."""
    state, data = start(algorithm)
    order = jax.jit(algorithm.order, static_argnums=(2, 3, 4))(
        jax.random.key(1), state, toy.N, batch_size, toy.N
    )
    return state, data, read_batch(data, order[0], toy.N)


def differentiate(algorithm, state, batch):
    """(gradient, new state, metrics) of a batch, in full strength."""
    state = state._replace(step=jnp.int32(8))
    run = jax.jit(jax.grad(algorithm.objective, has_aux=True))
    gradient, (state, metrics) = run(state.params, state, batch, jax.random.key(0))
    return gradient, state, metrics


def test_an_epoch_with_ood_examples():
    """As many steps as without them, and half a batch of them in each."""
    plain, with_ood = (
        small(**options).phases[0].algorithm for options in ({"ood": OUTSIDE}, UNLEARN)
    )

    def draw(algorithm):
        state, _ = start(algorithm)
        order = jax.jit(algorithm.order, static_argnums=(2, 3, 4))
        return np.asarray(order(jax.random.key(1), state, toy.N, 16, toy.N))

    order = draw(with_ood)
    assert order.shape == (3, 8, 3)
    neither = ~(KNOWN | OUTSIDE)
    kinds = ((LABELED, KNOWN), (UNLABELED, neither), (OOD, OUTSIDE))
    for place, members in kinds:
        assert members[order[..., place]].all()
    assert draw(plain).shape == (3, 8, 2)
    assert not OUTSIDE[draw(plain)].any()


@pytest.mark.slow
def test_the_penalty_reaches_the_features_and_not_the_head():
    """Of a step without it, nothing else changes."""
    with_ood = small(**UNLEARN).phases[0].algorithm
    state, data, batch = first_batch(with_ood)
    gradient, _, metrics = differentiate(with_ood, state, batch)
    plain = small().phases[0].algorithm
    pair = {name: value[:, :2] for name, value in batch.items()}
    without, _, wanted = differentiate(plain, start(plain)[0], pair)
    for name, value in wanted.items():
        if name != "loss":
            np.testing.assert_allclose(metrics[name], value, rtol=1e-6)
    chex.assert_trees_all_close(gradient["head"], without["head"], atol=1e-7)
    x = data.inputs[batch["index"][:, OOD]]

    def term(params):
        features = MODEL.apply({"params": params}, x, method="features")
        return 0.5 * jnp.mean(features**2)

    value, slope = jax.jit(jax.value_and_grad(term))(state.params)
    np.testing.assert_allclose(metrics["penalty"], value, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], wanted["loss"] + value, rtol=1e-5)
    assert np.abs(slope["hidden0"]["kernel"]).max() > 1e-2
    chex.assert_trees_all_close(
        gradient["hidden0"],
        jax.tree.map(jnp.add, without["hidden0"], slope["hidden0"]),
        atol=1e-6,
    )


@pytest.mark.slow
def test_ood_examples_are_neither_mixed_nor_guessed():
    """Whatever they are, the mixed rows' losses and statistics do not notice."""
    penalty = {**UNLEARN, "penalty": transforms.oat(1.0)}
    algorithm = small(model=NormalizedFeatures(), **penalty).phases[0].algorithm
    state, _, batch = first_batch(algorithm)
    far = {**batch, "inputs": batch["inputs"].at[:, OOD].mul(7.0)}
    (_, _, near), (_, moved, far) = (
        differentiate(algorithm, state, each) for each in (batch, far)
    )
    for name in ("labeled_loss", "unlabeled_loss", "accuracy"):
        np.testing.assert_array_equal(far[name], near[name])
    assert far["penalty"] != near["penalty"]
    # A batch without any: the running statistics are those of the mixed rows.
    nobody = {**batch, "mask": batch["mask"].at[:, OOD].set(False)}
    _, without, metrics = differentiate(algorithm, state, nobody)
    assert metrics["penalty"] == 0
    plain = small(model=NormalizedFeatures()).phases[0].algorithm
    pair = {name: value[:, :2] for name, value in batch.items()}
    _, wanted, _ = differentiate(plain, start(plain)[0], pair)
    chex.assert_trees_all_close(without.model_state, wanted.model_state, atol=1e-6)
    # With them they move once more, as in training without mixing.
    norm = [each.model_state["batch_stats"]["norm"] for each in (moved, without)]
    assert np.abs(norm[0]["var"] - norm[1]["var"]).max() > 0.1


@pytest.mark.slow
def test_ood_padding_is_inert():
    """Ten OOD examples fill ten of twelve places."""
    algorithm = small(model=NormalizedFeatures(), **UNLEARN).phases[0].algorithm
    state, _, batch = first_batch(algorithm, 24)
    assert int(batch["mask"][:, OOD].sum()) == 10
    real = batch["mask"][:, :, None]
    junk = {**batch, "inputs": jnp.where(real, batch["inputs"], 50.0)}
    want, got = (differentiate(algorithm, state, each) for each in (batch, junk))
    chex.assert_trees_all_close(got[0], want[0], atol=1e-6)
    chex.assert_trees_all_close(got[1].model_state, want[1].model_state, atol=1e-6)
    chex.assert_trees_all_close(got[2], want[2], atol=1e-6)


@pytest.mark.slow
def test_prediction_is_by_the_average():
    """Two steps, each keeping three quarters of it."""
    algorithm = small(average_decay=0.75, **UNLEARN).phases[0].algorithm
    state, data, batch = first_batch(algorithm)
    step = jax.jit(lambda state: training.train_step(algorithm, state, batch)[0])
    states = [state, step(state)]
    states.append(step(states[1]))
    first, second, third = (each.params for each in states)
    want = jax.tree.map(
        lambda a, b, c: 0.5625 * a + 0.1875 * b + 0.25 * c, first, second, third
    )
    last = states[-1]
    chex.assert_trees_all_close(last.model_state["average"], want, atol=1e-6)
    got = jax.jit(algorithm.predict)(last.params, last.model_state, data.inputs)
    np.testing.assert_allclose(
        got, MODEL.apply({"params": want}, data.inputs), atol=1e-5
    )
    # The steps themselves are those without an average.
    plain = small(**UNLEARN).phases[0].algorithm
    beside, _ = jax.jit(lambda state: training.train_step(plain, state, batch))(
        start(plain)[0]
    )
    chex.assert_trees_all_close(second, beside.params, atol=1e-6)


@pytest.mark.slow
def test_examples_without_labels_help():
    """Four clouds of points, four labels in each."""
    rng = np.random.default_rng(7)
    centres = 0.9 * rng.normal(size=(4, 20))

    def draw(size):
        labels = rng.integers(0, 4, size)
        points = centres[labels] + rng.normal(size=(size, 20))
        return points.astype(np.float32), labels

    (x, y), (test_x, test_y) = draw(256), draw(512)
    known = np.zeros(256, bool)
    for label in range(4):
        known[np.flatnonzero(y == label)[:4]] = True

    def accuracy(recipe, inputs, labels):
        program = training.RecipeProgram(
            recipe,
            rj.ExampleSpec(len(labels), 4),
            batch_size=16,
            execution=recipe_problem.EXECUTION,
        )
        data = program.make_data(inputs, np.stack([labels] * 3))
        state = program.init(jax.random.split(jax.random.key(0), 3), data.inputs)
        state = training.fit(program, state, data, epochs=recipe.epochs)
        logits = program.predict(state, jnp.asarray(test_x))
        return np.mean(np.argmax(logits, axis=-1) == test_y[None])

    model, optimizer = MLP(4, (32,)), optax.adam(3e-3)
    plain = training.single_phase(
        training.supervised(model, rj.ce(), optimizer), epochs=100
    )
    few = accuracy(plain, x[known], y[known])
    recipe = mix_match(
        model,
        optimizer,
        epochs=20,
        labeled=known,
        lambda_u=10.0,
        ramp_up_steps=200,
        augment=lambda key, rows: rows + jax.random.normal(key, rows.shape),
    )
    many = accuracy(recipe, x, np.where(known, y, 0))
    assert many > few + 0.04
    assert many > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labeled": np.zeros(toy.N, bool)}, "labeled: got bool with 0 non-zero"),
        ({"labeled": np.ones(toy.N, int)}, "labeled: got int64"),
        ({"labeled": np.ones((2, 2), bool)}, "labeled: got shape"),
        ({"lambda_u": -1.0}, "lambda_u: got -1"),
        ({"temperature": 0.0}, "temperature: got 0"),
        ({"num_views": 0}, "num_views: got 0"),
        ({"alpha": 0.0}, "alpha: got 0"),
        ({"ramp_up_steps": -1}, "ramp_up_steps: got -1"),
        ({"ood": np.zeros(toy.N, bool)}, "ood: got bool with 0 non-zero"),
        ({"ood": np.ones(7, bool)}, "lengths differ"),
        ({"ood": KNOWN}, r"ood: 10 example\(s\) are labelled, too"),
        ({"penalty": transforms.taufe(0.1)}, "ood: got None, expected examples"),
        ({**UNLEARN, "penalty": rj.ce()}, "penalty: got ce, expected additive"),
        ({**UNLEARN, "model": recipe_problem.Normalized()}, "model: got Normalized"),
        ({"average_decay": 1.5}, "average_decay: got 1.5"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_batches_must_be_even():
    with pytest.raises(ValueError, match="batch_size: got 7, expected an even number"):
        first_batch(small(**UNLEARN).phases[0].algorithm, 7)


def test_labeled_must_fit_the_data():
    algorithm = small(labeled=np.ones(7, bool)).phases[0].algorithm
    with pytest.raises(ValueError, match="labeled: got 7 entries, expected one for"):
        start(algorithm)
