"""ELR+: early-learning regularisation with two networks, their averages and mixup.

Liu, Niles-Weed, Razavian, Fernandez-Granda, "Early-Learning Regularization Prevents
Memorization of Noisy Labels", NeurIPS 2020.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, losses, transforms
from robustjax.data._mixup import mixup
from robustjax.methods._two_networks import (
    NETWORKS,
    init_networks,
    network,
    own_orders,
    predict_networks,
    stack,
)
from robustjax.training import (
    Algorithm,
    Recipe,
    TrainState,
    apply_training,
    as_float,
    fresh_state,
    no_epoch,
    single_phase,
)
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import ExampleSpec, LossState, Terms
from robustjax.transforms._batches import merge_faults
from robustjax.transforms._elr import (
    clipped_probabilities,
    elr_penalty,
    update_targets,
)
from robustjax.transforms._rows import gather_rows, scatter_rows

# Of a target as it multiplies a label: where no class of a mixed label has ever been
# predicted, the label counts as it is, and not as 0 / 0.
TINY = 1e-30


def remembered_probabilities(logits: jax.Array) -> jax.Array:
    """Softmax in float32 or better, not clipped: what ELR+'s memory takes in.

    ELR clips its own (`clipped_probabilities`); ELR+'s authors clip in
    the penalty alone. It matters where `weight_labels` compares tiny targets.

    Args:
      logits: (..., C) floats.

    Returns:
      (..., C) probabilities.
    """
    logits = jnp.asarray(logits)
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.nn.softmax(wide)


def weighted_labels(labels: jax.Array, targets: jax.Array) -> jax.Array:
    """`labels * targets`, normalised, without gradient through the targets.

    Args:
      labels: (B, C) mixed labels.
      targets: (B, C) mixed rows of the memory; below 1e-30 they count as 1e-30.

    Returns:
      (B, C) distributions.
    """
    targets = jnp.maximum(jax.lax.stop_gradient(targets), TINY)
    weighted = labels * targets
    return weighted / jnp.sum(weighted, axis=-1, keepdims=True)


def sigmoid_ramp(step: jax.Array | int, length: int) -> jax.Array:
    """Grows from exp(-5) to 1, as `exp(-5 (1 - step / length)^2)`; then stays there.

    Args:
      step: steps so far, >= 0.
      length: of the ramp; 0 is no ramp.

    Returns:
      () float32.
    """
    if length == 0:
        return jnp.float32(1)
    left = 1 - jnp.clip(jnp.asarray(step, jnp.float32) / length, 0, 1)
    return jnp.exp(-5 * left**2)


def average_decay_at(
    step: jax.Array | int, decay: jax.Array | float, ramp_steps: int
) -> jax.Array:
    """How much of the averaged parameters step number `step` (from 1) keeps.

    Args:
      step: steps so far, this one included.
      decay: the final share.
      ramp_steps: of the `sigmoid_ramp` that multiplies it; with 0, the average is
        the plain mean, the initial parameters included, until that keeps more.

    Returns:
      () float32.
    """
    if ramp_steps == 0:
        return jnp.minimum(1 - 1 / (jnp.asarray(step, jnp.float32) + 1), decay)
    return decay * sigmoid_ramp(step + 1, ramp_steps)


def elr_plus_values(
    logits: jax.Array,
    labels: jax.Array,
    targets: jax.Array,
    strength: jax.Array | float,
    *,
    weight_labels: bool,
) -> jax.Array:
    """ELR+'s loss per example.

    Args:
      logits: (B, C) of the mixed images.
      labels: (B, C) mixed labels.
      targets: (B, C) mixed rows of the memory, no gradient.
      strength: of the regularisation, lambda times its ramp.
      weight_labels: whether the cross-entropy is under `labels * targets`, normalised.

    Returns:
      (B,) float32.
    """
    if weight_labels:
        labels = weighted_labels(labels, targets)
    penalty = elr_penalty(clipped_probabilities(logits), targets)
    return losses.cross_entropy(logits, labels) + strength * penalty


def elr_plus(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
    strength: float = 3.0,
    decay: float = 0.7,
    ramp_steps: int = 0,
    weight_labels: bool = False,
    mixup_alpha: float = 1.0,
    average_decay: float = 0.997,
    average_ramp_steps: int = 40_000,
) -> Recipe:
    """Two networks that are held to the averaged predictions of each other.

    Each network has an averaged copy of its parameters (an exponential moving
    average) and a memory t of one row per example. In every step of a network, its
    memory is first moved towards the prediction p' of its *peer's* averaged copy for
    the augmented, un-mixed images, `t <- decay t + (1 - decay) p'`. The network then
    sees images and labels after mixup with `lam' = max(lam, 1 - lam)` and partner
    j, and with `q = lam' t_i + (1 - lam') t_j` its loss is

        CE(p, mixed label) + ramp(step) strength log(1 - <q, p>).

    The averaged copies always run in training mode, on statistics of the batch:
    parameters are averaged and running statistics are not. Prediction is by the mean
    of the two (not averaged) networks' logits. `loss_state.rows[a]["target"]` is
    network a's memory; after training, examples whose largest target is not their
    label are the suspected ones.

    Published settings, for PreAct ResNet-18, SGD with momentum 0.9, batches of 128,
    learning rate 0.02 and weight decay 5e-4 where not said otherwise:

    - CIFAR-10, symmetric: as by default; 200 epochs, rate / 10 at 150. Asymmetric:
      `strength=1, decay=0.9`.
    - CIFAR-100: `strength=7, decay=0.9, ramp_steps=40_000, weight_labels=True`; 250
      epochs, rate / 10 at 200.
    - Clothing1M: `average_ramp_steps=0, average_decay=0.9999` (0.999 in one version of
      the configuration); ResNet-50, rate 0.002, weight decay 1e-3, batches of 64, 15
      epochs of 3000 batches, rate / 10 at 7.
    - WebVision: `average_ramp_steps=0` and `mixup_alpha` 1.5 (1 in one version of
      the configuration); InceptionResNetV2, batches of 32, 100 epochs, rate / 10 at 50.

    As in the authors' code, probabilities enter the memory as they are and are clipped
    to [1e-4, 1 - 1e-4] in the penalty alone; ELR clips both.

    Differences from the authors' code: the networks step together, where the authors
    train network 1 for a whole epoch and then network 2; both still have their own
    order of the examples, augmentation and mixup. Where the targets of all classes of
    a mixed label underflow, `weight_labels` leaves the label as it is, where the
    authors divide 0 by 0.

    Args:
      model: a Linen classifier.
      optimizer: of both networks; elementwise.
      epochs: of training.
      augment: `(key, inputs) -> inputs`, random changes in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.
      strength: lambda >= 0.
      decay: beta of the memory, in [0, 1].
      ramp_steps: length of the regularisation's `sigmoid_ramp`; 0 for none.
      weight_labels: whether the mixed label is multiplied by q and normalised (the
        authors do so where there are 100 classes).
      mixup_alpha: of the Beta distribution, > 0.
      average_decay: of the parameters' moving average, in [0, 1].
      average_ramp_steps: see `average_decay_at`.

    Returns:
      A recipe of one phase. Parameters have a leading axis of two; the model state
      holds "networks", the further collections, and "average", the averaged
      parameters, both so too. A batch has the shape (B, 2). Metrics: "loss" and
      "accuracy" (of the mixed images under the label of larger share), means over
      the networks.

    Raises:
      ValueError: a number outside its range.
    """
    checks.in_range("strength", strength, 0)
    checks.in_range("decay", decay, 0, 1)
    checks.at_least("ramp_steps", ramp_steps, 0)
    checks.in_range("mixup_alpha", mixup_alpha, 0, low_open=True)
    checks.in_range("average_decay", average_decay, 0, 1)
    checks.at_least("average_ramp_steps", average_ramp_steps, 0)

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        init_key, run_key = jax.random.split(key)
        params, collections = init_networks(model, init_key, preprocess(sample_inputs))
        shape = (spec.padded_examples, spec.num_classes)
        rows = tuple({"target": jnp.zeros(shape)} for _ in range(NETWORKS))
        return fresh_state(
            params,
            # A copy: an array must not be donated to the next step twice.
            {"networks": collections, "average": jax.tree.map(jnp.copy, params)},
            LossState(rows, shared={}),
            optimizer,
            run_key,
        )

    def one_network(
        number: int,
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None,
    ) -> tuple[Terms, jax.Array, Any, Any]:
        """Returns (terms, logits, collections, rows) of a network on its batch."""
        peer = NETWORKS - 1 - number
        augment_key, mixup_key, network_key, peer_key = jax.random.split(key, 4)
        terms, inputs = transforms.start(batch), batch["inputs"]
        if augment is not None:
            inputs = augment(augment_key, inputs)
        inputs = preprocess(inputs)
        collections = state.model_state["networks"]
        peer_logits, _ = apply_training(
            model,
            network(state.model_state["average"], peer),
            network(collections, peer),
            inputs,
            key=peer_key,
            mask=terms.mask,
        )
        rows = state.loss_state.rows[number]
        old = gather_rows(rows, batch, terms.mask)["target"]
        target = update_targets(old, remembered_probabilities(peer_logits), decay)
        rows, fault = scatter_rows(
            rows, {"target": target}, batch, terms.mask, axis_name=axis_name
        )
        mixed = mixup(
            mixup_key,
            inputs,
            losses.as_distributions(terms.labels, target.shape[-1]),
            alpha=mixup_alpha,
            keep_dominant=True,
            mask=terms.mask,
        )
        logits, changed = apply_training(
            model,
            network(params, number),
            network(collections, number),
            mixed.inputs,
            key=network_key,
            mask=terms.mask,
        )
        values = elr_plus_values(
            logits,
            mixed.targets,
            mixed.lam * target + (1 - mixed.lam) * target[mixed.permutation],
            strength * sigmoid_ramp(state.step + 1, ramp_steps),
            weight_labels=weight_labels,
        )
        fault = merge_faults(terms.fault, fault)
        return terms.replace(value=values, fault=fault), logits, changed, rows

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        keys = jax.random.split(key, NETWORKS)
        totals, accuracies, collections, rows = [], [], [], []
        for number in range(NETWORKS):
            own = {name: value[:, number] for name, value in batch.items()}
            terms, logits, changed, new = one_network(
                number, params, state, own, keys[number], axis_name
            )
            totals.append(transforms.reduce(terms, axis_name))
            right = jnp.argmax(logits, axis=-1) == own["label"]
            accuracies.append(share_of(right, terms.mask))
            collections.append(changed)
            rows.append(new)
        losses_of_networks = jnp.stack(totals)
        metrics = {
            "loss": jnp.mean(losses_of_networks),
            "accuracy": jnp.mean(jnp.stack(accuracies)),
        }
        state = state._replace(
            model_state={**state.model_state, "networks": stack(collections)},
            loss_state=LossState(tuple(rows), state.loss_state.shared),
        )
        # The sum: each network descends its own mean.
        return jnp.sum(losses_of_networks), (state, metrics)

    def after_step(state: TrainState) -> TrainState:
        keep = average_decay_at(state.step, average_decay, average_ramp_steps)
        average = jax.tree.map(
            lambda old, new: (keep * old + (1 - keep) * new).astype(old.dtype),
            state.model_state["average"],
            state.params,
        )
        return state._replace(model_state={**state.model_state, "average": average})

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        networks = model_state["networks"]
        logits = predict_networks(model, params, networks, preprocess(inputs))
        return jnp.mean(logits, axis=1)

    algorithm = Algorithm(
        init,
        objective,
        no_epoch,
        predict,
        optimizer,
        order=own_orders,
        after_step=after_step,
    )
    return single_phase(algorithm, epochs)
