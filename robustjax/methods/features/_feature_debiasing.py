"""Training that unlearns the features of out-of-distribution examples.

Park, Song, Kim, Lee, "Task-Agnostic Undesirable Feature Deactivation Using
Out-of-Distribution Data", NeurIPS 2021 (TAUFE); Lee et al., "Removing Undesirable
Feature Contributions Using Out-of-Distribution Data", ICLR 2021 (OAT). Every step sees
a batch of target examples and a batch of examples that belong to no class; a loss
transform says what is asked of the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, losses, transforms
from robustjax.methods._remembered_array import remembered_array
from robustjax.methods.features._adversarial import Attack
from robustjax.training import (
    Algorithm,
    Recipe,
    TrainData,
    TrainState,
    apply_prediction,
    apply_training,
    as_float,
    fresh_state,
    init_variables,
    single_phase,
)
from robustjax.training._pools import pools_order
from robustjax.training._supervised import (
    Augment,
    Preprocess,
    share_of,
    unchanged,
)
from robustjax.transforms import Batch, ExampleSpec, LossTransform

UNUSED, TARGET, OOD = -1, 0, 1
"""The roles of examples; the last two are also places on an order's last axis."""

OUTPUTS = ("logits", "boxes")

AugmentLocated = Callable[
    [jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]
]
"""`(key, inputs, boxes) -> (inputs, boxes)`."""


def with_roles(state: TrainState, roles: np.ndarray | jax.Array) -> TrainState:
    """The state with other examples in use, so that repeats draw their own.

    Args:
      state: of `feature_debiasing`; one repeat, or leaves (R, ...).
      roles: (N,) or (R, N), with as many targets in each as the recipe was built for;
        with `steps_per_epoch` given, any number.

    Raises:
      ValueError: unknown roles.
    """
    _check_roles(roles)
    rows = state.loss_state.rows
    old = rows["roles"]["role"]
    padding = old.shape[-1] - roles.shape[-1]
    widths = [(0, 0)] * (roles.ndim - 1) + [(0, padding)]
    new = jnp.pad(jnp.asarray(roles, jnp.int32), widths, constant_values=UNUSED)
    rows = {**rows, "roles": {"role": jnp.broadcast_to(new, old.shape)}}
    return state.with_rows(rows)


def _check_roles(roles: np.ndarray | jax.Array) -> None:
    if checks.is_traced(roles):
        return
    known = np.asarray(roles)
    if not np.issubdtype(known.dtype, np.integer):
        raise ValueError(f"roles: got {known.dtype.name}, expected integers")
    if not np.isin(known, (UNUSED, TARGET, OOD)).all():
        raise ValueError(
            f"roles: got {np.unique(known)[:5].tolist()}, expected {UNUSED}, {TARGET} "
            f"and {OOD}"
        )


def network_outputs(
    module: Any, inputs: jax.Array, *, train: bool, mask: jax.Array | None = None
) -> dict[str, jax.Array]:
    """What a bound network says, and what a penalty or a score may look at.

    Args:
      module: a bound Linen module whose outputs are `head(features(inputs))`. If it
        has `predicted_loss`, everything is taken from its `stages`, see
        `models.LossPredictingClassifier`; else, if it has `feature_map` and `pool`,
        features are taken through them.
      inputs: (B, ...) floats.
      train: the mode.
      mask: (B,) bool, False on padding.

    Returns:
      "features" (B, d), "outputs" (B, ...) and maybe "feature_map" (B, ...) and
      "predicted_loss" (B,).
    """

    def offers(method: str) -> bool:
        return callable(getattr(type(module), method, None))

    found = {}
    if offers("predicted_loss"):
        stages = module.stages(inputs, train=train, mask=mask)
        found["predicted_loss"] = module.predicted_loss(stages)
        found["feature_map"] = stages[-1]
        found["features"] = module.pool(stages[-1])
    elif offers("feature_map"):
        found["feature_map"] = module.feature_map(inputs, train=train, mask=mask)
        found["features"] = module.pool(found["feature_map"])
    else:
        found["features"] = module.features(inputs, train=train, mask=mask)
    return {**found, "outputs": module.head(found["features"])}


def feature_pass(
    model: nn.Module,
    params: Any,
    model_state: Mapping[str, Any],
    inputs: jax.Array,
    *,
    key: jax.Array,
    mask: jax.Array | None = None,
) -> tuple[dict[str, jax.Array], dict[str, Any]]:
    """One pass in training mode that keeps what a penalty may look at.

    Args:
      model: see `network_outputs`.
      params: parameters.
      model_state: further variable collections.
      inputs: (B, ...) floats.
      key: for dropout and the like.
      mask: (B,) bool, False on padding.

    Returns:
      (what `network_outputs` gives, the changed collections).
    """
    return apply_training(
        model,
        params,
        model_state,
        inputs,
        key=key,
        mask=mask,
        method=network_outputs,
    )


def feature_debiasing(
    model: nn.Module,
    transform: LossTransform,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    roles: np.ndarray,
    use_ood: bool = True,
    ood_statistics: bool = True,
    steps_per_epoch: int | None = None,
    outputs: str = "logits",
    augment: Augment | None = None,
    augment_located: AugmentLocated | None = None,
    ood_augment: Augment | None = None,
    attack: Attack | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Trains on target examples beside examples that belong to no class.

    One data set holds both; `roles` tells them apart. A step takes half a batch of
    either, two passes in training mode, target first: BatchNorm normalises either
    by itself, and both move the running statistics (see `ood_statistics`). The
    transform's head makes the loss of the target examples; `transforms.taufe` and
    `transforms.oat` in it add the term of the others, of which they get
    "ood_features" (M, d), "ood_feature_map" (M, h, w, c), "ood_logits" (M, C) and
    "ood_mask" (M,).

    Published settings (classification): batches of 32 + 32, 200 epochs of SGD with
    momentum 0.9, weight decay 5e-4, learning rate 0.1, divided by 10 at epochs 100
    and 150; as many OOD as target examples. Boxes: 100 epochs, divided at 50 and 75.
    The authors' baseline has 64 target examples in a step and half as many steps; here
    an epoch has equally many steps with and without OOD examples.

    Args:
      model: a Linen module whose outputs are `head(features(inputs))`; see
        `feature_pass`.
      transform: a chain with a head: of logits, or `transforms.box_head`; without an
        epoch rule that needs the losses of all examples.
      optimizer: any optax transformation.
      epochs: of training.
      roles: (N,) integers, `TARGET`, `OOD` or `UNUSED`; see `with_roles`.
      use_ood: False leaves the OOD examples out, for a baseline without them: a batch
        is then all target examples.
      ood_statistics: whether OOD examples move the running statistics of BatchNorm,
        too, as in the authors' code. Prediction then normalises target examples by
        the statistics of a mixture. False leaves them to the target examples.
      steps_per_epoch: by default until every target example was seen once in half
        batches, `ceil(targets / (B / 2))`, for a batch size of B.
      outputs: "logits" or "boxes", under which name the transform gets them.
      augment: `(key, inputs) -> inputs` of target examples; by default none.
      augment_located: of target examples with their boxes, with outputs "boxes".
      ood_augment: of OOD examples; by default `augment`.
      attack: moves the target examples against the network in prediction mode, with
        its running statistics (Madry et al., ICLR 2018); OOD examples stay clean.
      preprocess: applied after augmentation, before the attack, and in prediction; by
        default `as_float`. With an attack it should give pixels in [0, 1], with the
        normalisation inside the model.

    Returns:
      A recipe of one phase. Metrics: "loss"; "accuracy" of the target examples, or
      "iou" of boxes, which need the extra "box" (N, 4) in the training data; with OOD
      examples "ood_norm", the mean square of their features' entries.

    Raises:
      ValueError: no target example, no OOD example while they are to be used, unknown
        roles or outputs, an augmentation or attack that does not fit the outputs, a
        transform that needs the losses of all examples, or a model without `features`
        and `head`.
    """
    roles = np.asarray(roles)
    checks.rank("roles", roles, 1)
    checks.one_of("outputs", outputs, OUTPUTS)
    _check_roles(roles)
    num_targets = int((roles == TARGET).sum())
    if num_targets == 0:
        raise ValueError("roles: got no target example, expected at least one")
    if use_ood and not (roles == OOD).any():
        raise ValueError("roles: got no OOD example, expected at least one")
    if outputs == "boxes" and (augment is not None or attack is not None):
        raise ValueError("augment, attack: expected augment_located with boxes")
    if outputs != "boxes" and augment_located is not None:
        raise ValueError("augment_located: expected outputs 'boxes'")
    if not callable(getattr(type(model), "features", None)):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with methods 'features' "
            "and 'head'"
        )
    if steps_per_epoch is not None:
        checks.at_least("steps_per_epoch", steps_per_epoch, 1)
    if transform.needs:
        needed = ", ".join(sorted(transform.needs))
        raise ValueError(
            f"transform: {transform.name} needs {needed} of all examples after an "
            "epoch, expected one that does not"
        )
    change_target = augment or unchanged
    change_ood = ood_augment or augment or unchanged
    remembered = remembered_array(
        "role", roles.astype(np.int32), argument="roles", padding_value=UNUSED
    )
    chain = transforms.named_chain(roles=remembered, loss=transform)

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        init_key, run_key = jax.random.split(key)
        params, model_state = init_variables(model, init_key, preprocess(sample_inputs))
        return fresh_state(params, model_state, chain.init(spec), optimizer, run_key)

    def order(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        steps = steps_per_epoch or -(-num_targets // max(batch_size // 2, 1))
        return pools_order(
            key,
            state.loss_state.rows["roles"]["role"][:num_examples],
            num_pools=2 if use_ood else 1,
            batch_size=batch_size,
            steps=steps,
            padding_index=padding_index,
        )

    def prepared(
        key: jax.Array, target: Batch, params: Any, state: TrainState
    ) -> tuple[jax.Array, Batch]:
        """The network's inputs, and the batch whose boxes moved with them."""
        change_key, attack_key = jax.random.split(key)
        if augment_located is not None:
            inputs, boxes = augment_located(change_key, target["inputs"], target["box"])
            return preprocess(inputs), {**target, "box": boxes}
        inputs = preprocess(change_target(change_key, target["inputs"]))
        if attack is not None:
            fixed = jax.lax.stop_gradient(params)
            inputs = attack(
                attack_key,
                inputs,
                target["label"],
                lambda x: apply_prediction(model, fixed, state.model_state, x),
            )
        return jax.lax.stop_gradient(inputs), target

    def objective(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        keys = jax.random.split(key, 5)
        target: Batch = {name: value[:, TARGET] for name, value in batch.items()}
        inputs, target = prepared(keys[0], target, params, state)
        terms = transforms.start(target)
        found, model_state = feature_pass(
            model, params, state.model_state, inputs, key=keys[1], mask=terms.mask
        )
        extra, metrics = {}, {}
        if use_ood:
            mask = batch["mask"][:, OOD]
            inputs = preprocess(change_ood(keys[2], batch["inputs"][:, OOD]))
            ood, after_both = feature_pass(
                model, params, model_state, inputs, key=keys[3], mask=mask
            )
            model_state = after_both if ood_statistics else model_state
            extra = {f"ood_{name}": value for name, value in ood.items()}
            extra[f"ood_{outputs}"] = extra.pop("ood_outputs")
            extra["ood_mask"] = mask
            square = losses.squared_feature_norm(ood["features"])
            square = jnp.sum(jnp.where(mask, square, 0.0))
            metrics["ood_norm"] = square / jnp.maximum(jnp.sum(mask), 1)
        predicted = found.pop("outputs")
        terms, loss_state = chain.update(
            terms,
            state.loss_state,
            target,
            **{outputs: predicted},
            **found,
            **extra,
            key=keys[4],
            step=state.step,
            axis_name=axis_name,
        )
        loss = transforms.reduce(terms, axis_name)
        metrics["loss"] = loss
        if outputs == "boxes":
            overlap = losses.box_iou(predicted, target["box"])
            total = jnp.sum(jnp.where(terms.mask, overlap, 0.0))
            metrics["iou"] = total / jnp.maximum(jnp.sum(terms.mask), 1)
        else:
            right = jnp.argmax(predicted, axis=-1) == target["label"]
            metrics["accuracy"] = share_of(right, terms.mask)
        return loss, (
            state._replace(model_state=model_state, loss_state=loss_state),
            metrics,
        )

    def epoch(state: TrainState, data: TrainData, outputs: Any) -> TrainState:
        del data, outputs
        return state._replace(loss_state=chain.epoch(state.loss_state))

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return apply_prediction(model, params, model_state, preprocess(inputs))

    algorithm = Algorithm(init, objective, epoch, predict, optimizer, order=order)
    return single_phase(algorithm, epochs)
