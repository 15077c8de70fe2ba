"""A classifier that learns where labels are noisy, from their inputs.

Collier, Mustafa, Kokiopoulou, Jenatton, Berent, "Correlated Input-Dependent Label Noise
in Large-Scale Image Classification", CVPR 2021: the logits get Gaussian noise whose
covariance depends on the input, and the cross-entropy is under the mean of the softmax
over draws. See `models.HeteroscedasticHead`.
"""

from __future__ import annotations

import flax.linen as nn
import optax

from robustjax import checks, transforms
from robustjax.methods.label_noise._robust_losses import robust_loss
from robustjax.models._heteroscedastic import (
    HeteroscedasticClassifier,
    HeteroscedasticHead,
)
from robustjax.training import Recipe, as_float
from robustjax.training._supervised import Augment, Preprocess


def heteroscedastic(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
    rank: int = 6,
    temperature: float = 1.3,
    temperature_range: tuple[float, float] | None = None,
    num_samples: int = 10_000,
    chunk: int = 500,
    minimum: float = 1e-5,
    parameter_efficient: bool = False,
) -> Recipe:
    """Cross-entropy of a network whose head is replaced by a heteroscedastic one.

    Published settings (the temperature is chosen on validation data): CIFAR, CIFAR-10N
    and CIFAR-100N as by default, with Wide ResNet 28-10, Nesterov momentum 0.9, a
    learning rate of 0.1 for batches of 128, times 0.2 at epochs 60, 120 and 160 of 200
    after one epoch of linear growth, and an L2 penalty of 2e-4. ImageNet: `rank=15,
    temperature=1.5, num_samples=5000`, ResNet-50, 180 epochs, 1e-4. Learned
    temperatures: ranges (0.3, 3) for ImageNet, or (0.05, 5).

    Differences from the authors' code: their JAX layer draws one number per sample for
    the diagonal part of the noise, here (and in their TensorFlow layer) it is one per
    class.

    Args:
      model: a Linen classifier with `num_classes` and `features`, such as those of
        `robustjax.models`; its own head is not used.
      optimizer: any optax transformation.
      epochs: of training.
      augment: `(key, inputs) -> inputs`, random changes in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.
      rank: see `models.HeteroscedasticHead`, as the rest.
      temperature: see there.
      temperature_range: see there.
      num_samples: see there.
      chunk: see there.
      minimum: see there.
      parameter_efficient: see there.

    Returns:
      A recipe of one phase; predictions are log mean probabilities. See
      `training.supervised`.

    Raises:
      ValueError: a number outside its range, a temperature that is learned as well,
        or a model without features.
    """
    if temperature_range is not None:
        why = f"with temperature_range={temperature_range}, in which it is learned"
        checks.no_effect("temperature", temperature, 1.3, why)
    num_classes = getattr(model, "num_classes", None)
    if num_classes is None or not hasattr(model, "features"):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with num_classes and "
            "features"
        )
    head = HeteroscedasticHead(
        num_classes,
        rank=rank,
        parameter_efficient=parameter_efficient,
        temperature=temperature,
        temperature_range=temperature_range,
        num_samples=num_samples,
        chunk=chunk,
        minimum=minimum,
    )
    return robust_loss(
        HeteroscedasticClassifier(model, head),
        optimizer,
        transforms.ce(),
        epochs=epochs,
        augment=augment,
        preprocess=preprocess,
    )
