"""HEX as a recipe: a warm-up, then the projection."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from robustjax import training
from robustjax.methods import bias
from tests.methods.bias import problem

IMAGES = np.random.default_rng(0).random((problem.N, 4, 4, 1)).astype(np.float32)


def recipe(**options):
    given = {"epochs": 2, "levels": 3, **options}
    return bias.hex_projection(problem.MODEL, optax.sgd(0.1), **given)


@pytest.mark.slow
def test_both_phases_share_a_state_and_differ_in_the_projection():
    made = recipe()
    assert [phase.epochs for phase in made.phases] == [1, 1]
    program = training.RecipeProgram(
        made, problem.SPEC, batch_size=problem.BATCH, execution=problem.EXECUTION
    )
    held = program.make_data(IMAGES, problem.arrays()[1])
    state = program.init(jax.random.split(jax.random.key(0), 2), held.inputs)
    losses = []
    for epoch in range(2):
        state, metrics = program.at(epoch).epoch(state, held)
        losses.append(metrics["loss"])
        assert np.all(np.isfinite(metrics["loss"]))
    logits = program.predict(state, jnp.asarray(IMAGES))
    assert logits.shape == (2, problem.N, problem.C)
    one = program.predict(state, jnp.asarray(IMAGES[:1]))
    np.testing.assert_allclose(one, logits[:, :1], atol=1e-5)

    warm, projected = (phase.algorithm for phase in made.phases)
    own = jax.tree.map(lambda leaf: leaf[0], state)
    batch = problem.batch(0, 9) | {"inputs": jnp.asarray(IMAGES[:9])}

    @jax.jit
    def both(state):
        return [
            each.objective(state.params, state, batch, jax.random.key(0))[0]
            for each in (warm, projected)
        ]

    plain, left = both(own)
    assert abs(float(plain) - float(left)) > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 1}, "epochs: got 1, expected an integer >= 2"),
        ({"warmup_epochs": -1}, "warmup_epochs: got -1"),
        ({"levels": 1}, "levels: got 1"),
        ({"direction": (0, 0)}, "direction: got"),
        ({"ridge": -1.0}, "ridge: got -1.0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        recipe(**options)
