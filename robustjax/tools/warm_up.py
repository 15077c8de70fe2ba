"""What pruning rules want to know of a data set, from one short training on it."""

from __future__ import annotations

from collections.abc import Collection

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import data, transforms
from robustjax.methods.label_correction import RoundTrainer
from robustjax.selection import PRUNING_METHODS
from robustjax.tools.classifier_settings import classifier_settings
from robustjax.tools.options.keep import KeepConfig
from robustjax.training import (
    LateBar,
    StopRequest,
    apply_prediction,
    as_float,
)

TRAINED = ("features", "probabilities", "losses", "el2n", "forgetting", "learned")
"""What `warm_up` can tell."""


def missing_inputs(method: str, there: Collection[str]) -> tuple[str, ...]:
    """What has to be trained for a method.

    Args:
      method: one of `selection.PRUNING_METHODS`.
      there: the names of the inputs that there are.

    Returns:
      Names of `TRAINED`; none where what is there suffices.
    """
    known = set(there)
    needs = [set(each) for each in PRUNING_METHODS[method].needs]
    if any(each <= known for each in needs):
        return ()
    chosen = next(each for each in needs if each <= known | set(TRAINED))
    if "forgetting" in chosen:
        chosen = chosen | {"learned"}
    return tuple(name for name in TRAINED if name in chosen - known)


def warm_up(
    config: KeepConfig, dataset: data.Dataset, stop: StopRequest
) -> dict[str, np.ndarray]:
    """Trains a perceptron on the given labels, and records how they are learned.

    Args:
      config: with the options of the network and of the training.
      dataset: with the labels as they are.
      stop: checked after every epoch.

    Returns:
      Each of `TRAINED`: features (N, d) of the last hidden layer and probabilities
      (N, C) in the end; of the training visits, means of losses and error norms (N,),
      forgetting events (N,) and whether an example was ever correct (N,).

    Raises:
      ValueError: an option that is out of range.
    """
    if config.standardize:
        (dataset,) = data.standardize(dataset)
    with LateBar("warm-up", unit="epoch") as bar:
        trainer = RoundTrainer(
            dataset.inputs,
            dataset.num_classes,
            classifier_settings(config, config, len(dataset)),
            on_epoch=lambda kind, epoch, metrics: bar.advance(config.epochs),
            stop=stop,
        )
        fitted = trainer.fit(
            "warm-up",
            lambda: transforms.chain(transforms.ce(), transforms.learning_record()),
            jnp.asarray(dataset.labels)[None],
            jax.random.key(config.seed)[None],
        )
    rows = fitted.state.loss_state.rows[-1]
    record = transforms.read_learning_record(rows, len(dataset))
    variables = fitted.variables
    params, model_state = jax.tree.map(
        lambda leaf: leaf[0], (variables.params, variables.model_state)
    )
    features = apply_prediction(
        trainer.model,
        params,
        model_state,
        as_float(trainer.inputs),
        method="features",
    )
    found = {
        "features": features,
        "probabilities": jax.nn.softmax(fitted.logits(trainer.inputs)[0]),
        "losses": record.loss[0],
        "el2n": record.el2n[0],
        "forgetting": record.forgetting[0],
        "learned": record.learned[0],
    }
    return {name: np.asarray(array) for name, array in found.items()}
