"""Made-up variables of networks; compiling their initialisation takes seconds."""

import jax
import jax.numpy as jnp
import numpy as np


def shapes(model, inputs):
    """The shapes of a model's variables; nothing is computed."""
    return dict(jax.eval_shape(model.init, jax.random.key(0), inputs))


def random_variables(model, inputs, seed=0):
    """Float32 variables under which activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            values = rng.uniform(0.5, 1.5, leaf.shape)
        elif len(leaf.shape) > 1:
            values = rng.normal(0, (2 / np.prod(leaf.shape[:-1])) ** 0.5, leaf.shape)
        else:
            values = rng.uniform(-0.3, 0.3, leaf.shape)
        return jnp.asarray(values, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(model, inputs))


def count(tree):
    """How many numbers a pytree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
