"""A training step of ResNet-18 on 32×32 images: JAX here, PyTorch there.

    python -m experiments.benchmarks.resnet_step

Both sides draw random batches from arrays in memory and train with momentum SGD; JAX
runs whole epochs through `Program`, and the shown times are per step. On CPU both
compute in float32 and PyTorch runs eagerly, in both memory layouts, of which the
faster is the baseline. On a GPU both compute in bfloat16 and PyTorch is compiled, with
channels last. Everything is timed in turns in one process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags

import robustjax as rj
from experiments.benchmarks.programs import epochs_of
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax.cores import usable_cores
from robustjax.models import ResNet
from robustjax.training import Program, choose_execution, supervised

_BATCH = flags.DEFINE_integer(
    "batch_size", None, "Examples per step; by default 64 on CPU, else 128."
)
_STEPS = flags.DEFINE_integer(
    "steps", None, "Steps per timed call; by default 2 on CPU, else 100."
)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Timed rounds.")
_THREADS = flags.DEFINE_integer("threads", usable_cores(), "Threads of PyTorch on CPU.")
_PEERS = flags.DEFINE_bool("peers", True, "Compare with PyTorch, if it is there.")
_NATIVE = flags.DEFINE_bool(
    "native", False, "On CPU, time XLA's own convolution as well."
)

_CLASSES, _SIZE = 10, 32
_WIDTHS = (64, 128, 256, 512)


def jax_case(
    images: np.ndarray, labels: np.ndarray, batch_size: int, *, native: bool = False
) -> Callable[[], None]:
    """An epoch of `Program`, run as `choose_execution` has it."""
    execution = choose_execution(
        convolutional=True, convolution="native" if native else None
    )
    model = ResNet(
        18,
        _CLASSES,
        stem="small",
        convolution=execution.convolution,
        dtype=jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16,
    )
    program = Program(
        supervised(model, rj.ce(), optax.sgd(0.01, momentum=0.9)),
        rj.ExampleSpec(len(images), _CLASSES),
        batch_size=batch_size,
        execution=execution,
    )
    return epochs_of(program, images, labels)


def torch_network() -> Any:
    """ResNet-18 with a 3×3 stem, as a PyTorch module."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int) -> None:
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(before, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1, bias=False),
                nn.BatchNorm2d(width),
            )
            self.shortcut = nn.Sequential()
            if before != width:
                self.shortcut.append(nn.Conv2d(before, width, 1, stride, bias=False))
                self.shortcut.append(nn.BatchNorm2d(width))

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.main(x) + self.shortcut(x))

    layers: list[nn.Module] = [
        nn.Conv2d(3, _WIDTHS[0], 3, 1, 1, bias=False),
        nn.BatchNorm2d(_WIDTHS[0]),
        nn.ReLU(),
    ]
    before = _WIDTHS[0]
    for width in _WIDTHS:
        layers.append(Block(before, width, 1 if width == _WIDTHS[0] else 2))
        layers.append(Block(width, width, 1))
        before = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, _CLASSES)]
    return nn.Sequential(*layers)


def torch_case(
    images: np.ndarray, labels: np.ndarray, batch_size: int, *, channels_last: bool
) -> Callable[[], None]:
    """The same epoch in PyTorch."""
    import torch

    on_gpu = jax.default_backend() == "gpu"
    device = "cuda" if on_gpu else "cpu"
    torch.manual_seed(0)
    if on_gpu:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(_THREADS.value)
    model = torch_network().to(device)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(device)
    y = torch.from_numpy(labels).long().to(device)
    if channels_last:
        x = x.to(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def objective(inputs: Any, targets: Any) -> Any:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=on_gpu):
            logits = model(inputs)
        return torch.nn.functional.cross_entropy(logits.float(), targets)

    if on_gpu:
        objective = torch.compile(objective, mode="max-autotune")

    def run() -> None:
        for index in torch.randperm(len(x), device=device).split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            objective(x[index], y[index]).backward()
            optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()

    return run


def _torch_cases(
    images: np.ndarray, labels: np.ndarray, batch_size: int
) -> dict[str, Callable[[], None]]:
    try:
        import torch
    except ImportError:
        print("PyTorch is missing (pip install 'robustjax[parity]')", file=sys.stderr)
        return {}
    backend = jax.default_backend()
    if backend == "cpu":
        return {
            name: torch_case(images, labels, batch_size, channels_last=last)
            for name, last in (
                ("PyTorch eager", False),
                ("PyTorch eager, channels last", True),
            )
        }
    if backend == "gpu" and torch.cuda.is_available():
        case = torch_case(images, labels, batch_size, channels_last=True)
        return {"PyTorch compiled, channels last, bfloat16": case}
    print(f"PyTorch cannot be compared on {backend}", file=sys.stderr)
    return {}


def main(argv: list[str]) -> None:
    """Times the step."""
    del argv
    on_cpu = jax.default_backend() == "cpu"
    batch_size = _BATCH.value or (64 if on_cpu else 128)
    steps = _STEPS.value or (2 if on_cpu else 100)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch_size * steps, _SIZE, _SIZE, 3)).astype(np.float32)
    labels = rng.integers(0, _CLASSES, len(images)).astype(np.int32)
    cases = {
        "JAX, patches in a scan" if on_cpu else "JAX, bfloat16 in a scan": jax_case(
            images, labels, batch_size
        )
    }
    if on_cpu and _NATIVE.value:
        cases["JAX, native in steps"] = jax_case(
            images, labels, batch_size, native=True
        )
    peers = _torch_cases(images, labels, batch_size) if _PEERS.value else {}
    times = interleaved({**cases, **peers}, _ROUNDS.value, warmup=2)
    baseline = min(peers, key=lambda case: np.median(times[case]), default=None)
    report("resnet_step", times, baseline, OUT_DIR.value, units=steps)


if __name__ == "__main__":
    app.run(main)
