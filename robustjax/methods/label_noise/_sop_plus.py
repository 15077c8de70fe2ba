"""SOP+: every example's label noise is learned with the network.

Liu, Zhu, Qu, You, "Robust Training under Label Noise by Over-parameterization", ICML
2022. Sparse over-parameterisation (`transforms.sop`) on a weakly augmented view, which
also teaches a strongly augmented one, and predictions that are kept balanced over the
classes.
"""

from __future__ import annotations

import flax.linen as nn
import optax

from robustjax import transforms
from robustjax.training import (
    Recipe,
    as_float,
    single_phase,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess, unchanged


def sop_plus(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    weak: Augment | None = None,
    strong: Augment | None = None,
    preprocess: Preprocess = as_float,
    lr_u: float = 10.0,
    lr_v: float = 10.0,
    consistency: float = 0.9,
    balance: float = 0.1,
    record: bool = False,
) -> Recipe:
    """Sparse over-parameterisation with consistency between views and class balance.

    The loss of a batch is the mean of SOP's values on the weak view and of
    `consistency KL(stop_gradient(p_weak) || p_strong)`, plus `balance` times the
    cross-entropy of the uniform distribution and the batch's mean corrected
    prediction; see `transforms.sop` and `transforms.consistency`. Both views go
    through the network as one batch, so that BatchNorm sees 2B images. With both
    coefficients 0 and equal views this is SOP.

    Published settings, for batches of 128 and SGD with momentum 0.9, learning rate
    0.02 and a cosine over 300 epochs, PreAct ResNet-18 (CIFAR-10N and CIFAR-100N: the
    rates of u and v are those of Park et al., NeurIPS 2023):

    | data, noise          | lr_u | lr_v | weight decay |
    |----------------------|------|------|--------------|
    | CIFAR-10, symmetric  | 10   | 10   | 5e-4         |
    | CIFAR-10, asymmetric | 10   | 100  | 5e-4         |
    | CIFAR-100, symmetric | 1    | 10   | 1e-3         |
    | CIFAR-100, asymmetric| 1    | 100  | 1e-3         |
    | CIFAR-10N            | 10   | 100  | 5e-4         |
    | CIFAR-100N           | 1    | 100  | 1e-3         |

    The CIFAR-100 cosine ends at 2e-4. For asymmetric CIFAR-100 one version of the
    authors' instructions has `lr_u` 0.1. The rates of u and v stay constant, and
    their gradients carry 1/B: multiply them by B / 128 for batches of B. SOP without
    the plus is a ResNet-34 with `consistency=0, balance=0`; cheaper as `robust_loss`
    with `transforms.sop`, which needs one view only.

    Differences from the authors' code: their strong view of CIFAR-100 is normalised
    with the statistics of CIFAR-10.

    Args:
      model: a Linen classifier.
      optimizer: of the network; u and v take plain SGD steps of their own.
      epochs: of training.
      weak: `(key, inputs) -> inputs`, the weak view; by default the inputs. Published:
        `data.augmentation.standard_augmentation()`.
      strong: the strong view; by default another draw of `weak`. Published:
        `data.augmentation.strong_augmentation()`.
      preprocess: applied after them, and in prediction; by default `as_float`.
      lr_u: learning rate of u, >= 0.
      lr_v: learning rate of v, >= 0.
      consistency: coefficient >= 0 of the divergence between the views.
      balance: coefficient >= 0 of the class balance.
      record: whether to keep a `transforms.learning_record` of the weak view, as the
        last rows of the state: `read_learning_record(state.loss_state.rows[-1], N)`.
        Training is the same with and without.

    Returns:
      A recipe of one phase. Metrics: "loss", and "accuracy" on the weak view.

    Raises:
      ValueError: a number outside its range.
    """
    parts = [
        transforms.sop(lr_u, lr_v, balance=balance),
        transforms.consistency(consistency),
    ]
    if record:
        parts.append(transforms.learning_record())
    transform = transforms.chain(*parts)
    algorithm = supervised(
        model,
        transform,
        optimizer,
        augment=weak,
        strong=strong or weak or unchanged,
        preprocess=preprocess,
    )
    return single_phase(algorithm, epochs)
