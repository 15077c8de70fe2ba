"""A noise adaptation layer: the network behind the labels' noise is learned with it.

Goldberger, Ben-Reuven, "Training deep neural-networks using a noise adaptation layer",
ICLR 2017. A further softmax layer models how given labels come from true ones; it
starts from the confusion matrix of the network trained without it, and is taken off for
prediction.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, transforms
from robustjax.methods._example_count import (
    example_count,
    real_examples,
)
from robustjax.models._noise_adaptation import (
    KINDS,
    Kind,
    NoiseAdaptedClassifier,
    confusion_bias,
    replace_bias,
)
from robustjax.training import (
    Algorithm,
    Phase,
    Recipe,
    TrainData,
    TrainState,
    as_float,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess


def _stage(algorithm: Algorithm, ending: Algorithm, epochs: int) -> list[Phase]:
    """Some epochs of an algorithm, the last one with another rule at its end."""
    phases = [Phase(algorithm, epochs - 1), Phase(ending, 1)]
    return [phase for phase in phases if phase.epochs] if epochs else []


def noise_adaptation(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    kind: Kind = "simple",
    warmup_epochs: int = 5,
    simple_epochs: int | None = None,
    soft: bool = False,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Cross-entropy first, then the same network behind a layer of label noise.

    The first phase minimises the cross-entropy to the given labels. At its end the
    confusion matrix of the network's predictions and the given labels of all training
    examples becomes the bias of the layer (`models.confusion_bias`); without such a
    start the classes may come out permuted. From then on, network and layer are
    trained together. The complex layer, whose transitions depend on the features, is
    preceded by epochs with the simple one, and the bias is estimated again between.
    Predictions are always of the network without the layer.

    Published settings: MNIST with the digits of a random share r mapped by a fixed
    permutation; an MLP 500-300 with dropout 0.5, Adam, batches of 256, at most 40
    epochs per phase; `soft=False` in the code, although the paper counts
    probabilities. With r = 0.46 the plain network has about 74 % and the one with the
    layer about 98 %.

    Differences from the authors' code: its phases end when the loss on a tenth of the
    (noisy) data has not fallen for four epochs, here after a number of epochs; it
    starts every phase with a fresh optimiser, here the optimiser and its schedules go
    on. Weight decay pulls the layer towards uniform transitions: keep it off the
    parameters under "noise_adaptation" (`optax.masked`).

    Args:
      model: a Linen classifier with an attribute `num_classes` and a method
        `features`; a new head, and the layer, come after its features.
      optimizer: of all phases.
      epochs: of all phases together, more than `warmup_epochs`.
      kind: "simple", one matrix for all inputs, or "complex".
      warmup_epochs: of the first phase, >= 1; few, so that the network has not yet
        learned wrong labels by heart, which would hide them from the confusion
        matrix. The default is not the authors'.
      simple_epochs: with the simple layer before the complex one, >= 0; by default
        half of what the warm-up leaves. Must be left out with the simple kind.
      soft: whether to add up probabilities in the confusion matrix, as the paper has
        it, rather than count predictions.
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe; parameters are those of a `models.NoiseAdaptedClassifier`, all there
      from the start. Metrics: "loss" and "accuracy", that of predicting the given
      label, through the layer once it is used.

    Raises:
      ValueError: an unknown kind, numbers of epochs that leave a phase without any,
        or a model without `features` or `num_classes`.
    """
    checks.one_of("kind", kind, KINDS)
    if not callable(getattr(type(model), "features", None)):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with a method 'features'"
        )
    num_classes = getattr(model, "num_classes", None)
    if not isinstance(num_classes, int):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with 'num_classes'"
        )
    is_complex = kind == "complex"
    checks.at_least("warmup_epochs", warmup_epochs, 1)
    checks.at_least("epochs", epochs, warmup_epochs + 1)
    if not is_complex and simple_epochs is not None:
        raise ValueError(
            f"simple_epochs: got {simple_epochs}, expected None with kind='simple'"
        )
    if simple_epochs is None:
        simple_epochs = (epochs - warmup_epochs) // 2 if is_complex else 0
    last_epochs = epochs - warmup_epochs - simple_epochs
    checks.in_range("simple_epochs", simple_epochs, 0, epochs - warmup_epochs - 1)

    def train(kind: Kind, adapt: bool) -> Algorithm:
        network = NoiseAdaptedClassifier(model, num_classes, kind, adapt=adapt)
        transform = transforms.named_chain(
            examples=example_count(), head=transforms.ce()
        )
        return supervised(
            network, transform, optimizer, augment=augment, preprocess=preprocess
        )

    def estimate(state: TrainState, data: TrainData, logits: jax.Array) -> TrainState:
        predictions = jax.nn.softmax(logits) if soft else jnp.argmax(logits, axis=-1)
        bias = confusion_bias(
            predictions,
            data.labels,
            num_classes,
            soft=soft,
            mask=real_examples(state, logits.shape[0]),
        )
        return state._replace(params=replace_bias(state.params, bias))

    def then_estimate(algorithm: Algorithm) -> Algorithm:
        return algorithm._replace(evaluate=algorithm.predict, epoch=estimate)

    # The parameters of the whole layer are there from the start; until their phase
    # comes they get no gradient.
    plain, simple = train(kind, adapt=False), train("simple", adapt=True)
    phases = _stage(plain, then_estimate(plain), warmup_epochs)
    phases += _stage(simple, then_estimate(simple), simple_epochs)
    phases += [Phase(train(kind, adapt=True), last_epochs)]
    return Recipe(tuple(phases))
