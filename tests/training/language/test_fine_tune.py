"""Fine-tuning: the same step whatever the layout, and loss transforms on it."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.models.language import Lora
from robustjax.training import language
from robustjax.training.language._fine_tune import prepare
from tests.models.language import tiny

from . import problem

KEY = jax.random.key(5)
# All texts in one step of the optimiser.
WHOLE = language.FineTuningRecipe(epochs=1, batch_size=7, learning_rate=0.01)


def _tune(rows=problem.PADDED, recipe=WHOLE, *, lora=None, mesh=None, **objective):
    return language.fine_tune(
        tiny.model(),
        rows,
        recipe,
        key=KEY,
        lora=lora,
        mesh=mesh,
        objective=language.Objective(**objective),
    )


def _close(one, other, tolerance=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=tolerance),
        one.model.params,
        other.model.params,
    )
    np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-4)


@pytest.fixture(scope="module")
def plain():
    return _tune()


@pytest.mark.slow
def test_a_step_is_adamw_on_the_mean_over_answer_tokens(plain):
    model, texts = tiny.model(), problem.texts()
    sizes = np.array([text.answers.sum() for text in texts])

    def loss(params):
        total = 0.0
        for text in texts:
            logits = tiny.logits(model.config, params, text.tokens[None])[0, :-1]
            each = optax.softmax_cross_entropy_with_integer_labels(
                logits, text.tokens[1:]
            )
            total += jnp.sum(each * text.answers[1:])
        return total / sizes.sum()

    value, gradient = jax.value_and_grad(loss)(model.params)
    assert plain.history["loss"] == pytest.approx(float(value), rel=1e-4)
    assert plain.history["answer_loss"] == pytest.approx(float(value), rel=1e-4)

    def moved(path, weight, slope):
        # Adam's first step is the gradient's sign, but for epsilon.
        decay = 0.0 if "norm" in str(path[-1]) else 0.1
        return weight - 0.01 * (slope / (jnp.abs(slope) + 1e-8) + decay * weight)

    want = jax.tree_util.tree_map_with_path(moved, model.params, gradient)
    sure = jax.tree.map(lambda slope: jnp.abs(slope) > 1e-4, gradient)
    jax.tree.map(
        lambda got, right, where: np.testing.assert_allclose(
            got[where], right[where], rtol=1e-3, atol=1e-4
        ),
        plain.model.params,
        want,
        sure,
    )


def test_the_caller_keeps_the_model(plain):
    before = language.answer_losses(tiny.model(), problem.PADDED)
    after = language.answer_losses(plain.model, problem.PADDED)
    assert after.per_token < before.per_token - 0.05


@pytest.mark.slow
def test_packed_rows_make_the_same_step(plain):
    count = len(problem.PACKED.tokens)
    assert count < 5
    packed = _tune(problem.PACKED, dataclasses.replace(WHOLE, batch_size=count))
    np.testing.assert_allclose(packed.history["loss"], plain.history["loss"], rtol=1e-4)
    moved = language.answer_losses(packed.model, problem.PADDED).loss
    want = language.answer_losses(plain.model, problem.PADDED).loss
    np.testing.assert_allclose(moved, want, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_accumulated_gradients_make_the_same_step(plain):
    parts = _tune(rows_at_once=3, remat=True)
    np.testing.assert_allclose(parts.history["loss"], plain.history["loss"], rtol=1e-5)
    want = language.answer_losses(plain.model, problem.PADDED).loss
    got = language.answer_losses(parts.model, problem.PADDED).loss
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)


def _first_loss(rows=problem.PADDED, **objective):
    """(loss, memory) of all texts in one batch, before anything is trained."""
    count = len(rows.tokens)
    program, state, data = prepare(
        tiny.model(),
        rows,
        dataclasses.replace(WHOLE, batch_size=count),
        key=KEY,
        lora=None,
        objective=language.Objective(**objective),
        mesh=None,
    )
    state = jax.tree.map(lambda x: x[0], state)
    batch = {
        "inputs": data.inputs,
        "texts": data.extras["texts"][0],
        "mask": jnp.ones(count, bool),
    }
    step = jax.jit(program.algorithm.objective)
    loss, (after, _) = step(state.params, state, batch, KEY)
    return float(loss), after.loss_state


@pytest.mark.parametrize("average", ["tokens", "texts"])
def test_tokens_and_texts_have_the_same_cross_entropy(average):
    alone = problem.losses(tiny.model(), problem.texts())
    sizes = [text.answers.sum() for text in problem.texts()]
    want = np.average(alone, weights=sizes if average == "tokens" else None)
    for form in ("texts", "tokens"):
        loss, _ = _first_loss(form=form, average=average)
        assert loss == pytest.approx(float(want), rel=1e-4)
    packed, _ = _first_loss(problem.PACKED, average=average)
    assert packed == pytest.approx(float(want), rel=1e-4)


@pytest.mark.slow
def test_batches_divided_among_devices(mesh):
    recipe = dataclasses.replace(WHOLE, epochs=2, batch_size=8)
    rows = language.padded_rows(problem.texts(11), 10)
    transform = rj.chain(rj.alpha_weights(0.3), rj.gce(), rj.elr())
    one, eight = (
        _tune(rows, recipe, mesh=where, lora=Lora(2), transform=transform)
        for where in (None, mesh)
    )
    np.testing.assert_allclose(one.history["loss"], eight.history["loss"], rtol=1e-3)
    got, want = (language.answer_losses(each.model, rows).loss for each in (eight, one))
    np.testing.assert_allclose(got, want, rtol=5e-3, atol=5e-3)


@pytest.mark.slow
def test_adapters_are_trained_alone():
    lora = Lora(rank=2, targets=("q_proj", "up_proj"))
    recipe = dataclasses.replace(WHOLE, epochs=3, learning_rate=0.05)
    tuned = _tune(lora=lora, recipe=recipe)
    assert set(tuned.adapters) == set(lora.targets)
    base = tiny.model().params["layers"]
    for name, matrix in tuned.model.params["layers"].items():
        changed = np.abs(matrix - base[name]).max() > 1e-4
        assert changed == (name in lora.targets), name
    assert tuned.history["loss"][-1] < tuned.history["loss"][0] - 0.05


def _reference(transform, order):
    """One step's loss by the library's public call, from the texts' losses."""
    state = transform.init(rj.ExampleSpec(7, 2))
    logits = language.sequence_logits(jnp.asarray(order, jnp.float32))
    loss, state = rj.value(
        transform, state, logits, jnp.zeros(7, int), index=jnp.arange(7)
    )
    return loss, state


@pytest.mark.parametrize(
    "transform",
    [
        rj.gce(0.7),
        rj.chain(rj.ce(), rj.elr()),
        rj.sop(lr_u=1.0, lr_v=1.0),
        rj.small_loss(0.4),
        rj.chain(rj.alpha_weights(0.5), rj.ce()),
    ],
    ids=lambda transform: transform.name,
)
def test_loss_transforms_on_texts(transform):
    if rj.Stage.HEAD not in transform.stages:
        transform = rj.chain(rj.ce(), transform)
    loss, state = _first_loss(problem.PACKED, transform=transform, average="texts")
    alone = problem.losses(tiny.model(), problem.texts())
    want, memory = _reference(transform, alone)
    assert loss == pytest.approx(float(want), rel=1e-3, abs=1e-4)
    jax.tree.map(
        lambda got, right: np.testing.assert_allclose(got, right, atol=2e-3),
        state.rows,
        memory.rows,
    )


@pytest.mark.slow
def test_losses_at_the_end_of_an_epoch_belong_to_their_texts():
    """Alpha weights look at the loss of every text, wherever packing put it."""
    transform = rj.chain(rj.alpha_weights(0.5), rj.ce())
    count = len(problem.PACKED.tokens)
    still = dataclasses.replace(WHOLE, batch_size=count, learning_rate=0.0)
    tuned = _tune(problem.PACKED, still, transform=transform, rows_at_once=2)
    state = transform.init(rj.ExampleSpec(7, 2))
    alone = problem.losses(tiny.model(), problem.texts())
    want = transform.epoch(state, losses=jnp.asarray(alone, jnp.float32))
    jax.tree.map(
        lambda got, right: np.testing.assert_allclose(got, right, rtol=1e-3),
        tuned.loss_state.rows,
        want.rows,
    )


@pytest.mark.slow
def test_loss_transforms_on_tokens():
    """Stateless heads and memory per token, by the library's public call."""
    transform = rj.chain(rj.gce(0.5), rj.elr(strength=0.3))
    got, _ = _first_loss(transform=transform, form="tokens", average="texts")
    rows, model = problem.PADDED, tiny.model()
    logits = tiny.logits(model.config, model.params, rows.tokens, rows.segments)
    spec = rj.ExampleSpec(7, 32, positions=(10,))
    mask = np.pad(rows.answers[:, 1:], ((0, 0), (0, 1)))
    labels = np.pad(rows.tokens[:, 1:], ((0, 0), (0, 1)))
    loss, _ = rj.value(
        transform,
        transform.init(spec),
        logits,
        labels,
        index=jnp.arange(7),
        mask=mask,
        per_example=True,
    )
    assert got == pytest.approx(float(loss), rel=1e-3)


@pytest.mark.parametrize(
    ("message", "rows", "recipe", "objective"),
    [
        ("batch_size: got 8, expected at most", problem.PADDED, {"batch_size": 8}, {}),
        (
            "rows: got up to . texts in a row",
            problem.PACKED,
            {"batch_size": 2},
            {"form": "tokens"},
        ),
        ("length of rows: got 65", language.padded_rows(problem.texts(), 65), {}, {}),
        (
            "transform: got elr, expected a chain with a head",
            problem.PADDED,
            {},
            {"transform": rj.elr()},
        ),
        (
            "expected form 'texts' for it",
            problem.PADDED,
            {},
            {"transform": rj.truncated_gce(), "form": "tokens"},
        ),
        ("form: unknown 'token'", problem.PADDED, {}, {"form": "token"}),
        ("rows_at_once: got 0", problem.PADDED, {}, {"rows_at_once": 0}),
        ("epochs: got 0", problem.PADDED, {"epochs": 0}, {}),
        ("warmup_share: got 1", problem.PADDED, {"warmup_share": 1.0}, {}),
        ("schedule: unknown 'cos'", problem.PADDED, {"schedule": "cos"}, {}),
    ],
)
def test_settings_that_do_not_fit(message, rows, recipe, objective):
    with pytest.raises(ValueError, match=message):
        _tune(rows, dataclasses.replace(WHOLE, **recipe), **objective)


def test_tokens_of_another_vocabulary():
    text = language.TokenText(np.array([1, 32]), np.array([False, True]))
    with pytest.raises(ValueError, match="tokens: got 32, expected 0 … 31"):
        _tune(language.padded_rows([text] * 7))


@pytest.mark.slow
def test_diverged_training_says_so():
    recipe = dataclasses.replace(WHOLE, epochs=3, learning_rate=1e30)
    with pytest.raises(training.NonFiniteLossError, match="loss: non-finite in epoch"):
        _tune(recipe=recipe, lora=Lora(2))
