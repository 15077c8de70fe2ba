"""Flax NNX: a model that holds its parameters, and an `nnx.Optimizer`.

The lines that were added or changed for robustjax end in `# robustjax`. The state of
the loss is an ordinary argument and result of the step, beside the model. Try

    python -m examples.nnx_loop
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from flax import nnx

import robustjax as rj  # robustjax
from examples import noisy_mnist


class Network(nnx.Module):
    """A perceptron with one hidden layer."""

    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(784, 128, rngs=rngs)
        self.head = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (B, 10) of images (B, 28, 28, 1)."""
        return self.head(nnx.relu(self.hidden(x.reshape(len(x), -1))))


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
    model = Network(nnx.Rngs(seed))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    memory = tx.init(rj.ExampleSpec(len(labels), 10))  # robustjax

    @nnx.jit
    def train_step(model, optimizer, memory, x, y, index):  # robustjax
        def loss_fn(model):
            return rj.value(tx, memory, model(x), y, index)  # robustjax

        grads, memory = nnx.grad(loss_fn, has_aux=True)(model)  # robustjax
        optimizer.update(model, grads)
        return memory  # robustjax

    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for index in noisy_mnist.batches(rng, len(labels), batch_size):
            x, y = images[index], labels[index]
            memory = train_step(model, optimizer, memory, x, y, index)  # robustjax
        memory = tx.epoch(memory)  # robustjax
    return model, memory  # robustjax


def main() -> None:
    """Compares SOP with cross-entropy on noisy MNIST."""
    noisy_mnist.compare("nnx_loop", train, {"ce": rj.ce(), "sop": rj.sop()})


if __name__ == "__main__":
    main()
