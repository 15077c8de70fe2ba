"""Flax Linen and a `TrainState`, the loop of Flax's own MNIST example.

The lines that were added or changed for robustjax end in `# robustjax`. Try

    python -m examples.linen_loop
"""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np
import optax
from flax.training.train_state import TrainState

import robustjax as rj  # robustjax
from examples import noisy_mnist


class Network(nn.Module):
    """A perceptron with one hidden layer."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (B, 10) of images (B, 28, 28, 1)."""
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


def train(
    tx: rj.LossTransform,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    seed: int = 0,
    batch_size: int = 128,
) -> tuple[noisy_mnist.Predict, rj.LossState]:
    """Trains by `tx`; the arguments are those of `noisy_mnist.Train`."""
    network = Network()
    params = network.init(jax.random.key(seed), images[:1])["params"]
    state = TrainState.create(
        apply_fn=network.apply, params=params, tx=optax.adam(1e-3)
    )
    memory = tx.init(rj.ExampleSpec(len(labels), 10))  # robustjax

    @jax.jit
    def train_step(state, memory, x, y, index):  # robustjax
        def loss_fn(params):
            logits = state.apply_fn({"params": params}, x)
            return rj.value(tx, memory, logits, y, index)  # robustjax

        grads, memory = jax.grad(loss_fn, has_aux=True)(state.params)  # robustjax
        return state.apply_gradients(grads=grads), memory  # robustjax

    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for index in noisy_mnist.batches(rng, len(labels), batch_size):
            x, y = images[index], labels[index]
            state, memory = train_step(state, memory, x, y, index)  # robustjax
        memory = tx.epoch(memory)  # robustjax
    return lambda x: network.apply({"params": state.params}, x), memory  # robustjax


def main() -> None:
    """Compares ELR with cross-entropy on noisy MNIST."""
    losses = {"ce": rj.ce(), "ce + elr": rj.chain(rj.ce(), rj.elr(3.0, 0.7))}
    noisy_mnist.compare("linen_loop", train, losses)


if __name__ == "__main__":
    main()
