"""An update in the manner of big_vision: endless batches, `jit`, microbatches.

Arrays are sharded over a mesh, so is the memory of the loss; gradients are accumulated
over microbatches; the loader repeats forever, so the end of an epoch is a number of
updates. The lines that were added or changed for robustjax end in `# robustjax`. Try

    python -m examples.big_vision_update
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import robustjax as rj  # robustjax
from examples import noisy_mnist


class MlpMixer(nn.Module):
    """Patches of 7 × 7 pixels and one block that mixes them."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (B, 10) of images (B, 28, 28, 1)."""
        x = nn.Conv(64, (7, 7), strides=7)(x).reshape(len(x), 16, 64)
        across = nn.gelu(nn.Dense(64)(nn.LayerNorm()(x).swapaxes(1, 2)))
        x = x + nn.Dense(16)(across).swapaxes(1, 2)
        x = x + nn.Dense(64)(nn.gelu(nn.Dense(128)(nn.LayerNorm()(x))))
        return nn.Dense(10)(nn.LayerNorm()(x).reshape(len(x), -1))


def train(
    tx: rj.LossTransform,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    seed: int = 0,
    batch_size: int = 128,
    microbatches: int = 2,
) -> tuple[noisy_mnist.Predict, rj.LossState]:
    """Trains by `tx`; see `noisy_mnist.Train`."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    divided = NamedSharding(mesh, PartitionSpec("data"))
    everywhere = NamedSharding(mesh, PartitionSpec())

    network = MlpMixer()

    def apply(params, x):
        return network.apply({"params": params}, x)

    params = network.init(jax.random.key(seed), images[:1])["params"]
    optimizer = optax.adam(1e-3)
    params, opt = jax.device_put((params, optimizer.init(params)), everywhere)
    steps = len(labels) // batch_size
    tx = rj.epoch_every(tx, microbatches * steps)  # robustjax
    memory = tx.init(rj.ExampleSpec(len(labels), 10, pad_to=mesh.size))  # robustjax
    layout = rj.LossState(rows=divided, shared=everywhere)  # robustjax
    memory = jax.device_put(memory, layout)  # robustjax
    value = functools.partial(rj.value, tx, microbatches=microbatches)  # robustjax

    def loss_fn(params, memory, batch):  # robustjax
        logits = apply(params, batch["image"])
        return value(memory, logits, batch["label"], batch["index"])  # robustjax

    @jax.jit
    def update_fn(params, opt, memory, batch):  # robustjax
        def accumulate(carry, part):
            total, memory = carry  # robustjax
            gradient = jax.grad(loss_fn, has_aux=True)
            grads, memory = gradient(params, memory, part)  # robustjax
            return (jax.tree.map(jnp.add, total, grads), memory), None  # robustjax

        # Every microbatch takes its share from every device.
        parts = jax.tree.map(
            lambda x: x.reshape(-1, microbatches, *x.shape[1:]).swapaxes(0, 1), batch
        )
        start = (jax.tree.map(jnp.zeros_like, params), memory)  # robustjax
        (total, memory), _ = jax.lax.scan(accumulate, start, parts)  # robustjax
        grads = jax.tree.map(lambda g: g / microbatches, total)
        updates, opt = optimizer.update(grads, opt)
        return optax.apply_updates(params, updates), opt, memory  # robustjax

    def forever():
        rng = np.random.default_rng(seed)
        while True:
            for index in noisy_mnist.batches(rng, len(labels), batch_size):
                batch = {"image": images[index], "label": labels[index]}
                yield {**batch, "index": index}  # robustjax

    for _, batch in zip(range(epochs * steps), forever()):
        batch = jax.device_put(batch, divided)
        params, opt, memory = update_fn(params, opt, memory, batch)  # robustjax
        # Devices of one CPU share its threads: programs at once can lock each other.
        jax.block_until_ready(params)
    return lambda x: apply(params, x), memory  # robustjax


def main() -> None:
    """Compares SOP with cross-entropy on noisy MNIST, on four devices."""
    jax.config.update("jax_num_cpu_devices", 4)
    noisy_mnist.compare("big_vision_update", train, {"ce": rj.ce(), "sop": rj.sop()})


if __name__ == "__main__":
    main()
