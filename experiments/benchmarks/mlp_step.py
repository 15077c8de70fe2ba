"""The label-correction classifier's training step against PyTorch on the same CPU.

    python -m experiments.benchmarks.mlp_step

Four layers on 2,048 features, batches of 128, SGD with momentum and weight decay.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.programs import epochs_of, made_up_features, mlp_program
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import transforms
from robustjax.cores import usable_cores

_STEPS = flags.DEFINE_integer("steps", 50, "Steps per timed call.")
_ROUNDS = flags.DEFINE_integer("rounds", 11, "Timed rounds.")
_THREADS = flags.DEFINE_integer("threads", usable_cores(), "Threads of PyTorch.")

_WIDTH, _HIDDEN, _CLASSES, _BATCH = 2048, (512, 512, 512), 10, 128


def _torch_epoch(inputs: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    import torch

    torch.set_num_threads(_THREADS.value)
    torch.manual_seed(0)
    widths = [_WIDTH, *_HIDDEN]
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], _CLASSES))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4
    )
    x, y = torch.from_numpy(inputs), torch.from_numpy(labels).long()

    def run() -> None:
        for index in torch.randperm(len(x)).split(_BATCH):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(x[index]), y[index]).backward()
            optimizer.step()

    return run


def main(argv: list[str]) -> None:
    """Times epochs of the same network."""
    del argv
    examples = _STEPS.value * _BATCH
    inputs, labels = made_up_features(examples, _WIDTH, _CLASSES)
    program = mlp_program(
        transforms.chain(transforms.ce()), examples, _CLASSES, _HIDDEN, _BATCH
    )
    cases = {"robustjax, epoch as a scan": epochs_of(program, inputs, labels)}
    baseline = None
    if jax.default_backend() != "cpu":
        print("PyTorch is compared on the CPU only", file=sys.stderr)
    else:
        try:
            cases["PyTorch eager"] = _torch_epoch(inputs, labels)
            baseline = "PyTorch eager"
        except ImportError:
            print(
                "PyTorch is missing (pip install 'robustjax[parity]')", file=sys.stderr
            )
    times = interleaved(cases, _ROUNDS.value, warmup=2)
    report("mlp_step", times, baseline, OUT_DIR.value, units=_STEPS.value)


if __name__ == "__main__":
    app.run(main)
