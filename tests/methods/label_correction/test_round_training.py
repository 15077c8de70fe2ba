"""Training round by round: networks with running averages go on as they were."""

import chex
import flax.linen as nn
import jax
import numpy as np
import pytest

import robustjax as rj
from robustjax import methods
from robustjax.models import BatchNorm


class Normalised(nn.Module):
    """The least network with running averages."""

    @nn.compact
    def __call__(self, inputs, *, train=False, mask=None):
        x = nn.Dense(4)(inputs.reshape(inputs.shape[0], -1))
        x = BatchNorm()(x, train=train, mask=mask)
        return nn.Dense(2)(nn.relu(x))


@pytest.mark.slow
def test_a_second_training_starts_from_the_whole_network():
    rng = np.random.default_rng(0)
    inputs = rng.normal(3, 2, size=(20, 3)).astype(np.float32)
    labels = rng.integers(0, 2, (2, 20)).astype(np.int32)
    settings = methods.ClassifierSettings(epochs=2, batch_size=8)
    trainer = methods.RoundTrainer(inputs, 2, settings, model=Normalised())
    keys = jax.random.split(jax.random.key(0), 2)
    first = trainer.fit("plain", rj.ce, labels, keys)
    averages = first.variables.model_state["batch_stats"]["BatchNorm_0"]["mean"]
    assert np.abs(averages).max() > 0.1
    fresh = trainer.untrained(keys)
    chex.assert_trees_all_equal_shapes_and_dtypes(fresh, first.variables)
    started = []

    def note(state):
        started.append(jax.tree.map(np.asarray, (state.params, state.model_state)))
        return state

    before = jax.tree.map(np.asarray, tuple(first.variables))
    second = trainer.fit(
        "plain", rj.ce, labels, keys, variables=first.variables, prepare=note
    )
    chex.assert_trees_all_equal(started[0], before)
    chex.assert_trees_all_equal(tuple(first.variables), before)
    moved = second.variables.model_state["batch_stats"]["BatchNorm_0"]["mean"]
    assert np.abs(np.asarray(moved) - np.asarray(averages)).max() > 0
