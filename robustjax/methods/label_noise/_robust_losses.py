"""Methods that are a loss and nothing else: a chain of loss transforms.

Each is trained by `robust_loss`, as in
`robust_loss(model, optimizer, ROBUST_LOSSES["gce"](q=0.7), epochs=120)`. Published
settings, with SGD, momentum 0.9 and batches of 128 ("drop" is a tenth of the rate):

- gce (Zhang and Sabuncu, 2018): q 0.7.
- truncated_gce (the same): q 0.7, k 0.5, ResNet-34, rate 0.01, weight decay 1e-4.
  CIFAR-10: drops at 40 and 80 of 120 epochs. CIFAR-100: at 80 and 120 of 150. Public
  code first chooses the examples of the 40th (80th) epoch, which is start_epoch 39 (79)
  here, and anew at every tenth, by the network that is best on the *test* set; here at
  every epoch, by the current one.
- symmetric_ce (Wang et al., 2019): (alpha, beta) = (0.1, 1) for CIFAR-10, (6, 0.1)
  for CIFAR-100.
- active_passive (Ma et al., 2020): (alpha, beta) = (1, 1) for CIFAR-10 with nce and rce
  or nce and mae; for CIFAR-100 (10, 0.1) with nce or nfl and rce, (10, 1) with nce and
  mae; (50, 0.1) for mini-WebVision with nce and rce. gamma 0.5; q 0.1 with ngce and
  rce. Gradients clipped to norm 5, cosine to 0. CIFAR-10: 8-layer CNN, rate 0.01,
  weight decay 1e-4, 120 epochs; CIFAR-100: rate 0.1, weight decay 1e-5, 200 epochs.
- bootstrap (Reed et al., 2015): beta 0.95, or 0.8 with hard=True.
- label_smoothing: smoothing 0.1.
- elr (Liu et al., 2020): ResNet-34, rate 0.02, weight decay 1e-3. (strength, decay) =
  (3, 0.7) for symmetric noise on CIFAR-10, 150 epochs of a cosine to 1e-3 restarted
  every 10; (1, 0.9) for asymmetric noise, 120 epochs, rate / 100 at 40 and 80; (7,
  0.9) for CIFAR-100, 150 epochs, rate / 100 at 80 and 120.
- sop (Liu et al., 2022): ResNet-34, (lr_u, lr_v) = (10, 10) for CIFAR-10, (10, 100)
  with asymmetric noise; (1, 10) and (1, 100) for CIFAR-100. Times B / 128 for batches
  of B.
- clean_probability (Li et al., 2020): start_epoch 10, as DivideMix's warm-up.
- small_loss: forget_rate is the share of wrong labels, reached after 10 epochs.
"""

from __future__ import annotations

import flax.linen as nn
import optax

from robustjax import transforms
from robustjax.training import Recipe, as_float, single_phase, supervised
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import LossTransform
from robustjax.transforms import _label_rewriting as rewriting


def robust_loss(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    transform: LossTransform,
    *,
    epochs: int,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Plain training with another loss.

    Args:
      model: a Linen classifier.
      optimizer: any optax transformation.
      transform: a chain with a head, such as one of `ROBUST_LOSSES`.
      epochs: of training.
      augment: `(key, inputs) -> inputs`, random changes in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase; see `training.supervised`.
    """
    algorithm = supervised(
        model, transform, optimizer, augment=augment, preprocess=preprocess
    )
    return single_phase(algorithm, epochs)


def label_smoothing(smoothing: float = 0.1) -> LossTransform:
    """Cross-entropy under smoothed labels; see `transforms.label_smoothing`."""
    return transforms.chain(rewriting.label_smoothing(smoothing), transforms.ce())


def elr(strength: float = 3.0, decay: float = 0.7) -> LossTransform:
    """Cross-entropy with early-learning regularisation; see `transforms.elr`."""
    return transforms.chain(transforms.ce(), transforms.elr(strength, decay))


def small_loss(
    forget_rate: float, num_gradual: int = 10, exponent: float = 1.0
) -> LossTransform:
    """Cross-entropy of the examples of small loss; see `transforms.small_loss`.

    Args:
      forget_rate: the share of every batch that is dropped in the end, in [0, 1): the
        assumed share of wrong labels.
      num_gradual: the epochs over which the share grows.
      exponent: see `transforms.forget_rate_schedule`.
    """
    schedule = transforms.forget_rate_schedule(forget_rate, num_gradual, exponent)
    return transforms.chain(transforms.ce(), transforms.small_loss(schedule))


def clean_probability(start_epoch: int = 10, average_epochs: int = 1) -> LossTransform:
    """Cross-entropy weighted by the mixture's probability that a label is right.

    Args:
      start_epoch: see `transforms.clean_probability`.
      average_epochs: see `transforms.clean_probability`.
    """
    weights = transforms.clean_probability(start_epoch, average_epochs=average_epochs)
    return transforms.chain(weights, transforms.ce())
