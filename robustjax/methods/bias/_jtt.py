"""JTT: train briefly, count what went wrong several times, train again.

Liu, Haghgoo, Chen, Raghunathan, Koh, Sagawa, Liang, Finn, "Just Train Twice: Improving
Group Robustness without Training Group Information", ICML 2021.
"""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, transforms
from robustjax.methods.bias._plain import gce_head
from robustjax.methods.bias._two_stages import Use, two_stages
from robustjax.training import Recipe, as_float
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import Reduction

_LOSSES = {"ce": transforms.ce(), "gce": gce_head(0.7, "reweighted")}


def jtt(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    identification_epochs: int = 1,
    factor: float = 21.0,
    by: Use = "draws",
    identification_loss: Literal["ce", "gce"] = "ce",
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Plain training twice; errors of the first count `factor` times in the second.

    After `identification_epochs` the error set is what the network gets wrong in
    prediction mode, without augmentation. A fresh network with a fresh optimiser is
    then trained with cross-entropy, an example of the error set being `factor` times
    as frequent (or as heavy) as another.

    Published: the authors append `lambda_up` copies of every error, so that
    `factor = 1 + lambda_up`; they tried 20, 50 and 100, and chose both that and the
    number of epochs by the worst group of a validation set with labels of the groups.
    Their epochs grow with the copies; here an epoch has as many steps as without.

    Args:
      model: a Linen classifier.
      optimizer: of both trainings.
      epochs: of both together, more than `identification_epochs`.
      identification_epochs: T of the first training, >= 1.
      factor: >= 0; 1 trains twice for nothing.
      by: whether an error is drawn more often, "draws", as published, or counts more,
        "weights": a mean over the weights.
      identification_loss: of the first training: "ce", as published, or "gce" with
        q = 0.7, which makes errors of what contradicts a bias.
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of two stages; see `two_stages` for the rows of weights. Metrics: "loss",
      "accuracy".

    Raises:
      ValueError: a number outside its range, too few epochs, or an unknown name.
    """
    checks.at_least("identification_epochs", identification_epochs, 1)
    checks.in_range("factor", factor, 0)
    checks.one_of("identification_loss", identification_loss, _LOSSES)

    def score(logits: Any, labels: jax.Array, real: jax.Array) -> jax.Array:
        del real
        return jnp.where(jnp.argmax(logits, axis=-1) != labels, factor, 1.0)

    return two_stages(
        model,
        optimizer,
        first_loss=_LOSSES[identification_loss],
        first_epochs=identification_epochs,
        epochs=epochs,
        evaluate=lambda algorithm: algorithm.predict,
        score=score,
        restart=True,
        use=by,
        reduction=Reduction.WEIGHTED_MEAN,
        augment=augment,
        preprocess=preprocess,
    )
