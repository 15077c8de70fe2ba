"""JoCoR: two networks that are trained jointly on what both agree on.

Wei, Feng, Chen, An, "Combating Noisy Labels by Agreement: A Joint Training Method with
Co-Regularization", CVPR 2020. Where Co-teaching lets two networks disagree, here each
example's loss counts how much they do, and the examples of small joint loss, on which
both agree with the label and with each other, train both.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, losses, transforms
from robustjax.methods.label_noise._two_network_training import trained_together
from robustjax.training import Recipe, as_float, single_phase
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import Reduction, Terms


def symmetric_kl(first: jax.Array, second: jax.Array) -> jax.Array:
    """`KL(p1 || p2) + KL(p2 || p1)`, with gradients through both arguments.

    Args:
      first: (..., C) logits of p1.
      second: (..., C) logits of p2.

    Returns:
      (...) values in [0, inf), in float32.
    """
    log_p, log_q = (
        jax.nn.log_softmax(logits.astype(jnp.float32)) for logits in (first, second)
    )
    return jnp.sum((jnp.exp(log_p) - jnp.exp(log_q)) * (log_p - log_q), axis=-1)


def joint_loss(
    logits: jax.Array, labels: jax.Array, co_lambda: jax.Array | float
) -> jax.Array:
    """`(1 - lambda)(CE_1 + CE_2) + lambda (KL(p1 || p2) + KL(p2 || p1))`.

    Args:
      logits: (2, B, C) of the two networks.
      labels: (B,) integers or (B, C) distributions.
      co_lambda: lambda in [0, 1], possibly traced.

    Returns:
      (B,) losses.
    """
    first, second = logits
    supervised = losses.cross_entropy(first, labels) + losses.cross_entropy(
        second, labels
    )
    return (1 - co_lambda) * supervised + co_lambda * symmetric_kl(first, second)


def jocor(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    forget_rate: float,
    co_lambda: float = 0.9,
    num_gradual: int = 10,
    exponent: float = 1.0,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Two networks under one joint loss, trained on its small values of every batch.

    Of B real examples the `int((1 - R) B)` of smallest `joint_loss` are kept, one
    choice for both networks, and its mean over them is descended. R grows from 0 to
    `forget_rate` over the first epochs; see `transforms.forget_rate_schedule`.

    Published settings of lambda (the authors' repository, for its own CNN without
    normalised inputs; they expect others for other networks, from 0.5 to 0.9):

    | data | noise | lambda |
    |---|---|---|
    | CIFAR-10 | symmetric 0.2 and 0.5, asymmetric 0.4 | 0.9 |
    | CIFAR-10 | symmetric 0.8 | 0.65 |
    | CIFAR-100 | all | 0.85 |

    The default of its command line, 0.1, is none of these. `forget_rate` is the share
    of wrong labels, assumed known, but half of it for asymmetric noise.
    `co_teaching_optimizer()`, batches of 128, epochs 1 to 199, no augmentation; an
    epoch ends after 401 batches, which shortens those of MNIST. Reported is the mean
    test accuracy of both networks over the last ten epochs.

    Differences from the authors' code: it leaves out the last, incomplete batch of an
    epoch; here that batch is padded, and `int((1 - R) B)` is of its real examples.

    Args:
      model: a Linen classifier.
      optimizer: of both networks; elementwise, such as `co_teaching_optimizer()`.
      epochs: of training.
      forget_rate: the share of every batch that is dropped in the end, in [0, 1).
      co_lambda: lambda, the share of the agreement in the joint loss, in [0, 1].
      num_gradual: T_k, the epochs over which the dropped share grows.
      exponent: c, applied to the rate and not to the time; > 0.
      augment: `(key, inputs) -> inputs`, the same change for both networks; by
        default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase; parameters and `batch_stats` have a leading axis of two,
      and prediction is by network 1. Metrics: "loss" (the joint one), "accuracy" (of
      network 1), "kept" (share of the batch).

    Raises:
      ValueError: a number outside its range.
    """
    checks.in_range("co_lambda", co_lambda, 0, 1)
    schedule = transforms.forget_rate_schedule(forget_rate, num_gradual, exponent)

    def criterion(
        logits: jax.Array, terms: Terms, epoch: jax.Array, axis_name: str | None
    ) -> tuple[jax.Array, jax.Array]:
        values = joint_loss(logits, terms.labels, co_lambda)
        keep = transforms.num_kept(terms.mask, schedule(epoch), axis_name)
        weights = transforms.small_loss_weights(values, terms.mask, keep, axis_name)
        chosen = terms.replace(
            value=values, weight=weights, reduction=Reduction.WEIGHTED_MEAN
        )
        return transforms.reduce(chosen, axis_name)[None], weights[None]

    algorithm = trained_together(
        model, optimizer, criterion, augment=augment, preprocess=preprocess
    )
    return single_phase(algorithm, epochs)
