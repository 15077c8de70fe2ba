"""Equinox: the model is a pytree, vmapped over the batch.

The lines that were added or changed for robustjax end in `# robustjax`. Needs the extra
`robustjax[examples]`. Try

    python -m examples.equinox_loop
"""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
import optax

import robustjax as rj  # robustjax
from examples import noisy_mnist


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
    model = eqx.nn.MLP(784, 10, width_size=128, depth=1, key=jax.random.key(seed))
    optimizer = optax.adam(1e-3)
    opt = optimizer.init(eqx.filter(model, eqx.is_array))
    memory = tx.init(rj.ExampleSpec(len(labels), 10))  # robustjax

    def predict(model, x):
        return jax.vmap(model)(x.reshape(len(x), -1))

    @eqx.filter_jit
    def make_step(model, opt, memory, x, y, index):  # robustjax
        def loss_fn(model):
            return rj.value(tx, memory, predict(model, x), y, index)  # robustjax

        grads, memory = eqx.filter_grad(loss_fn, has_aux=True)(model)  # robustjax
        updates, opt = optimizer.update(grads, opt)
        return eqx.apply_updates(model, updates), opt, memory  # robustjax

    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for index in noisy_mnist.batches(rng, len(labels), batch_size):
            x, y = images[index], labels[index]
            model, opt, memory = make_step(model, opt, memory, x, y, index)  # robustjax
        memory = tx.epoch(memory)  # robustjax
    return lambda x: predict(model, x), memory  # robustjax


def main() -> None:
    """Compares GCE with faded weights with cross-entropy on noisy MNIST."""
    faded = rj.chain(rj.alpha_weights(loss_pass="training"), rj.gce(q=0.7))
    losses = {"ce": rj.ce(), "alpha_weights + gce": faded}
    noisy_mnist.compare("equinox_loop", train, losses)


if __name__ == "__main__":
    main()
