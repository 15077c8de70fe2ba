"""ELR+: peers' averages, mixed memories, two networks in one program."""

import importlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.data import Mixed
from robustjax.methods.label_noise import elr_plus, robust_loss
from robustjax.methods.label_noise._elr_plus import (
    average_decay_at,
    elr_plus_values,
    remembered_probabilities,
    sigmoid_ramp,
    weighted_labels,
)
from robustjax.models import MLP
from robustjax.transforms._elr import update_targets
from tests.methods import recipe_problem
from tests.methods.recipe_problem import Normalized
from tests.training import toy


def softmax(z):
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def small(model=None, epochs=2, **options):
    return elr_plus(
        model or Normalized(),
        optax.sgd(0.1, momentum=0.9),
        epochs=epochs,
        **{"average_ramp_steps": 4, **options},
    )


def start(algorithm):
    """A state of the toy problem whose averages and memories are filled."""
    x, _ = toy.arrays()
    spec = rj.ExampleSpec(toy.N, toy.C)
    init = jax.jit(algorithm.init, static_argnums=2)
    state = init(jax.random.key(0), jnp.asarray(x[:1]), spec)
    rng = np.random.default_rng(1)
    average = jax.tree.map(
        lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape).astype(np.float32),
        state.model_state["average"],
    )
    rows = jax.tree.map(
        lambda leaf: jnp.asarray(rng.dirichlet(np.ones(toy.C), toy.N), jnp.float32),
        state.loss_state.rows,
    )
    return state._replace(
        model_state={**state.model_state, "average": average},
        loss_state=state.loss_state._replace(rows=rows),
    )


def pairs(count=12):
    """A batch of the toy problem with other examples for each network, (count, 2)."""
    x, y = toy.arrays()
    index = np.stack([np.arange(count), 20 + np.arange(count)], axis=1)
    return {
        "index": jnp.asarray(index),
        "mask": jnp.ones(index.shape, bool),
        "label": jnp.asarray(y[0, index], jnp.int32),
        "inputs": jnp.asarray(x[index]),
    }


def test_ramps():
    assert sigmoid_ramp(0, 0) == 1
    got = [float(sigmoid_ramp(step, 4)) for step in (0, 1, 4, 9)]
    np.testing.assert_allclose(got, np.exp([-5, -5 * 0.75**2, 0, 0]), rtol=1e-6)
    got = [float(average_decay_at(step, 0.9, 4)) for step in (1, 3, 8)]
    np.testing.assert_allclose(got, [0.9 * np.exp(-5 / 4), 0.9, 0.9], rtol=1e-6)
    # Without a ramp: the plain mean of what was seen, the start included, at first.
    got = [float(average_decay_at(step, 0.7, 0)) for step in (1, 2, 3, 4)]
    np.testing.assert_allclose(got, [1 / 2, 2 / 3, 0.7, 0.7], rtol=1e-6)


@pytest.mark.parametrize("weight_labels", [False, True])
def test_values_equal_numpy(rng, weight_labels):
    logits = rng.normal(size=(5, 3)).astype(np.float32)
    labels = rng.dirichlet(np.ones(3), 5).astype(np.float32)
    q = 0.9 * rng.dirichlet(np.ones(3), 5).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = labels * q if weight_labels else labels
    target = target / target.sum(1, keepdims=True)
    want = -(target * np.log(p)).sum(1) + 2 * np.log(1 - (q * p).sum(1))
    got = elr_plus_values(logits, labels, q, 2.0, weight_labels=weight_labels)
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_a_hundred_classes_equal_numpy(rng):
    """Tiny probabilities enter the memory as they are; the penalty alone clips."""
    classes, decay = 100, 0.9
    seen = 4 * rng.normal(size=(6, classes))
    old = rng.dirichlet(np.full(classes, 0.1), 6)
    logits, lam = 3 * rng.normal(size=(6, classes)), 0.6
    other = np.roll(np.arange(6), 1)
    labels = np.eye(classes)[rng.integers(0, classes, 6)]
    labels = lam * labels + (1 - lam) * labels[other]

    t = decay * old + (1 - decay) * softmax(seen)
    q = lam * t + (1 - lam) * t[other]
    weighted = labels * q / (labels * q).sum(1, keepdims=True)
    p = softmax(logits)
    penalty = np.log(1 - (q * np.clip(p, 1e-4, 1 - 1e-4)).sum(1))
    want = -(weighted * np.log(p)).sum(1) + 7 * penalty

    def values(old, seen, labels, logits):
        target = update_targets(old, remembered_probabilities(seen), decay)
        mixed = lam * target + (1 - lam) * target[other]
        return elr_plus_values(logits, labels, mixed, 7.0, weight_labels=True)

    arrays = (jnp.asarray(a, jnp.float32) for a in (old, seen, labels, logits))
    np.testing.assert_allclose(jax.jit(values)(*arrays), want, rtol=1e-5, atol=1e-5)
    # What a memory of clipped probabilities would make of it is something else.
    clipped = np.clip(softmax(seen), 1e-4, 1 - 1e-4)
    assert np.abs(clipped / clipped.sum(1, keepdims=True) - softmax(seen)).max() > 1e-4


def test_tiny_targets_weigh_the_classes_of_a_mixed_label():
    """The peer holds both classes improbable, one a thousand times more than the other.

    0.6 * 1e-9 and 0.4 * 1e-6, normalised; with targets clipped to 1e-4 it would be the
    mixed label itself.
    """
    peer = np.full(100, (1 - 1e-9 - 1e-6) / 98)
    peer[:2] = 1e-9, 1e-6
    logits = jnp.asarray(np.log(np.stack([peer, peer])), jnp.float32)
    target = update_targets(jnp.zeros((2, 100)), remembered_probabilities(logits), 0.9)
    label = (
        0.6 * jnp.eye(100)[jnp.array([0, 0])] + 0.4 * jnp.eye(100)[jnp.array([1, 1])]
    )
    got = weighted_labels(label, 0.6 * target + 0.4 * target[::-1])
    want = np.array([0.6e-9, 0.4e-6]) / (0.6e-9 + 0.4e-6)
    np.testing.assert_allclose(want, [0.0015, 0.9985], atol=1e-5)
    np.testing.assert_allclose(got[:, :2], [want, want], rtol=1e-4)
    np.testing.assert_array_equal(got[:, 2:], 0)


def test_labels_that_were_never_predicted_count_as_they_are():
    label = jnp.array([[0.7, 0.3, 0.0]])
    got = weighted_labels(label, jnp.array([[0.0, 0.0, 0.1]]))
    np.testing.assert_allclose(got, label, rtol=1e-6)
    # Even where a probability is below what float32 holds.
    logits = jnp.array([[0.0, -200.0, -300.0]])
    target = update_targets(jnp.zeros((1, 3)), remembered_probabilities(logits), 0.9)
    values = elr_plus_values(jnp.zeros((1, 3)), label, target, 3.0, weight_labels=True)
    assert np.isfinite(values).all()


@pytest.mark.slow
def test_a_step_equals_numpy(monkeypatch):
    """Memories from the peers' averages, labels and memories mixed alike."""
    lam = 0.7

    def fixed_mixup(key, inputs, targets, *, alpha, keep_dominant, mask):
        assert alpha == 1.5
        assert keep_dominant
        assert mask.shape == targets.shape[:1]
        other = jnp.roll(jnp.arange(targets.shape[0]), 1)
        return Mixed(
            lam * inputs + (1 - lam) * inputs[other],
            lam * targets + (1 - lam) * targets[other],
            jnp.float32(lam),
            other,
        )

    # The package's attribute of that name is the function.
    module = importlib.import_module("robustjax.methods.label_noise._elr_plus")
    monkeypatch.setattr(module, "mixup", fixed_mixup)
    algorithm = (
        small(strength=2.0, decay=0.6, ramp_steps=10, mixup_alpha=1.5)
        .phases[0]
        .algorithm
    )
    state = start(algorithm)._replace(step=jnp.int32(3))
    batch = pairs()
    loss, (new, metrics) = jax.jit(algorithm.objective)(
        state.params, state, batch, jax.random.key(0)
    )
    total, rights = 0.0, []
    for a in range(2):
        part = lambda tree, i: jax.tree.map(lambda leaf: leaf[i], tree)  # noqa: E731

        def forward(params, collections, inputs):
            logits, changed = Normalized().apply(
                {"params": params, **collections},
                inputs,
                train=True,
                mutable=["batch_stats"],
            )
            return np.asarray(jax.nn.softmax(logits), np.float64), changed

        x, labels = np.asarray(batch["inputs"][:, a]), np.asarray(batch["label"][:, a])
        networks = state.model_state["networks"]
        peer = part(state.model_state["average"], 1 - a)
        seen, _ = forward(peer, part(networks, 1 - a), x)
        index = np.asarray(batch["index"][:, a])
        old = np.asarray(state.loss_state.rows[a]["target"])[index]
        t = 0.6 * old + 0.4 * seen
        want_rows = np.array(state.loss_state.rows[a]["target"])
        want_rows[index] = t
        np.testing.assert_allclose(
            new.loss_state.rows[a]["target"], want_rows, atol=1e-5
        )
        mixed_x = lam * x + (1 - lam) * np.roll(x, 1, axis=0)
        y = np.eye(toy.C)[labels]
        y = lam * y + (1 - lam) * np.roll(y, 1, axis=0)
        q = lam * t + (1 - lam) * np.roll(t, 1, axis=0)
        p, changed = forward(part(state.params, a), part(networks, a), mixed_x)
        # Running statistics are those of the network's own pass.
        chex.assert_trees_all_close(
            part(new.model_state["networks"], a), changed, atol=1e-5
        )
        strength = 2.0 * np.exp(-5 * (1 - 4 / 10) ** 2)
        values = -(y * np.log(p)).sum(1) + strength * np.log(1 - (q * p).sum(1))
        total += values.mean()
        rights.append(np.mean(p.argmax(1) == labels))
    np.testing.assert_allclose(loss, total, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], total / 2, rtol=1e-4)
    np.testing.assert_allclose(metrics["accuracy"], np.mean(rights), rtol=1e-6)


def test_averages_follow_the_parameters_and_nothing_else():
    algorithm = small(average_decay=0.8).phases[0].algorithm
    state = start(algorithm)._replace(step=jnp.int32(2))
    new = algorithm.after_step(state)
    keep = 0.8 * np.exp(-5 * (1 - 3 / 4) ** 2)
    chex.assert_trees_all_close(
        new.model_state["average"],
        jax.tree.map(
            lambda old, now: keep * old + (1 - keep) * now,
            state.model_state["average"],
            state.params,
        ),
        rtol=1e-5,
    )
    same = new._replace(model_state=state.model_state)
    chex.assert_trees_all_equal(toy.without_keys(same), toy.without_keys(state))


@pytest.mark.slow
def test_a_run():
    """A decay of 0 keeps copies; every example is visited; both networks predict."""
    recipe = small(MLP(toy.C, (8,)), average_decay=0.0)
    state, history = recipe_problem.run_toy(recipe)
    chex.assert_trees_all_close(state.model_state["average"], state.params)
    kernel = state.params["head"]["kernel"]
    assert np.abs(kernel[:, 0] - kernel[:, 1]).max() > 0.1
    assert set(history[0]) == {"loss", "accuracy"}
    # A row sums to 1 - decay^visits.
    for rows in state.loss_state.rows:
        sums = np.asarray(rows["target"]).sum(-1)
        np.testing.assert_allclose(sums, 1 - 0.7**2, rtol=1e-4)
    x, _ = toy.arrays()
    got = recipe_problem.toy_program(recipe).predict(state, jnp.asarray(x))
    parts = [
        MLP(toy.C, (8,)).apply(
            {"params": jax.tree.map(lambda leaf, i=i: leaf[1, i], state.params)}, x
        )
        for i in range(2)
    ]
    np.testing.assert_allclose(got[1], (parts[0] + parts[1]) / 2, atol=1e-5)


def test_networks_have_their_own_order():
    algorithm = small().phases[0].algorithm
    order = np.asarray(algorithm.order(jax.random.key(0), None, 10, 4, 10))
    assert order.shape == (3, 4, 2)
    for number in range(2):
        visited = order[..., number].ravel()
        np.testing.assert_array_equal(np.sort(visited[:10]), np.arange(10))
        np.testing.assert_array_equal(visited[10:], 10)
    assert (order[..., 0] != order[..., 1]).any()


@pytest.mark.slow
def test_padding_is_inert():
    algorithm = small(weight_labels=True).phases[0].algorithm

    def both(params, state, batch, key):
        """Each network gets the given batch."""
        twice = {k: jnp.stack([v, v], axis=1) for k, v in batch.items()}
        return algorithm.objective(params, state, twice, key)

    recipe_problem.assert_padding_is_inert(
        algorithm._replace(objective=both), start(algorithm)
    )


@pytest.mark.slow
def test_trains_over_a_mesh(mesh):
    """Data divided over eight devices, where rows and batches are padded."""
    recipe = small(MLP(toy.C, (8,)), epochs=1)
    x, y = toy.arrays()

    def run(**options):
        pad_to = 8 if options else 1
        program = training.RecipeProgram(
            recipe,
            rj.ExampleSpec(toy.N, toy.C, pad_to=pad_to),
            batch_size=16,
            execution=recipe_problem.EXECUTION,
            **options,
        )
        held = program.make_data(x, y[:1])
        state = program.init(jax.random.key(0)[None], held.inputs)
        return program.at(0).epoch(state, held)[0]

    divided, whole = run(mesh=mesh), run()
    chex.assert_trees_all_close(divided.params, whole.params, atol=1e-5)
    for a, b in zip(divided.loss_state.rows, whole.loss_state.rows):
        np.testing.assert_allclose(a["target"][:, : toy.N], b["target"], atol=1e-5)


@pytest.mark.slow
def test_beats_cross_entropy_on_noisy_digits():
    def run(function, *arguments, **options):
        model, optimizer = MLP(10, (128,)), optax.sgd(0.1, momentum=0.9)
        recipe = function(model, optimizer, *arguments, epochs=30, **options)
        return recipe_problem.train_on_digits(recipe)

    _, _, plain = run(robust_loss, rj.ce())
    _, state, plus = run(elr_plus, average_ramp_steps=100)
    assert plus > plain + 0.1, (plus, plain)
    # The memories know the right class of most examples.
    train, _, _ = recipe_problem.noisy_digits()
    for rows in state.loss_state.rows:
        remembered = np.asarray(rows["target"][0]).argmax(-1)
        assert np.mean(remembered == train.labels) > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1}, "strength: got -1"),
        ({"decay": 1.1}, "decay: got 1.1"),
        ({"ramp_steps": -1}, "ramp_steps: got -1"),
        ({"mixup_alpha": 0}, "mixup_alpha: got 0"),
        ({"average_decay": 2}, "average_decay: got 2"),
        ({"average_ramp_steps": -1}, "average_ramp_steps: got -1"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
