"""Co-teaching: two networks that pick each other's examples.

Han, Yao, Yu, Niu, Xu, Hu, Tsang, Sugiyama, "Co-teaching: Robust Training of Deep
Neural Networks with Extremely Noisy Labels", NeurIPS 2018. Networks learn right labels
before wrong ones, so the examples of small loss are likely right; a peer's picks do not
repeat a network's own mistakes.
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


def peer_weights(
    values: jax.Array, mask: jax.Array, keep: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """The examples that each network learns from: those of its peer's smallest loss.

    Args:
      values: (2, B) losses of the two networks.
      mask: (B,) bool, False on padding.
      keep: how many examples of the batch to keep.
      axis_name: the mapped device axis over which a batch is split, else None.

    Returns:
      (2, B) float32, 1 where the *other* network's value is among the `keep` smallest
      of the real examples.
    """
    first, second = (
        transforms.small_loss_weights(own, mask, keep, axis_name) for own in values
    )
    return jnp.stack([second, first])


def co_teaching(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    forget_rate: float,
    num_gradual: int = 10,
    exponent: float = 1.0,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Two networks, each trained on its peer's small-loss picks of every batch.

    Of B real examples each network picks the `int((1 - R) B)` of smallest
    cross-entropy, and the other one descends the mean over them. R grows from 0 to
    `forget_rate` over the first epochs; see `transforms.forget_rate_schedule`.

    Published settings: `forget_rate` is the share of wrong labels, assumed known
    (symmetric 0.2 or 0.5, pair flips 0.45); `co_teaching_optimizer()`, batches of 128,
    epochs 1 to 199, the nine-layer CNN, no augmentation and no normalisation. Reported
    is the mean test accuracy of the last ten epochs. Not meant for noise under which
    the losses of right and wrong labels overlap.

    Differences from the authors' code: it divides the mean over the kept examples by
    their number once more, which is nearly invisible under Adam and a much smaller
    learning rate under SGD; here it is the plain mean. It leaves out the last,
    incomplete batch of an epoch; here that batch is padded, and `int((1 - R) B)` is
    of its real examples.

    Args:
      model: a Linen classifier.
      optimizer: of both networks; elementwise, such as `co_teaching_optimizer()`.
      epochs: of training.
      forget_rate: the share of every batch that is dropped in the end, in [0, 1).
      num_gradual: T_k, the epochs over which the share grows.
      exponent: c, applied to the rate and not to the time; > 0.
      augment: `(key, inputs) -> inputs`, the same change for both networks; by
        default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase; parameters and `batch_stats` have a leading axis of two,
      and prediction is by network 1. Metrics: "loss" (mean of the two networks),
      "accuracy" (of network 1), "kept" (share of the batch).

    Raises:
      ValueError: a number outside its range.
    """
    schedule = transforms.forget_rate_schedule(forget_rate, num_gradual, exponent)

    def criterion(
        logits: jax.Array, terms: Terms, epoch: jax.Array, axis_name: str | None
    ) -> tuple[jax.Array, jax.Array]:
        values = jnp.stack([losses.cross_entropy(one, terms.labels) for one in logits])
        keep = transforms.num_kept(terms.mask, schedule(epoch), axis_name)
        weights = peer_weights(values, terms.mask, keep, axis_name)
        chosen = [
            terms.replace(value=v, weight=w, reduction=Reduction.WEIGHTED_MEAN)
            for v, w in zip(values, weights)
        ]
        return jnp.stack([transforms.reduce(t, axis_name) for t in chosen]), weights

    algorithm = trained_together(
        model, optimizer, criterion, augment=augment, preprocess=preprocess
    )
    return single_phase(algorithm, epochs)


def co_teaching_optimizer(
    steps_per_epoch: int,
    *,
    learning_rate: float = 1e-3,
    decay_from: int = 80,
    zero_at: int = 200,
    b1: float = 0.9,
    late_b1: float = 0.1,
) -> optax.GradientTransformation:
    """Adam as Co-teaching and JoCoR use it: both its rate and its momentum fall.

    With epochs counted from 1, the learning rate is constant before epoch
    `decay_from` and falls linearly, epoch by epoch, to 0 at epoch `zero_at` (the
    authors stop before it: they train epochs 1 to 199). From `decay_from` on, the
    decay rate of the first moment is `late_b1`.

    Published settings: as by default for MNIST and CIFAR-10; `decay_from=100` for
    CIFAR-100.

    Args:
      steps_per_epoch: batches per epoch.
      learning_rate: before the decay, > 0.
      decay_from: the first epoch of the decay, which still has the full rate.
      zero_at: the epoch at which the rate would reach 0; one more than the number
        of epochs to train.
      b1: the decay rate of the first moment before the decay, in [0, 1).
      late_b1: the same from there on.

    Returns:
      An optax transformation.

    Raises:
      ValueError: a number outside its range.
    """
    checks.at_least("steps_per_epoch", steps_per_epoch, 1)
    checks.in_range("learning_rate", learning_rate, 0, low_open=True)
    checks.at_least("decay_from", decay_from, 1)
    checks.at_least("zero_at", zero_at, decay_from + 1)
    checks.in_range("b1", b1, 0, 1, high_open=True)
    checks.in_range("late_b1", late_b1, 0, 1, high_open=True)

    def epoch(step: jax.Array) -> jax.Array:
        return step // steps_per_epoch + 1

    def rate(step: jax.Array) -> jax.Array:
        left = (zero_at - epoch(step)) / (zero_at - decay_from)
        return learning_rate * jnp.clip(left, 0.0, 1.0)

    def momentum(step: jax.Array) -> jax.Array:
        return jnp.where(epoch(step) < decay_from, b1, late_b1)

    return optax.inject_hyperparams(optax.adam)(learning_rate=rate, b1=momentum)
