"""The warm-up on everything, and what it says of every example."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.pruning.programs import Programs
from experiments.studies.pruning.setup import Data
from experiments.study.journal import Cell
from robustjax import losses
from robustjax.tools.command.output import say
from robustjax.training import (
    StopRequest,
    fit,
    on_host,
    progress_bar,
)
from robustjax.transforms import LearningRecord, read_learning_record

EVALUATION = "evaluation"
_BLOCK = 1000
# Stands for a row of zeros, which has no direction; float16 can hold it.
_NO_DIRECTION = 1e-3


class Evaluation(NamedTuple):
    """What a warmed-up classifier says of all examples; N leads everywhere.

    Attributes:
      features: (N, d) float32, of the images as they are.
      probabilities: (N, C) float32, likewise.
      losses: (N,) cross-entropies of the given labels, likewise.
      forgetting: (N,) events during the warm-up.
      learned: (N,) bool, whether it was ever classified correctly in the warm-up.
      margin: (N,) area under the margin over the warm-up.
      view_features: (N, d), what Prune4ReL gets: of strong views, or in half
        precision, if asked for.
      view_probabilities: (N, C), likewise.
    """

    features: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray
    forgetting: np.ndarray
    learned: np.ndarray
    margin: np.ndarray
    view_features: np.ndarray
    view_probabilities: np.ndarray


# The views are stored only where they differ.
_VIEWS = {"view_features": "features", "view_probabilities": "probabilities"}


def warm_up(
    task: Data, programs: Programs, repeat: int, cell: Cell, stop: StopRequest
) -> Evaluation:
    """Trains on everything and evaluates, or reads what an earlier run has stored.

    Args:
      task: data and labels.
      programs: of the study.
      repeat: its number.
      cell: gets a record per epoch, and what is found.
      stop: checked after every epoch.
    """
    if not cell.finished:
        found = _run(task, programs, repeat, cell, stop)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **found)
        cell.attach(EVALUATION, "evaluation.npz", content.getvalue())
        cell.finish()
    ((_, raw),) = cell.attached(EVALUATION)
    with np.load(io.BytesIO(raw)) as file:
        arrays: dict[str, np.ndarray] = dict(file)
    half = task.config.half_precision
    for view, plain in _VIEWS.items():
        array = arrays[view if view in arrays else plain]
        # Rounded, and from then on computed with as the rest is.
        arrays[view] = array.astype(np.float16).astype(np.float32) if half else array
    return Evaluation(**arrays)


def _run(
    task: Data, programs: Programs, repeat: int, cell: Cell, stop: StopRequest
) -> Mapping[str, np.ndarray]:
    config = task.config
    name = f"warm-up {repeat + 1}/{config.repeats}"
    inputs, test = task.on_device(task.train.inputs), jnp.asarray(task.test.inputs)
    key = task.repeat_keys[repeat]
    every = config.checkpoint_every_epochs
    if not every:
        cell.rewind(0)
    with progress_bar(config.warmup_epochs, name, unit="epoch") as bar:

        def report(epoch: int, metrics: dict[str, np.ndarray]) -> None:
            means: dict[str, Any] = {k: float(v.mean()) for k, v in metrics.items()}
            cell.write("warmup", step=epoch, repeat=repeat, epoch=epoch, **means)
            bar.update(epoch + 1 - bar.n)

        state = fit(
            programs.warmup,
            programs.warmup.init(key[None], inputs),
            programs.warmup.make_data(inputs, task.given[repeat][None]),
            epochs=config.warmup_epochs,
            report=report,
            stop=stop,
            checkpoints=cell.checkpoints if every else None,
            checkpoint_every_epochs=every or config.warmup_epochs,
        )
    accuracy = (programs.predict_warmup(state, test) == task.test.labels).mean()
    say(f"{name}: test accuracy {100 * accuracy:.1f} %")
    record = _record(state.loss_state.rows[-1], len(task.train))
    features, probabilities = _embed(task, programs, state, None)
    given = jax.device_put(task.given[repeat])
    found = {
        "features": features,
        "probabilities": probabilities,
        # Of logarithms of probabilities the cross-entropy is that of the logits.
        "losses": losses.cross_entropy(jnp.log(probabilities + 1e-30), given),
        "forgetting": record.forgetting,
        "learned": record.learned,
        "margin": record.margin,
    }
    if programs.strong is not None:
        # `init` splits the key in two, which is folding in 0 and 1.
        view_key = jax.random.fold_in(key, 4)
        views = _embed(task, programs, state, view_key)
        found |= dict(zip(_VIEWS, views))
    # Of several processes each has a part of the rows.
    whole: Mapping[str, np.ndarray] = on_host(found)
    return whole


@functools.partial(jax.jit, static_argnums=1)
def _record(rows: Any, num_examples: int) -> LearningRecord:
    """Of the only repeat."""
    first = jax.tree.map(lambda leaf: leaf[0], rows)
    return read_learning_record(first, num_examples)


def _embed(
    task: Data, programs: Programs, state: Any, key: jax.Array | None
) -> tuple[np.ndarray, np.ndarray]:
    """Features and probabilities of all images, of strong views if there is a key."""
    inputs, size = task.train.inputs, len(task.train)
    block = min(_BLOCK, size)
    strong = None if programs.strong is None else jax.jit(programs.strong)
    parts = []
    for number, start in enumerate(range(0, size, block)):
        # The last block begins earlier, so that all have one shape.
        begin = min(start, size - block)
        images = jax.device_put(inputs[begin : begin + block])
        if key is not None and strong is not None:
            images = strong(jax.random.fold_in(key, number), images)
        found = programs.embed(state, images)
        parts.append([np.asarray(array)[start - begin :] for array in found])
    features, probabilities = (np.concatenate(each) for each in zip(*parts))
    empty = ~features.any(axis=1)
    if empty.any():
        say(f"{empty.sum()} example(s) have features of zeros only")
        features[empty] = _NO_DIRECTION
    return features, probabilities
