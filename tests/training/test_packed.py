"""Points that differ in numbers alone, as one program: what each learns alone."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import robustjax as rj
from robustjax import training
from robustjax.training._packed_functions import lift
from tests.training import toy

EPOCHS = 2
KEYS = jax.random.split(jax.random.key(7), 2 * toy.REPEATS)


def point(rate, strength, epochs=EPOCHS, hidden=(8,), **options):
    """ELR under SGD with a schedule, a phase of CE before it."""
    optimizer = optax.sgd(optax.cosine_decay_schedule(rate, 12), momentum=0.9)
    model = toy.MLP(toy.C, hidden)
    elr = rj.elr(strength=strength)
    warm = rj.chain(rj.ce(), rj.elr(strength=0.5 * strength))
    phases = (
        training.Phase(training.supervised(model, warm, optimizer), 1),
        training.Phase(
            training.supervised(model, rj.chain(rj.ce(), elr), optimizer), epochs - 1
        ),
    )
    return training.RecipeProgram(
        training.Recipe(phases),
        rj.ExampleSpec(toy.N, toy.C),
        execution=training.choose_execution(convolutional=False),
        **{"batch_size": 16, "block_size": 13, **options},
    )


@pytest.mark.slow
def test_points_together_are_what_they_are_alone():
    settings = [(0.1, 3.0), (0.02, 0.5)]
    points = [point(*each) for each in settings]
    x, y = toy.arrays()
    packed = training.PackedProgram(points, repeats=toy.REPEATS)
    data = packed.make_data(x, np.concatenate([y, y[::-1]]))
    state = packed.init(KEYS, jnp.asarray(x))
    state = training.fit(packed, state, data, epochs=EPOCHS)
    logits = packed.split(packed.predict(state, data.inputs))
    # Of images in 8 bits, and of fewer, it is another program.
    pixels = jnp.arange(20 * toy.D, dtype=jnp.uint8).reshape(20, toy.D)
    of_pixels = packed.split(packed.predict(state, pixels))
    labels = (y, y[::-1])
    for at, found in enumerate(packed.split(state)):
        data = points[at].make_data(x, labels[at])
        keys = KEYS[at * toy.REPEATS :][: toy.REPEATS]
        alone = points[at].init(keys, jnp.asarray(x))
        alone = training.fit(points[at], alone, data, epochs=EPOCHS)
        chex.assert_trees_all_close(
            toy.without_keys(found), toy.without_keys(alone), atol=2e-5
        )
        want = points[at].predict(alone, data.inputs)
        np.testing.assert_allclose(logits[at], want, atol=1e-4)
        want = points[at].predict(alone, pixels)
        np.testing.assert_allclose(of_pixels[at], want, atol=1e-4)
    # The settings do something.
    first, second = (jax.tree.leaves(s.params)[1] for s in packed.split(state))
    assert np.abs(first - second).max() > 1e-2


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"hidden": (9,)}, "points: got states of several shapes"),
        ({"strength": 0.0, "epochs": 3}, "points: got .* expected examples, batch"),
        ({"batch_size": 8}, "points: got .* expected examples, batch"),
    ],
)
def test_points_of_another_form_are_refused(other, message):
    points = [point(0.1, 3.0), point(**{"rate": 0.1, "strength": 3.0, **other})]
    x, _ = toy.arrays()

    def begin():
        packed = training.PackedProgram(points, repeats=toy.REPEATS)
        packed.init(KEYS, jnp.asarray(x))

    with pytest.raises(ValueError, match=message):
        begin()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d._replace(inputs=d.inputs + 1), "inputs: got others at 1"),
        (lambda d: d._replace(inputs=training.Stream(toy.arrays()[0])), "got a stream"),
        (lambda d: d._replace(extras={"box": d.labels}), "inputs: got others at 1"),
    ],
)
def test_data_of_points_that_are_no_points_of_one_program(change, message):
    points = [point(0.1, 3.0)] * 2
    x, y = toy.arrays()
    packed = training.PackedProgram(points, repeats=toy.REPEATS)
    own = [points[0].make_data(x, labels) for labels in (y, y[::-1])]
    joined = packed.join_data(own)
    np.testing.assert_array_equal(joined.labels, np.concatenate([y, y[::-1]]))
    with pytest.raises(ValueError, match=message):
        packed.join_data([own[0], change(own[1])])


def test_a_later_phase_that_differs_is_found_before_anything_trains():
    points = [point(0.1, 3.0), point(0.1, 3.0)]
    other = training.supervised(toy.MLP(toy.C, (8,)), rj.ce(), optax.sgd(0.1))
    recipe = points[1].recipe
    own = training.RecipeProgram(
        recipe._replace(phases=(recipe.phases[0], training.Phase(other, 1))),
        rj.ExampleSpec(toy.N, toy.C),
        batch_size=16,
        execution=training.choose_execution(convolutional=False),
        block_size=13,
    )
    x, y = toy.arrays()
    data = points[0].make_data(x, np.concatenate([y, y[::-1]]))
    for pair in (points, [points[0], own]):
        packed = training.PackedProgram(pair, repeats=toy.REPEATS)
        one = jax.eval_shape(points[0].init, KEYS[: toy.REPEATS], jnp.asarray(x))
        state = jax.eval_shape(packed.join, [one, one])
        if pair is points:
            packed.check(state, data)
            continue
        with pytest.raises(ValueError, match="they differ in more than numbers"):
            packed.check(state, data)


def looped(first, second, third, constant):
    """Numbers in a loop, in a branch, in a call that is shared, in an array."""
    shared = jax.jit(lambda x, by: x * by)

    def function(x):
        def body(carry, slice_):
            carry = jax.lax.cond(
                slice_ > 0.5, lambda c: c + second, lambda c: c * first, carry
            )
            return carry, carry - third

        x, ys = jax.lax.scan(body, x, jnp.arange(4) / 2)
        x = jax.lax.fori_loop(0, 3, lambda i, c: c * first + i, x)
        x = jax.nn.relu(shared(x, second)) + shared(x, third)
        return {"x": x + constant, "ys": ys}

    return function


def test_numbers_are_found_wherever_they_stand():
    settings = [
        (0.5, 2.0, 2.0, np.arange(3.0, dtype=np.float32)),
        (0.7, 2.0, 3.0, np.ones(3, np.float32)),
        (0.5, 1.5, 2.0, np.ones(3, np.float32)),
    ]
    functions = [looped(*each) for each in settings]
    x = jnp.array([1.0, -2.0, 3.0])
    lifted = lift(functions, x)
    assert lifted.numbers
    mapped = jax.jit(jax.vmap(lifted.call, (0, None)))
    found = mapped([jnp.asarray(n) for n in lifted.numbers], x)
    for at, function in enumerate(functions):
        one = jax.tree.map(lambda leaf, at=at: leaf[at], found)
        chex.assert_trees_all_close(one, function(x), rtol=1e-6)


def test_what_is_alike_needs_no_numbers():
    lifted = lift([looped(0.5, 2.0, 1.0, 3.0)] * 2, jnp.ones(3))
    assert not lifted.numbers


def branch(x, count):
    """The last of so many branches, by an index that is not known when traced."""
    branches = [lambda x: x, lambda x: 2 * x, lambda x: 3 * x][:count]
    return jax.lax.switch(x[0].astype(jnp.int32) + count, branches, x)


def on_host(x, factor):
    """A product that is not traced."""
    return jax.pure_callback(lambda v: np.asarray(v) * np.float32(factor), x, x)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x + 1, lambda x: x - 1),
        (lambda x: x + 1, lambda x: x + 1 + x),
        (lambda x: x**2, lambda x: x**3),
        (lambda x: x + x[::-1], lambda x: x + x),
        (lambda x: x + 1, lambda x: x + jnp.ones(3)),
        (lambda x: (x, x + 1), lambda x: (x + 1, x)),
        (lambda x: x.sum(), lambda x: x.sum(keepdims=True)),
        (
            lambda x: x + jax.random.normal(jax.random.key(0), (3,)),
            lambda x: x + jax.random.uniform(jax.random.key(0), (3,)),
        ),
        # Of more branches, the first ones are the same.
        (lambda x: branch(x, 2), lambda x: branch(x, 3)),
        (lambda x: on_host(x, 2), lambda x: on_host(x, 5)),
    ],
)
def test_other_steps_are_refused(one, other):
    with pytest.raises(ValueError, match="programs: they differ in more than numbers"):
        lift([one, other], jnp.arange(3.0))
