"""MixMatch: its pieces against NumPy, and learning from few labels."""

import functools
import importlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.data.mixup import Mixed
from robustjax.methods.mix_match import (
    LABELLED,
    UNLABELLED,
    Rows,
    augmented_views,
    masked_mean,
    mix_match,
    mix_match_losses,
    mix_rows,
    ramp_up,
    semi_supervised_order,
    sharpen,
)
from robustjax.models import MLP
from robustjax.training.epoch import read_batch
from tests.methods import recipe_problem
from tests.training import toy

# The function of this name hides the module from a plain import.
MODULE = importlib.import_module("robustjax.methods.mix_match")
KNOWN = np.arange(toy.N) % 5 == 0


def small(epochs=2, **options):
    return mix_match(
        MLP(toy.C, (8,)),
        optax.sgd(0.1),
        epochs=epochs,
        **{"labelled": KNOWN, "lambda_u": 5.0, "ramp_up_steps": 8, **options},
    )


def start(algorithm):
    """(state, data) of one repeat of the toy problem."""
    x, y = toy.arrays()
    data = training.TrainData(jnp.asarray(x), jnp.asarray(y[0], jnp.int32))
    spec = rj.ExampleSpec(toy.N, toy.C)
    return algorithm.init(jax.random.key(0), data.inputs[:1], spec), data


def softmax(z):
    p = np.exp(np.asarray(z, np.float64))
    return p / p.sum(-1, keepdims=True)


def numpy_sharpen(p, temperature):
    powers = np.asarray(p, np.float64) ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def test_sharpen(rng):
    p = rng.dirichlet(np.ones(4), (5, 2)).astype(np.float32)
    np.testing.assert_allclose(sharpen(p, 0.5), numpy_sharpen(p, 0.5), rtol=1e-5)
    np.testing.assert_allclose(sharpen(p, 1.0), p, rtol=1e-5)
    # The limit is the arg-max, although all powers underflow.
    np.testing.assert_allclose(sharpen(p, 1e-4), np.eye(4)[p.argmax(-1)], atol=1e-6)
    with pytest.raises(ValueError, match="temperature: got 0"):
        sharpen(p, 0)


def test_ramp_up():
    got = [float(ramp_up(t, 16)) for t in (-3, 0, 4, 16, 40)]
    np.testing.assert_allclose(got, [0, 0, 0.25, 1, 1])
    assert ramp_up(0, 0) == 1


def test_masked_mean(rng):
    values = rng.normal(size=(6, 3)).astype(np.float32)
    mask = np.array([True, False, True, True, False, True])
    want = values[mask].mean(0)
    np.testing.assert_allclose(masked_mean(values, mask), want, rtol=1e-5)
    np.testing.assert_array_equal(masked_mean(values, np.zeros(6, bool)), np.zeros(3))
    # Rows divided among devices: every one has the mean over all.
    parts = jax.vmap(lambda v, m: masked_mean(v, m, "i"), axis_name="i")(
        values.reshape(2, 3, 3), mask.reshape(2, 3)
    )
    np.testing.assert_allclose(parts, np.stack([want, want]), rtol=1e-5)


def test_views_are_changes_of_their_examples():
    inputs = jnp.arange(24, dtype=jnp.uint8).reshape(3, 2, 4)

    def augment(key, rows):
        assert rows.shape == (5 * 6, 4)
        return 10 * rows + jax.random.uniform(key, (30, 1))

    views = augmented_views(
        jax.random.key(0),
        inputs,
        5,
        augment=augment,
        preprocess=lambda rows: rows[:, :3] + 100,
        lead=2,
    )
    assert views.shape == (5, 3, 2, 3)
    changes = views - (10 * inputs[..., :3] + 100.0)[None]
    np.testing.assert_allclose(changes, np.repeat(changes[..., :1], 3, -1), atol=1e-3)
    assert np.unique(np.round(changes[..., 0], 4)).size > 25
    assert 0 <= changes.min() < changes.max() <= 1


@pytest.mark.parametrize("per_example", [False, True])
def test_losses_of_mixed_rows_equal_numpy(rng, per_example):
    """Rows that are unit vectors, so that the mixed inputs show who met whom."""
    first, last, c = 5, 7, 3
    size = first + last
    targets = rng.dirichlet(np.ones(c), size).astype(np.float32)
    mask = np.ones(size, bool)
    mask[[1, 9]] = False
    inputs = np.eye(size, dtype=np.float32)
    parts = [
        Rows(inputs[part], targets[part], mask[part])
        for part in (slice(None, first), slice(first, None))
    ]
    mix = functools.partial(mix_rows, alpha=4.0, per_example=per_example)
    mixed = jax.jit(mix)(jax.random.key(2), *parts)
    shares = np.asarray(mixed.inputs)
    own, real = np.diag(shares), np.flatnonzero(mask)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    assert (own >= 0.5).all()
    assert not shares[np.ix_(mask, ~mask)].any()
    # Both kinds meet each other, in a permutation of the real rows.
    others = (shares - np.diag(own))[np.ix_(real, real)] > 0
    assert others.sum(0).max() == 1
    assert others[:4, 4:].any()
    assert others[4:, :4].any()
    once = np.unique(np.round(own[own < 1], 5)).size == 1
    assert once != per_example
    wanted = shares @ targets
    np.testing.assert_allclose(mixed.targets, wanted, rtol=1e-5)
    logits = rng.normal(size=(size, c)).astype(np.float32)
    p = softmax(logits)
    entropies = -(wanted * np.log(p)).sum(1)[:first][mask[:first]]
    squares = ((p - wanted) ** 2)[first:][mask[first:]]
    got = mix_match_losses(logits, mixed, first)
    np.testing.assert_allclose(got[0], entropies.mean(), rtol=1e-5)
    # Divided by rows and by classes.
    np.testing.assert_allclose(got[1], squares.sum() / (6 * c), rtol=1e-5)


def test_order_halves_batches_and_visits_evenly():
    known = np.arange(23) % 3 == 0
    draw = jax.jit(lambda key: semi_supervised_order(key, jnp.asarray(known), 6, 99))
    order = np.asarray(draw(jax.random.key(1)))
    assert order.shape == (4, 3, 2)
    for kind, members in ((LABELLED, known), (UNLABELLED, ~known)):
        drawn = order[..., kind]
        assert all(np.unique(batch).size == 3 for batch in drawn)
        visits = np.bincount(drawn.ravel(), minlength=23)
        assert not visits[~members].any()
        assert np.ptp(visits[members]) <= 1
    assert not np.array_equal(order, draw(jax.random.key(2)))


def test_order_of_a_kind_with_few_examples():
    known = np.zeros(20, bool)
    known[[4, 7]] = True
    draw = jax.jit(lambda k: semi_supervised_order(jax.random.key(0), k, 8, 20))
    rows = np.sort(draw(known)[..., LABELLED], axis=1)
    np.testing.assert_array_equal(rows, np.tile([4, 7, 20, 20], (3, 1)))
    nobody = draw(np.zeros(20, bool))
    assert (nobody[..., LABELLED] == 20).all()
    assert (nobody[..., UNLABELLED] < 20).all()
    everybody = draw(np.ones(20, bool))
    assert (everybody[..., LABELLED] < 20).all()
    assert (everybody[..., UNLABELLED] == 20).all()
    with pytest.raises(ValueError, match="batch_size: got 7, expected an even number"):
        semi_supervised_order(jax.random.key(0), known, 7, 20)


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

    monkeypatch.setattr(MODULE, "mixup", fixed_mixup)

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
        return jax.nn.softmax(MLP(toy.C, (8,)).apply({"params": params}, inputs))

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
    np.testing.assert_allclose(metrics["labelled_loss"], supervised, rtol=1e-4)
    np.testing.assert_allclose(metrics["unlabelled_loss"], guessed, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-4)
    right = p[:8].argmax(1) == y[index[:, 0]]
    np.testing.assert_allclose(metrics["accuracy"], right.mean())
    chex.assert_trees_all_close(gradient, want, rtol=1e-3, atol=1e-5)


def test_what_is_not_known_is_not_looked_at():
    """Neither the labels of unlabelled examples nor padding make a difference."""
    algorithm = small().phases[0].algorithm
    state, data = start(algorithm)
    order = jax.jit(algorithm.order, static_argnums=(2, 3, 4))(
        jax.random.key(1), state, toy.N, 24, toy.N
    )
    # Ten examples are labelled, so that two of a batch's twelve are padding.
    batch = read_batch(data, order[0], toy.N)
    labelled, unlabelled = (batch["mask"][:, kind] for kind in (0, 1))
    assert int(labelled.sum()) == 10
    assert bool(unlabelled.all())
    junk = dict(batch)
    junk["label"] = jnp.where(
        labelled[:, None] & jnp.array([[True, False]]), batch["label"], 0
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


def test_repeats_equal_single_runs():
    recipe_problem.assert_repeats_equal_single_runs(small())


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
        labelled=known,
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
        ({"labelled": np.zeros(toy.N, bool)}, "labelled: got bool with 0 non-zero"),
        ({"labelled": np.ones(toy.N, int)}, "labelled: got int64"),
        ({"labelled": np.ones((2, 2), bool)}, "labelled: got shape"),
        ({"lambda_u": -1.0}, "lambda_u: got -1"),
        ({"temperature": 0.0}, "temperature: got 0"),
        ({"num_views": 0}, "num_views: got 0"),
        ({"alpha": 0.0}, "alpha: got 0"),
        ({"ramp_up_steps": -1}, "ramp_up_steps: got -1"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_labelled_must_fit_the_data():
    algorithm = small(labelled=np.ones(7, bool)).phases[0].algorithm
    with pytest.raises(ValueError, match="labelled: got 7 entries, expected one for"):
        start(algorithm)
