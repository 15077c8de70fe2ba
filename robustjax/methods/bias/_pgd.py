"""PGD: draw examples by the gradient that they have in a biased network.

Ahn, Kim, Yun, "Mitigating Dataset Bias by Using Per-sample Gradient", ICLR 2023.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks
from robustjax.methods.bias._plain import GceForm, gce_head
from robustjax.methods.bias._two_stages import Evaluate, Use, two_stages
from robustjax.scores._gradient_norms import last_layer_grand
from robustjax.training import Algorithm, Recipe, apply_prediction, as_float
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import Reduction

# The authors' least norm.
_LEAST = 1e-8


def pgd(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    biased_epochs: int | None = None,
    q: float = 0.7,
    form: GceForm = "reweighted",
    order: float = 2.0,
    by: Use = "draws",
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """A biased training, then one on draws by last-layer gradient norms.

    The first training minimises the generalised cross-entropy. Then every example has
    the entrywise r-norm of the gradient that its plain cross-entropy has in the weights
    (not the biases) of the last layer, `||p - 1_y||_r ||f||_r`, in prediction mode. The
    second training goes on from the same parameters, with a fresh optimiser and
    cross-entropy, on independent draws in proportion to the norms.

    Published: Colored MNIST with `models.FourByFourCNN`, SGD with momentum 0.9, weight
    decay 1e-3, rate 0.02 (a tenth every 40 epochs), batches of 128, 100 epochs each.

    Differences from the authors' code: r is 2 by default (theirs is 0.7; the paper
    compares 1, 2 and infinity); scores are of images that were not augmented; the last
    weights are kept (theirs are those of least loss on a validation set with the
    training set's bias).

    Args:
      model: a Linen classifier with a method `features`, the inputs of its last layer.
      optimizer: of both trainings.
      epochs: of both together, at least 2.
      biased_epochs: of the first; by default half of them.
      q: of the first loss, in (0, 1].
      form: of that loss, see `gce_head`; with SGD its gradient is q times the
        textbook's.
      order: r > 0 of the norm; "inf" is the largest entry's.
      by: whether examples are drawn in proportion to the norm, "draws", as published,
        or their cross-entropy is multiplied by N times their probability, "weights".
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of two stages. The rows ["weight"]["weight"] are N times the
      probabilities. Metrics: "loss", "accuracy".

    Raises:
      ValueError: a number outside its range, too few epochs, an unknown name, or a
        model without `features`.
    """
    checks.at_least("epochs", epochs, 2)
    checks.in_range("order", order, 0, low_open=True)
    if biased_epochs is None:
        biased_epochs = epochs // 2
    checks.at_least("biased_epochs", biased_epochs, 1)
    if not callable(getattr(type(model), "features", None)):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with a method 'features'"
        )

    def evaluate(algorithm: Algorithm) -> Evaluate:
        def outputs(params: Any, model_state: Any, inputs: jax.Array) -> Any:
            # One pass: what both have in common is computed once.
            features = apply_prediction(
                model, params, model_state, preprocess(inputs), method="features"
            )
            return algorithm.predict(params, model_state, inputs), features

        return outputs

    def score(outputs: Any, labels: jax.Array, real: jax.Array) -> jax.Array:
        logits, features = outputs
        p = jax.nn.softmax(logits.astype(jnp.float32))
        norm = last_layer_grand(features, p, labels, bias=False, order=order)
        norm = jnp.where(real, jnp.maximum(norm, _LEAST), 0.0)
        return norm * jnp.sum(real) / jnp.sum(norm)

    return two_stages(
        model,
        optimizer,
        first_loss=gce_head(q, form),
        first_epochs=biased_epochs,
        epochs=epochs,
        evaluate=evaluate,
        score=score,
        restart=False,
        use=by,
        reduction=Reduction.MEAN,
        augment=augment,
        preprocess=preprocess,
    )
