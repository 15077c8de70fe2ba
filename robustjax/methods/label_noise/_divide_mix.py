"""DivideMix: labels that look wrong are dropped, and learning is semi-supervised.

Li, Socher, Hoi, "DivideMix: Learning with Noisy Labels as Semi-supervised Learning",
ICLR 2020. Two networks. After every epoch a mixture of two Gaussians on a network's
losses tells which labels are likely right; with that division its peer is trained by
MixMatch, so that neither confirms its own mistakes.
"""

from __future__ import annotations

import flax.linen as nn
import optax

from robustjax import checks
from robustjax.methods._semi_supervised import check_mixing
from robustjax.methods.label_noise._divide_mix_phases import DivideMixPhases
from robustjax.methods.label_noise._two_networks import own_orders
from robustjax.training import Algorithm, Phase, Recipe, as_float, no_epoch
from robustjax.training._supervised import Augment, Preprocess


def divide_mix(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int = 300,
    warmup_epochs: int = 10,
    lambda_u: float = 25.0,
    threshold: float = 0.5,
    temperature: float = 0.5,
    alpha: float = 4.0,
    num_views: int = 2,
    ramp_up_epochs: float = 16.0,
    prior_weight: float = 1.0,
    confidence_penalty: float = 0.0,
    average_epochs: int = 1,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Two networks: cross-entropy at first, then MixMatch on each other's divisions.

    After the last warm-up epoch and every later one, the losses of all examples
    (un-augmented, in prediction mode) are scaled to [0, 1], network by network, and
    `scores.fit_two_gaussians` gives the probability w that a label is right.
    In the next epoch a network takes the examples whose w *of its peer* is above
    `threshold` as labelled and the rest as unlabelled. A step is half a batch of each
    (see `semi_supervised_order`), every example in `num_views` random views:

    - the target of a labelled example is `co_refine` of its label and the network's own
      mean prediction over the views;
    - the target of an unlabelled example is the mean prediction of both networks
      over the views, sharpened;
    - the loss is `labeled + lambda_u * ramp * unlabeled` of `mix_match_losses` plus
      `prior_weight` times `uniform_prior_penalty` of all mixed rows.

    Epochs of both phases have `ceil(N / B)` steps, so that one schedule in steps fits
    both.

    Published settings: PreActResNet-18, SGD at 0.02 (divided by 10 from epoch 150),
    momentum 0.9, weight decay 5e-4, 300 epochs, batch size 128 (64 + 64 after the
    warm-up), T 0.5, alpha 4, two views, and

    | data, noise | warm-up | lambda_u | other |
    |---|---|---|---|
    | CIFAR-10, symmetric 20 % | 10 | 0 | |
    | CIFAR-10, symmetric 50 %, 80 % | 10 | 25 | |
    | CIFAR-10, symmetric 90 % | 10 | 50 | threshold 0.6, average_epochs 5 |
    | CIFAR-10, asymmetric 40 % | 10 | 0 | confidence_penalty 1 |
    | CIFAR-100, symmetric 20 % | 30 | 25 | |
    | CIFAR-100, symmetric 50 % to 90 % | 30 | 150 | at 90 % as CIFAR-10 |
    | CIFAR-10N, little noise | 10 | 0 | |
    | WebVision | | 0 | alpha 0.5, SGD at 0.01, batches of 32 + 32, 80 epochs |

    What the authors do on Clothing1M is another method and not offered: 1000 batches
    of balanced classes per epoch, and no loss on unlabelled rows, which are not mixed.
    `lambda_u` matters most: 25 where 0 is right costs about four points on CIFAR-10.
    Prune4ReL (Park et al., NeurIPS 2023) trains on a chosen subset with
    `warmup_epochs=0, ramp_up_epochs=0, lambda_u=1`, a batch size of 256 here, and a
    cosine schedule; N and all losses are then those of the subset.

    Differences from the authors' code:

    - both networks take a step at a time together; theirs trains one for a whole epoch,
      then the other, which then learns from a peer one epoch ahead;
    - an epoch has `ceil(N / B)` steps; theirs is one pass over the labelled examples,
      and has more steps where more than half of the examples are labelled;
    - all guesses are made in prediction mode, with the running statistics of batch
      normalisation, which only the mixed rows update: one pass per network for all
      guesses. Theirs uses, and keeps, the statistics of the batch for a network's own
      guesses; the authors find both fine;
    - the mixture starts at the extreme losses, see `fit_two_gaussians`;
    - without a warm-up, all labels are taken for right in the first epoch, where
      Prune4ReL divides by the losses of random networks;
    - 300 epochs are 300, theirs 301.

    Args:
      model: a Linen classifier.
      optimizer: of both networks; elementwise, such as SGD.
      epochs: of training, the warm-up included.
      warmup_epochs: of them with the cross-entropy of all labels; less than `epochs`.
      lambda_u: the weight of the unlabelled rows, >= 0.
      threshold: tau in [0, 1), of the division.
      temperature: of the sharpening, > 0.
      alpha: of the mixing, > 0.
      num_views: M.
      ramp_up_epochs: over which `lambda_u` rises from 0 after the warm-up; 0 for at
        once.
      prior_weight: of the penalty towards equally frequent classes, >= 0.
      confidence_penalty: subtracts so many times the entropy of the predictions from
        the warm-up's loss, >= 0; meant for asymmetric noise, whose wrong labels
        are otherwise learnt with confidence.
      average_epochs: how many divisions' scaled losses the mixture is fitted to in the
        mean.
      augment: `(key, inputs) -> inputs`; by default none, and then all views are
        equal.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe; parameters and `batch_stats` have a leading axis of two, and prediction
      is by the mean of the two networks' logits (the published sum has the same
      arg-max). The state's row "clean_probability" (N_padded, 2) holds w by either
      network, initially 1. Metrics, means of the two networks: "loss", "accuracy" and
      "labelled_share" (of all examples, in the last division).

    Raises:
      ValueError: a number outside its range; when compiled, an odd batch size.
    """
    checks.at_least("epochs", epochs, 1)
    checks.in_range("warmup_epochs", warmup_epochs, 0, epochs - 1)
    check_mixing(lambda_u, temperature, num_views, alpha)
    checks.in_range("threshold", threshold, 0, 1, high_open=True)
    checks.in_range("ramp_up_epochs", ramp_up_epochs, 0)
    checks.in_range("prior_weight", prior_weight, 0)
    checks.in_range("confidence_penalty", confidence_penalty, 0)
    checks.at_least("average_epochs", average_epochs, 1)
    method = DivideMixPhases(
        model,
        optimizer,
        warmup_epochs=warmup_epochs,
        lambda_u=lambda_u,
        threshold=threshold,
        temperature=temperature,
        alpha=alpha,
        num_views=num_views,
        ramp_up_epochs=ramp_up_epochs,
        prior_weight=prior_weight,
        confidence_penalty=confidence_penalty,
        average_epochs=average_epochs,
        augment=augment,
        preprocess=preprocess,
    )
    warmup = Algorithm(
        method.init,
        method.warmup_objective,
        no_epoch,
        method.predict,
        optimizer,
        order=own_orders,
    )
    # Only the last epoch of the warm-up needs an evaluation.
    last = warmup._replace(epoch=method.divide, evaluate=method.evaluate)
    later = last._replace(objective=method.objective, order=method.order)
    phases = (
        Phase(warmup, warmup_epochs - 1),
        Phase(last, min(warmup_epochs, 1)),
        Phase(later, epochs - warmup_epochs),
    )
    return Recipe(tuple(phase for phase in phases if phase.epochs > 0))
