"""HEX: what texture explains is projected out of the logits.

Wang, He, Lipton, Xing, "Learning Robust Representations by Projecting Superficial
Statistics Out", ICLR 2019.
"""

from __future__ import annotations

import flax.linen as nn
import optax

from robustjax import checks, transforms
from robustjax.models._hex import HexClassifier, NeuralCooccurrence
from robustjax.training import Phase, Recipe, as_float, supervised
from robustjax.training._supervised import Augment, Preprocess


def hex_projection(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    warmup_epochs: int = 1,
    levels: int = 16,
    direction: tuple[int, int] = (0, 1),
    learn_texture: bool = True,
    ridge: float = 1e-4,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Cross-entropy of logits from which those of a texture branch are projected out.

    See `models.HexClassifier`. In the warm-up, which the authors recommend, the
    projection is left out. The method assumes a bias of texture: LfF's table has it
    below plain training on corrupted CIFAR-10.

    Published (an example for ImageNet): Adam at 1e-5, 128 levels; a batch must have
    more examples than classes. The defaults are for small images, with Adam at 1e-3.

    Args:
      model: a Linen classifier of images with attributes `num_classes` and a method
        `features`; a new head, on features and texture, comes after its features.
      optimizer: any optax transformation.
      epochs: of training, more than `warmup_epochs`.
      warmup_epochs: without projection, >= 0.
      levels: of gray in the texture branch, >= 2.
      direction: (rows, columns) to the neighbour whose gray level is compared; not
        (0, 0).
      learn_texture: whether the branch's thresholds and layer are trained; the authors
        freeze them where training is unstable.
      ridge: >= 0, added to the matrix that is inverted.
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`, whose
        images lie in [0, 1] as the branch expects: of others the loss is NaN.

    Returns:
      A recipe; the parameters are those of a `models.HexClassifier`. Metrics: "loss",
      "accuracy".

    Raises:
      ValueError: a number outside its range, a model without `features` or
        `num_classes`; in training, batches of no more examples than classes.
    """
    checks.at_least("warmup_epochs", warmup_epochs, 0)
    checks.at_least("epochs", epochs, warmup_epochs + 1)
    num_classes = getattr(model, "num_classes", None)
    if not isinstance(num_classes, int):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with 'num_classes'"
        )

    def phase(project: bool, epochs: int) -> Phase:
        network = HexClassifier(
            model,
            num_classes,
            NeuralCooccurrence(levels, direction),
            project=project,
            learn_texture=learn_texture,
            ridge=ridge,
        )
        algorithm = supervised(
            network, transforms.ce(), optimizer, augment=augment, preprocess=preprocess
        )
        return Phase(algorithm, epochs)

    phases = (phase(False, warmup_epochs), phase(True, epochs - warmup_epochs))
    return Recipe(tuple(each for each in phases if each.epochs))
