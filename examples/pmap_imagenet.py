"""`jax.pmap` with replicated state, the loop of Flax's ImageNet example.

Every device holds a copy of everything, the memory of the loss included, and sees its
own part of the batch. With `axis_name` every copy writes the rows of all devices'
examples, so that the copies stay equal. The lines that were added or changed for
robustjax end in `# robustjax`. Try

    python -m examples.pmap_imagenet
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from flax import jax_utils
from flax.training import train_state

import robustjax as rj  # robustjax
from examples import noisy_mnist


class ConvNet(nn.Module):
    """Two convolutions with BatchNorm."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        """Logits (B, 10) of images (B, 28, 28, 1)."""
        for channels in (16, 32):
            x = nn.Conv(channels, (3, 3), strides=2, use_bias=False)(x)
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            x = nn.relu(x)
        return nn.Dense(10)(x.reshape(len(x), -1))


class TrainState(train_state.TrainState):
    """Parameters, optimiser and the running statistics of BatchNorm."""

    batch_stats: Any


def train(
    tx: rj.LossTransform,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    seed: int = 0,
    batch_size: int = 128,
) -> tuple[noisy_mnist.Predict, rj.LossState]:
    """Trains by `tx`; see `noisy_mnist.Train`. The state's leaves lead with devices."""
    devices = jax.local_device_count()
    network = ConvNet()
    variables = network.init(jax.random.key(seed), images[:1])
    state = TrainState.create(
        apply_fn=network.apply,
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        tx=optax.sgd(0.05, momentum=0.9, nesterov=True),
    )
    memory = tx.init(rj.ExampleSpec(len(labels), 10))  # robustjax
    value = functools.partial(rj.value, tx, axis_name="batch")  # robustjax
    state, memory = jax_utils.replicate((state, memory))  # robustjax

    @functools.partial(jax.pmap, axis_name="batch")
    def train_step(state, memory, x, y, index):  # robustjax
        def loss_fn(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, changed = state.apply_fn(variables, x, mutable=["batch_stats"])
            loss, new_memory = value(memory, logits, y, index)  # robustjax
            changed = (changed["batch_stats"], new_memory)  # robustjax
            return loss, changed

        gradient = jax.grad(loss_fn, has_aux=True)
        grads, (batch_stats, memory) = gradient(state.params)  # robustjax
        grads = jax.lax.pmean(grads, "batch")
        state = state.apply_gradients(grads=grads, batch_stats=batch_stats)
        return state, memory  # robustjax

    end_epoch = functools.partial(tx.epoch, axis_name="batch")  # robustjax
    end_epoch = jax.pmap(end_epoch, axis_name="batch")  # robustjax

    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for index in noisy_mnist.batches(rng, len(labels), batch_size):
            index = index.reshape(devices, -1)
            x, y = images[index], labels[index]
            state, memory = train_step(state, memory, x, y, index)  # robustjax
            # Devices of one CPU share its threads: two programs at once can lock each
            # other.
            jax.block_until_ready(state)
        # `pmap` refuses a state without arrays, as cross-entropy alone has.
        if jax.tree.leaves(memory):  # robustjax
            memory = end_epoch(memory)  # robustjax

    average = jax.pmap(lambda x: jax.lax.pmean(x, "batch"), axis_name="batch")
    state = state.replace(batch_stats=average(state.batch_stats))
    state = jax_utils.unreplicate(state)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return lambda x: network.apply(variables, x, train=False), memory  # robustjax


def main() -> None:
    """Compares ELR with cross-entropy on noisy MNIST, on eight devices."""
    jax.config.update("jax_num_cpu_devices", 8)
    losses = {"ce": rj.ce(), "ce + elr": rj.chain(rj.ce(), rj.elr(3.0, 0.7))}
    noisy_mnist.compare("pmap_imagenet", train, losses)


if __name__ == "__main__":
    main()
