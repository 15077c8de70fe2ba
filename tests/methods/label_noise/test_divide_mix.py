"""DivideMix: each network on its peer's division, by the letter and on digits."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.mixture import GaussianMixture

import robustjax as rj
from robustjax import training
from robustjax.data import Mixed
from robustjax.methods import _semi_supervised as semi_supervised
from robustjax.methods._semi_supervised import co_refine, uniform_prior_penalty
from robustjax.methods.label_noise import divide_mix
from robustjax.methods.label_noise._co_divide import clean_probabilities
from robustjax.models import MLP
from robustjax.training._epoch import read_batch
from tests.methods import recipe_problem
from tests.methods.recipe_problem import Normalized
from tests.training import toy

MODEL = MLP(toy.C, (8,))


def small(model=MODEL, epochs=2, warmup_epochs=1, **options):
    return divide_mix(
        model, optax.sgd(0.1), epochs=epochs, warmup_epochs=warmup_epochs, **options
    )


def start(algorithm, clean=None, pad_to=1):
    """(state, data) of one repeat of the toy problem, with a division."""
    x, y = toy.arrays()
    spec = rj.ExampleSpec(toy.N, toy.C, pad_to=pad_to)
    padding = (0, spec.padded_examples - toy.N)
    data = training.TrainData(
        jnp.pad(x, [padding, (0, 0)]), jnp.pad(y[0], padding).astype(jnp.int32)
    )
    state = toy.first_state(algorithm, data.inputs[:1], spec)
    if clean is not None:
        rows = {**state.loss_state.rows, "clean_probability": jnp.asarray(clean)}
        state = state._replace(loss_state=state.loss_state._replace(rows=rows))
    return state, data


def draw(algorithm, state):
    """An epoch's order."""
    key = jax.random.key(1)
    return jax.jit(lambda state: algorithm.order(key, state, toy.N, 16, toy.N))(state)


def first_batch(algorithm, state, data):
    return read_batch(data, draw(algorithm, state)[0], toy.N)


def softmax(z):
    p = np.exp(np.asarray(z, np.float64))
    return p / p.sum(-1, keepdims=True)


def numpy_sharpen(p, temperature=0.5):
    powers = np.asarray(p, np.float64) ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def test_co_refine(rng):
    labels, guesses = np.eye(4)[[2, 0, 1]], rng.dirichlet(np.ones(4), 3)
    trust = np.array([0.2, 0.9, 0.6])
    got = co_refine(labels, guesses, trust, 0.5)
    want = numpy_sharpen(trust[:, None] * labels + (1 - trust)[:, None] * guesses)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(co_refine(labels, guesses, np.ones(3), 0.5), labels)


@pytest.mark.slow
def test_uniform_prior_penalty(rng):
    logits = rng.normal(size=(6, 3)).astype(np.float32)
    mask = np.array([True, True, False, True, True, False])
    mean = softmax(logits)[mask].mean(0)
    want = np.sum(np.log(1 / 3 / mean) / 3)
    np.testing.assert_allclose(uniform_prior_penalty(logits, mask), want, rtol=1e-4)
    assert want > 0
    balanced = 5 * np.eye(3, dtype=np.float32)
    value = uniform_prior_penalty(balanced, np.ones(3, bool))
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert uniform_prior_penalty(logits, np.zeros(6, bool)) == 0
    # A class that got lost for good leaves everything finite.
    lost = np.full((2, 3), [0.0, 0.0, -400.0], np.float32)
    value, slope = jax.value_and_grad(uniform_prior_penalty)(lost, np.ones(2, bool))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_clean_probabilities_equal_scikit_learn(rng):
    """The component of the smaller mean, for each network by itself."""
    low, high = rng.normal(0.15, 0.05, (2, 60)), rng.normal(0.7, 0.1, (2, 40))
    levels = np.clip(np.concatenate([low, high], axis=1), 0, 1)
    levels[1] = levels[1][::-1]
    got = clean_probabilities(
        np.pad(levels.T, ((0, 3), (0, 0)), constant_values=0.4).astype(np.float32),
        np.arange(103) < 100,
    )
    np.testing.assert_array_equal(got[100:], 0)
    for own, values in enumerate(levels):
        mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, n_init=1)
        mixture.set_params(random_state=0).fit(values[:, None])
        lower = mixture.means_.argmin()
        want = mixture.predict_proba(values[:, None])[:, lower]
        np.testing.assert_allclose(got[:100, own], want, atol=1e-3)
        assert want[values < 0.2].min() > 0.9


def test_each_network_gets_its_peers_division():
    recipe = small()
    clean = np.stack([np.arange(toy.N) % 2, np.arange(toy.N) % 5], axis=1) / 5.0
    algorithm = small(threshold=0.1).phases[-1].algorithm
    state, _ = start(algorithm, clean.astype(np.float32))
    order = np.asarray(draw(algorithm, state))
    # As many steps as the warm-up has, half a batch of either kind.
    assert order.shape == (4, 8, 2, 2)
    warm = draw(recipe.phases[0].algorithm, state)
    assert warm.shape == (4, 16, 2)
    assert not np.array_equal(warm[..., 0], warm[..., 1])
    for own in range(2):
        labeled = clean[:, 1 - own] > 0.1
        assert labeled[order[:, :, own, 0]].all()
        assert not labeled[order[:, :, own, 1]].any()


@pytest.mark.slow
def test_a_step_equals_its_definition(monkeypatch):
    """Targets, mixing, losses, their weights and gradient, of both networks."""

    def fixed_mixup(key, inputs, targets, *, alpha, keep_dominant, per_example, mask):
        assert (alpha, keep_dominant, per_example) == (4.0, True, False)
        other = jnp.roll(jnp.arange(len(inputs)), 3)
        return Mixed(
            0.8 * inputs + 0.2 * inputs[other],
            0.8 * targets + 0.2 * targets[other],
            jnp.float32(0.8),
            other,
        )

    monkeypatch.setattr(semi_supervised, "mixup", fixed_mixup)

    def augment(key, rows):
        # The second half are the second views.
        return rows * (1 + (jnp.arange(len(rows)) >= len(rows) // 2))[:, None]

    algorithm = (
        small(lambda_u=30.0, ramp_up_epochs=2.5, prior_weight=0.7, augment=augment)
        .phases[-1]
        .algorithm
    )
    clean = np.random.default_rng(3).uniform(size=(toy.N, 2)).astype(np.float32)
    state, data = start(algorithm, clean)
    # Four steps of warm-up and one and a half epochs later.
    state = state._replace(step=jnp.int32(10), epoch=jnp.int32(2))
    batch = first_batch(algorithm, state, data)
    gradient, (_, metrics) = jax.jit(jax.grad(algorithm.objective, has_aux=True))(
        state.params, state, batch, jax.random.key(0)
    )
    x, y = np.asarray(data.inputs), np.asarray(data.labels)

    def forward(params, own, inputs):
        part = jax.tree.map(lambda leaf: leaf[own], params)
        return jax.nn.softmax(MODEL.apply({"params": part}, inputs))

    def guess(own, index):
        views = [np.asarray(forward(state.params, own, k * x[index])) for k in (1, 2)]
        return (views[0] + views[1]) / 2

    prepared, rights = [], []
    for own in range(2):
        known, unknown = np.asarray(batch["index"])[:, own].T
        trust = clean[known, 1 - own][:, None]
        assert (trust > 0.5).all()
        refined = trust * np.eye(toy.C)[y[known]] + (1 - trust) * guess(own, known)
        guessed = (guess(own, unknown) + guess(1 - own, unknown)) / 2
        inputs = np.concatenate([x[known], 2 * x[known], x[unknown], 2 * x[unknown]])
        targets = numpy_sharpen(np.concatenate([refined] * 2 + [guessed] * 2))
        prepared.append(
            [
                (0.8 * array + 0.2 * np.roll(array, 3, 0)).astype(np.float32)
                for array in (inputs, targets)
            ]
        )
        for index in (known, unknown):
            rights.append(np.mean(guess(own, index).argmax(1) == y[index]))

    @jax.jit
    def reference(params):
        # Targets are constants to it.
        values = []
        for own, (inputs, targets) in enumerate(prepared):
            p = forward(params, own, inputs)
            supervised = -jnp.sum(targets * jnp.log(p), axis=1)[:16].mean()
            squares = jnp.sum((p - targets)[16:] ** 2) / (16 * toy.C)
            prior = jnp.sum(jnp.log(1 / toy.C / p.mean(0)) / toy.C)
            values.append(supervised + 30 * 1.5 / 2.5 * squares + 0.7 * prior)
        return values[0] + values[1]

    total, want = jax.value_and_grad(reference)(state.params)
    np.testing.assert_allclose(metrics["loss"], total / 2, rtol=1e-4)
    np.testing.assert_allclose(metrics["accuracy"], np.mean(rights), rtol=1e-5)
    chex.assert_trees_all_close(gradient, want, rtol=1e-3, atol=1e-4)


def test_the_warm_up_equals_its_definition():
    """Cross-entropy minus the entropy, of another batch for each network."""
    algorithm = small(confidence_penalty=0.6).phases[0].algorithm
    state, data = start(algorithm)
    index = np.stack([np.arange(12), np.arange(20, 32)], axis=1)
    index[-3:, 1] = toy.N
    batch = dict(read_batch(data, jnp.asarray(index), toy.N))
    batch["inputs"] = jnp.where(batch["mask"][..., None], batch["inputs"], 50.0)
    loss, (_, metrics) = jax.jit(algorithm.objective)(
        state.params, state, batch, jax.random.key(0)
    )
    wants, rights = [], []
    for own, count in ((0, 12), (1, 9)):
        rows = index[:count, own]
        part = jax.tree.map(lambda leaf: leaf[own], state.params)
        p = softmax(MODEL.apply({"params": part}, data.inputs[rows]))
        y = np.asarray(data.labels)[rows]
        entropy = -(p * np.log(p)).sum(1)
        wants.append(np.mean(-np.log(p[np.arange(count), y]) - 0.6 * entropy))
        rights.append(p.argmax(1) == y)
    np.testing.assert_allclose(loss, sum(wants), rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], np.mean(wants), rtol=1e-5)
    right = np.concatenate(rights).mean()
    np.testing.assert_allclose(metrics["accuracy"], right, rtol=1e-6)
    assert metrics["labeled_share"] == 1


@pytest.mark.slow
def test_division_by_the_mean_of_the_last_epochs(rng):
    """Rows that pad the state have losses beyond all others, and do not count."""
    algorithm = small(average_epochs=2).phases[0].algorithm
    state, data = start(algorithm, pad_to=8)
    size, labels = len(data.labels), np.asarray(data.labels)[: toy.N]
    assert size == 56
    assert algorithm.evaluate(state.params, {}, data.inputs).shape == (size, 2, toy.C)
    levels, divide = [], jax.jit(algorithm.epoch)
    for _ in range(3):
        logits = 2 * rng.normal(size=(size, 2, toy.C)).astype(np.float32)
        logits[toy.N :] *= 100
        state = divide(state, data, logits)
        p = softmax(logits[: toy.N])
        loss = -np.log(p[np.arange(toy.N)[:, None], [[0, 1]], labels[:, None]])
        levels.append((loss - loss.min(0)) / (loss.max(0) - loss.min(0)))
        mean = np.mean(levels[-2:], axis=0).astype(np.float32)
        want = clean_probabilities(mean, np.ones(toy.N, bool))
        rows, shared = state.loss_state
        clean = np.asarray(rows["clean_probability"])
        np.testing.assert_allclose(clean[: toy.N], want, atol=1e-3)
        assert not clean[toy.N :].any()
        share = np.mean(clean[: toy.N] > 0.5)
        np.testing.assert_allclose(shared["labeled_share"], share, rtol=1e-6)
        assert 0.1 < share < 0.99
    assert rows["history"].shape == (size, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_division_with_one_kind_only(level):
    """No NaN, and what stands in for the missing examples makes no difference."""
    algorithm = small(Normalized(), ramp_up_epochs=0).phases[-1].algorithm
    state, data = start(algorithm, np.full((toy.N, 2), level, np.float32))
    batch = first_batch(algorithm, state, data)
    missing = np.asarray(~batch["mask"])
    assert missing[..., int(level)].all()
    assert not missing[..., 1 - int(level)].any()
    junk = {
        **batch,
        "inputs": jnp.where(missing[..., None], 50.0, batch["inputs"]),
        "label": jnp.where(missing, 0, batch["label"]),
    }
    gradient = jax.jit(jax.grad(algorithm.objective, has_aux=True))
    want, got = (
        gradient(state.params, state, each, jax.random.key(0)) for each in (batch, junk)
    )
    assert np.isfinite(want[1][1]["loss"])
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(want[0]))
    assert 1e-3 < largest < 1e3
    chex.assert_trees_all_close(got[0], want[0], atol=1e-5)
    chex.assert_trees_all_close(got[1][1], want[1][1], atol=1e-6)
    stats = got[1][0].model_state["batch_stats"]
    chex.assert_trees_all_close(stats, want[1][0].model_state["batch_stats"], atol=1e-5)
    # Running statistics follow the mixed rows of each network.
    old = state.model_state["batch_stats"]["BatchNorm_0"]["mean"]
    moved = np.abs(stats["BatchNorm_0"]["mean"] - old).max(1)
    assert (moved > 1e-2).all()


def test_phases():
    """Only what needs the losses of all examples evaluates them."""

    def shape(recipe):
        return [(p.epochs, p.algorithm.evaluate is not None) for p in recipe.phases]

    assert shape(small(epochs=9, warmup_epochs=3)) == [(2, False), (1, True), (6, True)]
    assert shape(small(epochs=4, warmup_epochs=1)) == [(1, True), (3, True)]
    assert shape(small(epochs=4, warmup_epochs=0)) == [(4, True)]


@pytest.mark.slow
def test_without_warm_up():
    """As on a chosen subset: all labels are right at first, then some are."""
    recipe = small(warmup_epochs=0, ramp_up_epochs=0, lambda_u=1.0)
    state, history = recipe_problem.run_toy(recipe)
    np.testing.assert_array_equal(history[0]["labeled_share"], 1)
    assert (history[1]["labeled_share"] < 1).all()
    kernels = state.params["head"]["kernel"]
    assert np.abs(kernels[:, 0] - kernels[:, 1]).max() > 0.1
    # Prediction is by both.
    x, _ = toy.arrays()
    logits = [
        MODEL.apply({"params": jax.tree.map(lambda leaf: leaf[1, i], state.params)}, x)
        for i in range(2)
    ]
    got = recipe_problem.toy_program(recipe).predict(state, jnp.asarray(x))
    np.testing.assert_allclose(got[1], (logits[0] + logits[1]) / 2, atol=1e-5)


@pytest.mark.slow
def test_digits_with_wrong_labels():
    """Better than cross-entropy, and the division finds the wrong labels."""
    recipe = divide_mix(
        recipe_problem.DIGITS_MODEL,
        optax.adam(3e-3),
        epochs=40,
        warmup_epochs=2,
        lambda_u=0.0,
    )
    _, state, accuracy = recipe_problem.train_on_digits(recipe)
    assert accuracy > recipe_problem.plain_accuracy(epochs=40) + 0.05
    train, _, given = recipe_problem.noisy_digits()
    clean = np.asarray(state.loss_state.rows["clean_probability"]) > 0.5
    found = clean == (given == train.labels)[None, :, None]
    assert found.mean() > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup_epochs": 2}, "warmup_epochs: got 2"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"lambda_u": -1.0}, "lambda_u: got -1"),
        ({"threshold": 1.0}, "threshold: got 1"),
        ({"alpha": 0.0}, "alpha: got 0"),
        ({"ramp_up_epochs": -1}, "ramp_up_epochs: got -1"),
        ({"prior_weight": -1}, "prior_weight: got -1"),
        ({"confidence_penalty": -1}, "confidence_penalty: got -1"),
        ({"average_epochs": 0}, "average_epochs: got 0"),
        (
            {"warmup_epochs": 0, "confidence_penalty": 1.0},
            "confidence_penalty: got 1.0 without a warm-up, expected its default, 0",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
