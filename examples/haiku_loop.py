"""Haiku: a pure `init` and `apply`, and parameters in a dict.

The lines that were added or changed for robustjax end in `# robustjax`. Needs the extra
`robustjax[examples]`. Try

    python -m examples.haiku_loop
"""

from __future__ import annotations

import haiku as hk
import jax
import numpy as np
import optax

import robustjax as rj  # robustjax
from examples import noisy_mnist


def _network(x: jax.Array) -> jax.Array:
    x = x.reshape(len(x), -1)
    return hk.nets.MLP([128, 10])(x)


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
    network: hk.Transformed = hk.without_apply_rng(hk.transform(_network))
    params = network.init(jax.random.key(seed), images[:1])
    optimizer = optax.adam(1e-3)
    opt = optimizer.init(params)
    memory = tx.init(rj.ExampleSpec(len(labels), 10))  # robustjax

    def loss_fn(params, memory, x, y, index):  # robustjax
        return rj.value(tx, memory, network.apply(params, x), y, index)  # robustjax

    @jax.jit
    def update(params, opt, memory, x, y, index):  # robustjax
        gradient = jax.grad(loss_fn, has_aux=True)
        grads, memory = gradient(params, memory, x, y, index)  # robustjax
        updates, opt = optimizer.update(grads, opt)
        return optax.apply_updates(params, updates), opt, memory  # robustjax

    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for index in noisy_mnist.batches(rng, len(labels), batch_size):
            x, y = images[index], labels[index]
            params, opt, memory = update(params, opt, memory, x, y, index)  # robustjax
        memory = tx.epoch(memory)  # robustjax
    return lambda x: network.apply(params, x), memory  # robustjax


def main() -> None:
    """Compares a selection of small losses with cross-entropy on noisy MNIST."""
    rate = rj.forget_rate_schedule(0.5, num_gradual=10)
    losses = {"ce": rj.ce(), "small_loss": rj.chain(rj.ce(), rj.small_loss(rate))}
    noisy_mnist.compare("haiku_loop", train, losses)


if __name__ == "__main__":
    main()
