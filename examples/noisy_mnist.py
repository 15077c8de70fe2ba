"""What the examples share: MNIST with wrong labels, batches, and a comparison with CE.

None of this is needed to use robustjax; the loops are in the other files.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import robustjax as rj
from robustjax import corruption, data

Predict = Callable[[Any], Any]
"""`images (M, 28, 28, 1) -> logits (M, 10)`."""
Train = Callable[..., tuple[Predict, rj.LossState]]
"""`(tx, images, labels, *, epochs, seed) -> (predict, the last state of tx)`."""


def batches(
    rng: np.random.Generator, num_examples: int, batch_size: int
) -> Iterator[np.ndarray]:
    """One epoch of (B,) int32 example numbers in random order; the rest is dropped."""
    order = rng.permutation(num_examples).astype(np.int32)
    for first in range(0, num_examples - batch_size + 1, batch_size):
        yield order[first : first + batch_size]


def load(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28, 1) float32 in [0, 1] and true labels (N,) int32 of MNIST."""
    root = os.environ.get("ROBUSTJAX_DATA")
    folder = None if root is None else os.path.join(root, "tfds")
    mnist = data.load("mnist", split, data_dir=folder)
    return mnist.inputs.astype(np.float32) / 255.0, mnist.labels


def accuracy(predict: Predict, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest logit is at the label."""
    parts = [np.asarray(predict(part)) for part in np.split(images, 10)]
    return float((np.concatenate(parts).argmax(1) == labels).mean())


def compare(
    name: str,
    train: Train,
    losses: Mapping[str, rj.LossTransform],
    argv: list[str] | None = None,
) -> dict[str, list[float]]:
    """Trains under every loss and seed on 50 % symmetric noise, and prints accuracies.

    Args:
      name: of the example.
      train: its loop.
      losses: the chains to compare by name, cross-entropy first.
      argv: of the command line.

    Returns:
      Loss -> test accuracy of every seed.
    """
    parser = argparse.ArgumentParser(description=f"{name} on noisy MNIST")
    parser.add_argument("--examples", type=int, default=5000, help="training images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--csv", type=pathlib.Path, help="where accuracies go")
    options = parser.parse_args(argv)

    images, true = load(f"train[:{options.examples}]")
    test_images, test_labels = load("test")
    found: dict[str, list[float]] = {loss: [] for loss in losses}
    for seed in range(options.seeds):
        noisy = corruption.symmetric(
            jax.random.key(seed), jnp.asarray(true), 0.5, 10, include_true=False
        )
        given = np.asarray(noisy.labels)
        for loss, tx in losses.items():
            predict, _ = train(tx, images, given, epochs=options.epochs, seed=seed)
            reached = accuracy(predict, test_images, test_labels)
            found[loss].append(reached)
            print(f"{name}  seed {seed}  {loss}: {100 * reached:.2f} %", flush=True)
    for loss, values in found.items():
        spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
        print(f"{name}  {loss}: {100 * np.mean(values):.1f} ± {100 * spread:.1f} %")
    if options.csv is not None:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("example", "loss", "seed", "accuracy"))
            for loss, values in found.items():
                for seed, value in enumerate(values):
                    writer.writerow((name, loss, seed, f"{value:.4f}"))
    return found
