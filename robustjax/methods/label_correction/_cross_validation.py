"""Out-of-sample predictions for every example, by cross-validated training.

What label-quality scores and confident learning need: a network that was trained on an
example's label repeats it, right or wrong.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks, data, transforms
from robustjax.methods.label_correction._round_training import (
    ClassifierSettings,
    EpochReport,
    with_given_weights,
)
from robustjax.models import MLP
from robustjax.training import (
    Algorithm,
    Execution,
    Program,
    StopRequest,
    TrainState,
    choose_execution,
    fit,
    supervised,
)
from robustjax.transforms import ExampleSpec

_KIND = "cross-validation"
# Rows whose logits of all folds are held at a time.
_CHUNK = 16_384


def stratified_folds(
    labels: Any, folds: int, key: jax.Array, *, num_classes: int | None = None
) -> np.ndarray:
    """Divides examples at random into folds that are alike.

    Args:
      labels: (N,) integers in 0 … C-1.
      folds: K, 2 … N.
      key: PRNG key.
      num_classes: C; by default the largest label plus one.

    Returns:
      (N,) int32 in 0 … K-1. Sizes of folds, and their counts of any class, differ by
      at most one.

    Raises:
      ValueError: labels that are none, or a number of folds out of range.
    """
    given = checks.labels("labels", labels, num_classes)
    checks.at_least("folds", folds, 2)
    if folds > len(given):
        raise ValueError(
            f"folds: got {folds}, expected at most the number of examples, {len(given)}"
        )
    shuffled = np.asarray(jax.random.permutation(key, len(given)))
    # Dealt out class by class, going on where the class before has ended.
    dealt = shuffled[np.argsort(given[shuffled], kind="stable")]
    found = np.empty(len(given), np.int32)
    found[dealt] = np.arange(len(given)) % folds
    return found


def cross_validated_probabilities(
    examples: data.Dataset | tuple[Any, Any],
    *,
    key: jax.Array,
    folds: int | Any = 5,
    settings: ClassifierSettings | None = None,
    model: nn.Module | None = None,
    execution: Execution | None = None,
    on_epoch: EpochReport | None = None,
    stop: StopRequest | None = None,
) -> np.ndarray:
    """Predicts every example by a network that has not seen it.

    All folds train at once, as repeats of one compiled program that share the inputs.
    The epochs of a fold run through its own training examples only; held-out ones
    enter neither its loss nor its batch statistics. (The last batch of an epoch is
    padded: a model with BatchNorm must take the `mask`, as those of
    `robustjax.models` do, or padding will count there.)

    Args:
      examples: a data set, or (inputs (N, ...), labels (N,)) as for
        `data.make_dataset`.
      key: PRNG key, of folds and training.
      folds: the number K of stratified folds, or (N,) integers in 0 … K-1, every one
        of which occurs: which fold each example is held out with (say, near-duplicates
        together).
      settings: of the training; by default those of `ClassifierSettings`, with batches
        no larger than the training sets.
      model: a Linen classifier; by default an `MLP` of the settings' widths.
      execution: how to run it; by default, a model of one's own that gets images is
        taken for a convolutional one.
      on_epoch: called with "cross-validation", the epoch and its metrics, (K,) each.
      stop: checked after every epoch.

    Returns:
      (N, C) float32 probabilities, row i of example i.

    Raises:
      ValueError: examples or folds that are none, or batches larger than the training
        sets.
    """
    if not isinstance(examples, data.Dataset):
        examples = data.make_dataset(*examples)
    split_key, train_key = jax.random.split(key)
    if isinstance(folds, int | np.integer):
        fold_of = stratified_folds(examples.labels, int(folds), split_key)
    else:
        fold_of = checks.labels("folds", folds, need_every_class=True)
        checks.same_length(folds=fold_of, labels=examples.labels)
    sizes = np.bincount(fold_of)
    checks.at_least("folds", len(sizes), 2)
    largest = len(examples) - int(sizes.min())
    if settings is None:
        settings = ClassifierSettings(
            batch_size=min(ClassifierSettings.batch_size, largest)
        )
    settings.check(largest)
    inputs = arrays.resolved("inputs", examples.inputs)
    steps = -(-largest // settings.batch_size)
    algorithm = supervised(
        model or MLP(examples.num_classes, settings.hidden),
        transforms.chain(transforms.given_weights(), transforms.ce()),
        settings.optimizer(settings.schedule(steps)),
    )
    program = Program(
        _without_held_out(algorithm, steps),
        ExampleSpec(len(examples), examples.num_classes),
        batch_size=settings.batch_size,
        execution=execution
        or choose_execution(convolutional=model is not None and inputs.ndim == 4),
    )
    # Row k: 1 for the examples that network k is trained on.
    seen = jnp.asarray(fold_of[None] != np.arange(len(sizes))[:, None], jnp.float32)
    state = program.init(jax.random.split(train_key, len(sizes)), inputs)
    state = fit(
        program,
        with_given_weights(state, seen),
        program.make_data(inputs, np.tile(examples.labels, (len(sizes), 1))),
        epochs=settings.epochs,
        report=None
        if on_epoch is None
        else lambda epoch, metrics: on_epoch(_KIND, epoch, metrics),
        stop=stop,
    )
    return _predict_held_out(program, state, inputs, fold_of)


def _without_held_out(algorithm: Algorithm, steps: int) -> Algorithm:
    """An algorithm whose epochs leave out examples of weight 0.

    They weigh nothing in the loss anyway; but left in, they would still enter the
    statistics of BatchNorm and take their part of the time.
    """

    def order(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        shuffled = jax.random.permutation(key, num_examples)
        seen = state.loss_state.rows[0]["weight"][shuffled] > 0
        (places,) = jnp.nonzero(seen, size=steps * batch_size, fill_value=num_examples)
        chosen = shuffled.at[places].get(mode="fill", fill_value=padding_index)
        return chosen.reshape(steps, batch_size).astype(jnp.int32)

    return algorithm._replace(order=order)


def _predict_held_out(
    program: Program, state: TrainState, inputs: jax.Array, fold_of: np.ndarray
) -> np.ndarray:
    """(N, C) probabilities, each row by the network of its fold."""
    found = []
    for begin in range(0, len(fold_of), _CHUNK):
        mine = fold_of[begin : begin + _CHUNK]
        logits = program.predict(state, inputs[begin : begin + _CHUNK])
        found.append(jax.nn.softmax(logits[mine, np.arange(len(mine))], axis=-1))
    return np.concatenate(jax.device_get(found)).astype(np.float32)
