"""Training a classifier together with a module that predicts its losses.

Yoo, Kweon, "Learning Loss for Active Learning" (CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn

from robustjax import checks
from robustjax.models._loss_predicting import LossPredictingClassifier
from robustjax.training import Algorithm, Recipe
from robustjax.training._recipe import Phase


def learning_loss(
    make_recipe: Callable[[nn.Module], Recipe],
    classifier: nn.Module,
    *,
    epochs: int,
    width: int = 128,
    detach_after: float = 0.6,
) -> Recipe:
    """A recipe for a classifier beside a module that predicts its losses.

    Both train together, on the mean cross-entropy plus, with weight 1, the ranking
    loss of the predicted losses (`transforms.loss_prediction`, which the recipe's
    transform must hold after `transforms.ce`). In the last epochs the ranking loss no
    longer reaches the classifier.

    Published settings (CIFAR-10, ResNet-18): 200 epochs, batches of 128, SGD with
    momentum 0.9, weight decay 5e-4 and a learning rate of 0.1, divided by 10 at epoch
    160; gradients are cut from epoch 120 on. MQNet's code has batches of 64 and divides
    at epochs 100 and 150. The authors give the module an optimiser of its own, with the
    same settings, which makes no difference to one that works entry by entry, such as
    SGD.

    Args:
      make_recipe: `(model) -> recipe` of one phase and `epochs` epochs, such as
        `feature_debiasing` with the model left open.
      classifier: see `LossPredictingClassifier`.
      epochs: in all.
      width: see `LossPredictor`.
      detach_after: the share of the epochs after which gradients are cut, in [0, 1];
        rounded to whole epochs.

    Returns:
      A recipe of two phases over one state, or of one where the other has no epoch.

    Raises:
      ValueError: no epoch, a share out of range, or a network without stages.
    """
    checks.at_least("epochs", epochs, 1)
    checks.in_range("detach_after", detach_after, 0, 1)
    joint = round(detach_after * epochs)

    def algorithm(detach: bool) -> Algorithm:
        model = LossPredictingClassifier(classifier, width=width, detach=detach)
        return make_recipe(model).phases[0].algorithm

    lengths = {False: joint, True: epochs - joint}
    return Recipe(
        tuple(
            Phase(algorithm(detach), length)
            for detach, length in lengths.items()
            if length
        )
    )
