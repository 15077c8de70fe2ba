"""A network and data for tests of what is asked of out-of-distribution features."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from robustjax.methods.features import OOD, TARGET, UNUSED
from robustjax.models import BatchNorm
from tests.training import toy


class NormalizedFeatures(nn.Module):
    """A small network with BatchNorm, whose outputs are `head(features(inputs))`."""

    num_classes: int = toy.C
    width: int = 8

    def setup(self):
        self.first = nn.Dense(self.width)
        self.norm = BatchNorm()
        self.head = nn.Dense(self.num_classes)

    def features(self, inputs, *, train=False, mask=None):
        return nn.relu(self.norm(self.first(inputs), train=train, mask=mask))

    def __call__(self, inputs, *, train=False, mask=None):
        return self.head(self.features(inputs, train=train, mask=mask))


def toy_roles(repeat=0):
    """Of the toy problem's 50 examples, 20 targets, 20 OOD and 10 of no use."""
    roles = np.repeat([TARGET, OOD, UNUSED], [20, 20, 10])
    return np.random.default_rng(repeat).permutation(roles)


def background_problem(num_targets=120, num_ood=120, seed=0):
    """(inputs, labels, roles) where a background tells the class, too, but not always.

    Three dimensions are of the object, five of the background. OOD examples have
    backgrounds and no object; those of no use are more OOD examples, to look at.
    """
    rng = np.random.default_rng(seed)
    count = num_targets + 2 * num_ood
    labels = rng.integers(0, 3, count)
    objects = 1.5 * np.eye(3)[labels] + 0.4 * rng.normal(size=(count, 3))
    scenes = 2 * rng.normal(size=(3, 5))
    scene = np.where(rng.random(count) < 0.9, labels, rng.integers(0, 3, count))
    backgrounds = scenes[scene] + 0.4 * rng.normal(size=(count, 5))
    roles = np.repeat([TARGET, OOD, UNUSED], [num_targets, num_ood, num_ood])
    objects[roles != TARGET] = 0
    inputs = np.concatenate([objects, backgrounds], axis=1).astype(np.float32)
    return inputs, labels, roles


def mean_square_features(model, state, inputs):
    """(R,) mean squares of a trained network's features, in prediction mode."""

    def one(params, model_state):
        variables = {"params": params, **model_state}
        features = model.apply(variables, jnp.asarray(inputs), method="features")
        return jnp.mean(features**2)

    return np.asarray(jax.vmap(one)(state.params, state.model_state))
