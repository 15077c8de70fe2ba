"""From options to the perceptron that verbs train."""

from __future__ import annotations

from robustjax import methods
from robustjax.tools.options.groups import MlpFlags, TrainingFlags


def classifier_settings(
    training: TrainingFlags, network: MlpFlags, examples: int
) -> methods.ClassifierSettings:
    """Settings for a training set of so many examples; no batch is larger.

    Args:
      training: options of the training.
      network: options of the perceptron.
      examples: of the smallest training set that there is.
    """
    return methods.ClassifierSettings(
        hidden=network.hidden,
        epochs=training.epochs,
        batch_size=min(training.batch_size, examples),
        learning_rate=training.learning_rate,
        dtype=network.dtype,
    )
