"""Training with a loss that is corrected by the noise transition matrix.

Patrini, Rozza, Menon, Nock, Qu, "Making Deep Neural Networks Robust to Label Noise: a
Loss Correction Approach", CVPR 2017: a first network, trained as if the labels were
right, predicts the *given* labels; the transition matrix is read off its predictions,
and a second one is trained with the corrected loss.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, losses
from robustjax.corruption._estimation import anchor_transition
from robustjax.training import (
    Phase,
    Recipe,
    TrainData,
    TrainState,
    as_float,
    init_variables,
    single_phase,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import (
    Batch,
    ExampleSpec,
    LossTransform,
    Stage,
    Terms,
    need,
    rowwise,
)

CORRECTIONS = {
    "forward": losses.forward_corrected_ce,
    "backward": losses.backward_corrected_ce,
}

# Steps and epochs fold small numbers of both signs into the key; this is neither.
_RESTART = np.iinfo(np.int32).max


def transition_corrected(
    correction: str = "forward", transition: jax.Array | np.ndarray | None = None
) -> LossTransform:
    """The head of a corrected cross-entropy whose matrix is part of the state.

    The shared state holds "transition", (C, C) float32, and "num_examples", ()
    int32. Needs `logits`.

    Args:
      correction: "forward" or "backward"; see `losses.forward_corrected_ce` and
        `losses.backward_corrected_ce`.
      transition: the initial matrix; by default the identity, with which either loss
        is the cross-entropy.

    Raises:
      ValueError: an unknown correction, or a matrix that is not stochastic (backward:
        or not invertible); in `init`, one of another size than the classes.
    """
    checks.one_of("correction", correction, CORRECTIONS)
    loss = CORRECTIONS[correction]
    if transition is not None:
        checks.rank("transition", transition, 2)
        checks.stochastic("transition", transition)
        if correction == "backward":
            losses.inverse_transition(jnp.asarray(transition))

    def init_shared(spec: ExampleSpec) -> Any:
        num_classes = spec.num_classes
        matrix = jnp.eye(num_classes) if transition is None else transition
        checks.stochastic("transition", matrix, num_classes)
        return {"transition": jnp.asarray(matrix, jnp.float32)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del batch
        logits = need(correction, extra, "logits")
        value = loss(logits, terms.labels, transition=shared["transition"])
        return terms.replace(value=value), rows

    return rowwise(
        lambda spec: {},
        update_rows,
        stage=Stage.HEAD,
        name=f"{correction}_corrected",
        init_shared=init_shared,
    )


def estimate_transition(
    logits: jax.Array, num_examples: jax.Array | int, percentile: float | None
) -> jax.Array:
    """`corruption.anchor_transition` that leaves padding rows out.

    Args:
      logits: (N_padded, C), of which the first N rows are real.
      num_examples: N, possibly traced.
      percentile: see `anchor_transition`.

    Returns:
      (C, C) float32, rows sum to 1.
    """
    padded = logits.shape[0]
    real = jnp.arange(padded) < num_examples
    probabilities = jnp.where(real[:, None], jax.nn.softmax(logits), 0.0)
    if percentile is None:
        return anchor_transition(probabilities, percentile=None)
    # Zeros rank first, so the order statistic meant is as many places further on. Half
    # a place lower, the percentile's rounding cannot miss it.
    place = jnp.ceil(jnp.float32(percentile) / 100 * (num_examples - 1))
    place = place + padded - num_examples - 0.5
    among_padded: Any = jnp.clip(100 * place / max(padded - 1, 1), 0, 100)
    return anchor_transition(probabilities, percentile=among_padded)


def transition_training(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    estimation_epochs: int | None = None,
    correction: str = "forward",
    transition: jax.Array | np.ndarray | None = None,
    percentile: float | None = 97.0,
    restart: bool = True,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Forward or backward loss correction, with an estimated or a known matrix.

    Phase one minimises the cross-entropy under the given labels. At its end, row i of
    the matrix is the predicted distribution of the training example that is surest to
    be of class i (`corruption.anchor_transition`). Phase two minimises the corrected
    loss. A known matrix needs no first phase. The matrix is
    `loss_state.shared["transition"]`, so checkpoints hold it.

    Published settings, the same number of epochs and the same schedule in both
    phases, batches of 128: `percentile=97` for MNIST and CIFAR-10, None for CIFAR-100.
    MNIST: an MLP 128-128 with dropout 0.2, AdaGrad, 40 epochs. CIFAR-10: ResNet-32, SGD
    with learning rate 0.1, divided by 10 at epochs 40 and 80 of 120, weight decay 1e-4.
    CIFAR-100: ResNet-44, the same at epochs 80 and 120 of 150, weight decay 1e-3.
    Augmentation by shifts and mirror images.

    Differences from the authors' code: it keeps the parameters of lowest loss on a
    tenth of the (noisy) data in each phase, and here phases end with their last epoch;
    its percentile filter leaks zeros from one row of the matrix into later ones.

    Args:
      model: a Linen classifier; its predictions are of the true class in phase two.
      optimizer: of both phases. With `restart` its state, schedules included, starts
        anew with the second phase.
      epochs: of both phases together.
      estimation_epochs: of phase one, below `epochs`; by default half of them. Must be
        left out with a known matrix.
      correction: "forward" or "backward".
      transition: (C, C), `T[i, j] = P(given = j | true = i)`, if it is known.
      percentile: leaves outliers out of the anchors; see `anchor_transition`.
      restart: whether phase two starts with fresh random weights, as published, or
        goes on with those of phase one, which have then fitted noisy labels.
      augment: `(key, inputs) -> inputs`, random changes in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of three phases (the last epoch of phase one, after which the matrix is
      estimated, is one of its own), or two, or one. Metrics: "loss" and "accuracy".

    Raises:
      ValueError: numbers of epochs that leave a phase without any, epochs of
        estimation with a known matrix, a percentile outside (0, 100], or see
        `transition_corrected`.
    """
    transform = transition_corrected(correction, transition)
    corrected = supervised(
        model, transform, optimizer, augment=augment, preprocess=preprocess
    )
    if transition is not None:
        if estimation_epochs is not None:
            raise ValueError(
                f"estimation_epochs: got {estimation_epochs}, expected None with a "
                "known transition matrix"
            )
        return single_phase(corrected, epochs)
    checks.at_least("epochs", epochs, 2)
    first = epochs // 2 if estimation_epochs is None else estimation_epochs
    checks.in_range("estimation_epochs", first, 1, epochs - 1)
    if percentile is not None:
        checks.in_range("percentile", percentile, 0, 100, low_open=True)

    def estimate(state: TrainState, data: TrainData, logits: Any) -> TrainState:
        state = corrected.epoch(state, data, None)
        shared = state.loss_state.shared
        matrix = estimate_transition(logits, shared["num_examples"], percentile)
        shared = {**shared, "transition": matrix}
        state = state._replace(loss_state=state.loss_state._replace(shared=shared))
        if not restart:
            return state
        key = jax.random.fold_in(state.key, _RESTART)
        params, model_state = init_variables(model, key, preprocess(data.inputs[:1]))
        return state._replace(
            params=params, model_state=model_state, opt_state=optimizer.init(params)
        )

    # Until the matrix is estimated it is the identity: this is the cross-entropy.
    last = corrected._replace(evaluate=corrected.predict, epoch=estimate)
    phases = (
        Phase(corrected, first - 1),
        Phase(last, 1),
        Phase(corrected, epochs - first),
    )
    return Recipe(tuple(phase for phase in phases if phase.epochs))
