"""A training step of a small CNN on 28×28 images: JAX here, PyTorch eager there.

    python -m experiments.benchmarks.small_cnn_step

Two networks: "one pool" is that of many MNIST examples (conv 32, conv 64, pool,
dense 128), "two pools" has a pool after either convolution, as in the project's
first measurements. Both sides draw random batches from arrays in memory and train
with momentum SGD; JAX runs whole epochs through `Program`, and the shown times are
per step. PyTorch is measured in both memory layouts; the faster one is the baseline.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import jax
import numpy as np
import optax
from absl import app, flags

import robustjax as rj
from experiments.benchmarks.programs import epochs_of
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax.cores import usable_cores
from robustjax.models import SmallCNN
from robustjax.training import Convolution, Loop, Program, choose_execution, supervised

_BATCH = flags.DEFINE_integer("batch_size", 128, "Examples per step.")
_STEPS = flags.DEFINE_integer("steps", 8, "Steps per timed call.")
_ROUNDS = flags.DEFINE_integer("rounds", 11, "Timed rounds.")
_THREADS = flags.DEFINE_integer("threads", usable_cores(), "Threads of PyTorch.")

# name -> (blocks, padding) of `SmallCNN`.
NETWORKS = {
    "one pool": (((32, 64),), "VALID"),
    "two pools": (((32,), (64,)), "SAME"),
}
_CLASSES, _SIZE = 10, 28


def jax_case(
    network: str,
    convolution: Convolution,
    loop: Loop,
    images: np.ndarray,
    labels: np.ndarray,
) -> Callable[[], None]:
    """An epoch of `Program`."""
    blocks, padding = NETWORKS[network]
    model = SmallCNN(_CLASSES, blocks, padding=padding, convolution=convolution)
    program = Program(
        supervised(model, rj.ce(), optax.sgd(0.01, momentum=0.9)),
        rj.ExampleSpec(len(images), _CLASSES),
        batch_size=_BATCH.value,
        execution=choose_execution(
            convolutional=True, loop=loop, convolution=convolution
        ),
    )
    return epochs_of(program, images, labels)


def torch_case(
    network: str, channels_last: bool, images: np.ndarray, labels: np.ndarray
) -> Callable[[], None]:
    """The same epoch in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(_THREADS.value)
    torch.manual_seed(0)
    blocks, padding = NETWORKS[network]
    layers: list[nn.Module] = []
    channels, size, border = 1, _SIZE, int(padding == "SAME")
    for block in blocks:
        for width in block:
            layers += [nn.Conv2d(channels, width, 3, padding=border), nn.ReLU()]
            channels, size = width, size - 2 + 2 * border
        layers.append(nn.MaxPool2d(2))
        size //= 2
    layers += [nn.Flatten(), nn.Linear(channels * size**2, 128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(128, _CLASSES))
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    y = torch.from_numpy(labels).long()
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
        # The annotations of `Module.to` leave the memory format out.
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def run() -> None:
        for index in torch.randperm(len(x)).split(_BATCH.value):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(x[index]), y[index]).backward()
            optimizer.step()

    return run


def _torch_cases(
    network: str, images: np.ndarray, labels: np.ndarray
) -> dict[str, Callable[[], None]]:
    if jax.default_backend() != "cpu":
        print("PyTorch is compared on the CPU only", file=sys.stderr)
        return {}
    try:
        return {
            "PyTorch eager": torch_case(network, False, images, labels),
            "PyTorch eager, channels last": torch_case(network, True, images, labels),
        }
    except ImportError:
        print("PyTorch is missing (pip install 'robustjax[parity]')", file=sys.stderr)
        return {}


def main(argv: list[str]) -> None:
    """Times both networks."""
    del argv
    examples = _BATCH.value * _STEPS.value
    rng = np.random.default_rng(0)
    images = rng.normal(size=(examples, _SIZE, _SIZE, 1)).astype(np.float32)
    labels = rng.integers(0, _CLASSES, examples).astype(np.int32)
    for network in NETWORKS:
        peers = _torch_cases(network, images, labels)
        cases = {
            "JAX, patches in a scan": jax_case(
                network, "patches", "scan", images, labels
            ),
            "JAX, native in steps": jax_case(
                network, "native", "steps", images, labels
            ),
            **peers,
        }
        times = interleaved(cases, _ROUNDS.value, warmup=2)
        baseline = min(peers, key=lambda case: np.median(times[case]), default=None)
        report(
            f"small_cnn_step_{network.replace(' ', '_')}",
            times,
            baseline,
            OUT_DIR.value,
            units=_STEPS.value,
        )


if __name__ == "__main__":
    app.run(main)
