"""What a training decided about every example, read from its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.study.journal import Cell
from robustjax.training import RecipeProgram, Stream, TrainState, on_host

_CHUNK = 4000


def state_columns(rows: Any, labels: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """The per-example memory of a method as a number per example.

    Of a row per class, such as ELR's target, the entry of the given label (named
    `..._of_given`); of several numbers, such as those of two networks, the mean.

    Args:
      rows: the rows of a loss state, leaves (R, N_padded, ...).
      labels: (R, N) given labels.
      classes: C.

    Returns:
      Name -> (R, N) float64.
    """
    count = labels.shape[1]
    found: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(on_host(rows)):
        if leaf.ndim not in (2, 3) or leaf.shape[1] < count:
            continue
        keys = [str(part.key) for part in path if hasattr(part, "key")]
        name = keys[-1] if keys else "memory"
        values = np.asarray(leaf[:, :count], np.float64)
        # The probability of two networks has as many columns as two classes have.
        if values.ndim == 3 and values.shape[2] == classes and "probab" not in name:
            values = np.take_along_axis(values, labels[..., None], axis=2)
            name = f"{name}_of_given"
        if values.ndim == 3:
            values = values.mean(axis=2)
        while name in found:
            name = f"{name}_too"
        found[name] = values
    return found


def given_probability(
    program: RecipeProgram,
    state: TrainState,
    inputs: jax.Array | Stream,
    labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What the trained networks say of their training examples.

    Args:
      program: that predicts.
      state: of R repeats.
      inputs: (N, ...) on the device, or streamed.
      labels: (R, N) given labels.

    Returns:
      (R, N) int64 predicted classes, and (R, N) float64 probabilities of the given
      labels.
    """
    count = labels.shape[1]
    size = min(_CHUNK, count)
    predicted, probability = [], []
    for first in range(0, count, size):
        # All chunks have one shape, and need one compilation: the last overlaps.
        begin = min(first, count - size)
        # Of several processes, each reads its own rows of a stream.
        some = (
            inputs.part(begin, size)
            if isinstance(inputs, Stream)
            else jnp.asarray(inputs[begin : begin + size])
        )
        logits = program.predict(state, some)
        shares = np.asarray(jax.nn.softmax(logits.astype(jnp.float32), axis=-1))
        own = np.take_along_axis(shares, labels[:, begin : begin + size, None], axis=2)[
            ..., 0
        ]
        predicted.append(shares.argmax(axis=2)[:, first - begin :])
        probability.append(own[:, first - begin :].astype(np.float64))
    return np.concatenate(predicted, axis=1), np.concatenate(probability, axis=1)


class Known(NamedTuple):
    """What all methods know of examples before anything trains.

    Attributes:
      keys: what tells a row of the same id from others, such as {"repeat": 0}.
      ids: (N,) of the examples.
      columns: name -> (N,).
    """

    keys: Mapping[str, Any]
    ids: np.ndarray
    columns: Mapping[str, np.ndarray]


def known_labels(ids: np.ndarray, given: np.ndarray, true: np.ndarray) -> list[Known]:
    """The given and the true labels of all repeats.

    Args:
      ids: (N,) of the examples.
      given: (R, N) labels that are trained on.
      true: (N,) right labels.
    """
    return [
        Known({"repeat": repeat}, ids, {"given": labels, "true": true})
        for repeat, labels in enumerate(given)
    ]


def keep_known(cell: Cell, known: Iterable[Known]) -> None:
    """Keeps what is known of examples, once in a run, for `examples.csv`."""
    if cell.finished:
        return
    cell.rewind(0)
    for each in known:
        cell.keep("", each.ids, each.keys, **each.columns)
    cell.finish()
