"""The baseline, and the network that is to learn the bias."""

from __future__ import annotations

from typing import Literal

import flax.linen as nn
import optax

from robustjax import checks, transforms
from robustjax.training import Recipe, as_float, single_phase, supervised
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import LossTransform

GceForm = Literal["reweighted", "textbook"]

_FORMS = {"reweighted": transforms.gce_weighted_ce, "textbook": transforms.gce}


def gce_head(q: float, form: GceForm) -> LossTransform:
    """The loss of a biased network.

    Args:
      q: in (0, 1].
      form: "reweighted", `losses.gce_weighted_ce`, as all public code on dataset bias
        has it; or "textbook", `losses.gce`. The gradient of the first is q times that
        of the second: no matter under Adam, under SGD a smaller learning rate.
    """
    checks.one_of("form", form, _FORMS)
    checks.in_range("q", q, 0, 1, low_open=True)
    return _FORMS[form](q)


def vanilla(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Cross-entropy on uniformly shuffled batches: what debiasing is compared with.

    Published settings: LfF's Colored MNIST, Adam at 1e-3, batches of 256, 100 epochs;
    its corrupted CIFAR-10 the same for 200 epochs. DFA's: Adam at 1e-2 (Colored
    MNIST), 1e-3 (CIFAR-10) or 1e-4 (bFFHQ, batches of 64) for 50,000 steps.

    Args:
      model: a Linen classifier.
      optimizer: any optax transformation.
      epochs: of training.
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase; see `training.supervised`.
    """
    algorithm = supervised(
        model, transforms.ce(), optimizer, augment=augment, preprocess=preprocess
    )
    return single_phase(algorithm, epochs)


def gce_biased(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    q: float = 0.7,
    form: GceForm = "reweighted",
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """A network that is meant to learn the bias: generalised cross-entropy.

    Relative to the cross-entropy it leaves unsure examples alone, so that what is easy
    (the bias) is learned and what contradicts it is not. Its probabilities are what
    `scores.bias_conflict_scores` asks for. Train it briefly: the longer, the fewer
    conflicting examples it still gets wrong.

    Args:
      model: a Linen classifier.
      optimizer: any optax transformation.
      epochs: of training.
      q: in (0, 1]; 0.7 everywhere in print.
      form: see `gce_head`: "reweighted", as public code has it, or "textbook".
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase; see `training.supervised`.

    Raises:
      ValueError: q outside its range, or an unknown form.
    """
    algorithm = supervised(
        model, gce_head(q, form), optimizer, augment=augment, preprocess=preprocess
    )
    return single_phase(algorithm, epochs)
