"""MixMatch: learning from few labels and many examples without one.

Berthelot, Carlini, Goodfellow, Papernot, Oliver, Raffel, "MixMatch: A Holistic Approach
to Semi-Supervised Learning", NeurIPS 2019. Its pieces are in `semi_supervised`. Beside
them, examples that belong to no class can be unlearned, as in Park et al.,
"Task-Agnostic Undesirable Feature Deactivation Using Out-of-Distribution Data", NeurIPS
2021.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, losses, transforms
from robustjax.methods._semi_supervised import (
    LABELED,
    UNLABELED,
    Rows,
    augmented_views,
    check_mixing,
    mix_match_losses,
    mix_rows,
    ramp_up,
    sharpen,
)
from robustjax.methods.features._feature_debiasing import feature_pass
from robustjax.training import (
    Algorithm,
    Recipe,
    TrainState,
    apply_prediction,
    apply_training,
    as_float,
    fresh_state,
    init_variables,
    no_epoch,
    single_phase,
)
from robustjax.training._pools import pools_order
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import ExampleSpec, LossState, LossTransform, Stage

OOD = 2
"""The place of out-of-distribution examples on an order's last axis, if they are used,
after `LABELED` and `UNLABELED`."""


def mix_match(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    labeled: np.ndarray,
    lambda_u: float = 75.0,
    temperature: float = 0.5,
    num_views: int = 2,
    alpha: float = 0.75,
    ramp_up_steps: int = 16_384,
    ood: np.ndarray | None = None,
    penalty: LossTransform | None = None,
    average_decay: float | None = None,
    augment: Augment | None = None,
    ood_augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Semi-supervised training of one network.

    Every step takes half a batch of labelled and half a batch of unlabelled examples,
    either kind in turn and in random order (see `pools_order`; with N of both kinds,
    an epoch is `ceil(N / B)` steps). The target of an unlabelled example is the
    network's mean prediction over `num_views` random views, sharpened, and the target
    of all of them. Labelled examples come in one view. The loss is
    `labeled + lambda_u * ramp * unlabeled` of `mix_match_losses`.

    With a penalty a step also takes half a batch of out-of-distribution (OOD)
    examples. They pass through the network in training mode by themselves, after the
    mixed rows; they are neither mixed nor guessed. The loss gains the penalty's term.

    Published settings: T 0.5, two views, alpha 0.75; lambda_u 75 on CIFAR-10, 150 on
    CIFAR-100, 250 on SVHN, 50 on STL-10; Wide ResNet 28-2, batches of 64 + 64 (a
    batch size of 128 here), Adam at 0.002, and in every step 0.02 times the learning
    rate (0.04 for the large networks) taken off the kernels; a moving average of the
    weights of decay 0.999; shifts and mirror images. With TAUFE: the penalty
    `transforms.taufe(**TAUFE_SETTINGS["mix_match"]._asdict())`, lambda_u 100 and
    `ramp_up_steps=16_000`, 25 labels per class.

    Differences from the authors' code: guesses are made in prediction mode, with the
    running statistics of batch normalisation, where it takes those of the batch; and
    all mixed rows pass through the network, and into its statistics, together.

    Args:
      model: a Linen classifier.
      optimizer: any optax transformation.
      epochs: of training.
      labeled: (N,) bool, which examples are labelled; the labels of the others are
        never looked at. It becomes the state's row "labeled", so that repeats may be
        given different ones there.
      lambda_u: the weight of the unlabelled rows, >= 0.
      temperature: of the sharpening, > 0.
      num_views: K of the guesses.
      alpha: of the mixing, > 0.
      ramp_up_steps: over which `lambda_u` rises from 0; 0 for at once.
      ood: (N,) bool, which examples are out of distribution; by default none. They
        must not be labelled. It becomes the state's row "ood", in which repeats may
        have different ones, as many each. Without a penalty they are left out.
      penalty: what is asked of the OOD examples: `transforms.taufe`, `transforms.oat`,
        or a chain of such. It gets "ood_features" (M, d), "ood_logits" (M, C),
        "ood_mask" (M,) and, if the model has it, "ood_feature_map" (M, h, w, c).
      average_decay: how much of the moving average of the parameters a step keeps, in
        [0, 1]; prediction is by the average. By default there is none. The state of
        the model is then {"network": the further collections, "average": the averaged
        parameters}.
      augment: `(key, inputs) -> inputs`; by default none, and then all views are
        equal.
      ood_augment: of OOD examples; by default `augment`.
      preprocess: applied after them, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase. Metrics: "loss", "labeled_loss", "unlabeled_loss" (as it
      enters, without its weight), "accuracy" (of mixed labelled rows, under the label
      of their larger part), and with a penalty "penalty", as it enters.

    Raises:
      ValueError: a number outside its range, no labelled example, a penalty without
        OOD examples or one that is not additive, OOD examples that are labelled, or
        an odd batch size; when the state is made, another number of examples.
    """
    chosen = _members("labeled", labeled)
    outside = np.zeros(chosen.shape, bool) if ood is None else _members("ood", ood)
    checks.same_length(labeled=chosen, ood=outside)
    if (chosen & outside).any():
        raise ValueError(
            f"ood: {np.count_nonzero(chosen & outside)} example(s) are labelled, too, "
            "expected others"
        )
    if penalty is not None:
        if ood is None:
            raise ValueError("ood: got None, expected examples for the penalty")
        if set(penalty.stages) != {Stage.ADDITIVE}:
            raise ValueError(
                f"penalty: got {penalty.name}, expected additive transforms only"
            )
        if not callable(getattr(type(model), "features", None)):
            raise ValueError(
                f"model: got {type(model).__name__}, expected one with methods "
                "'features' and 'head' for the penalty"
            )
    check_mixing(lambda_u, temperature, num_views, alpha)
    checks.at_least("ramp_up_steps", ramp_up_steps, 0)
    if average_decay is not None:
        checks.in_range("average_decay", average_decay, 0, 1)
    num_pools = 2 if penalty is None else 3
    num_ood = int(outside.sum())

    def collections(model_state: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the network holds beside its parameters."""
        return model_state if average_decay is None else model_state["network"]

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        if chosen.size != spec.num_examples:
            raise ValueError(
                f"labeled: got {chosen.size} entries, expected one for each of the "
                f"{spec.num_examples} examples"
            )
        init_key, run_key = jax.random.split(key)
        params, model_state = init_variables(model, init_key, preprocess(sample_inputs))
        padding = (0, spec.padded_examples - spec.num_examples)
        rows: dict[str, Any] = {"labeled": jnp.asarray(np.pad(chosen, padding))}
        shared: dict[str, Any] = {}
        if ood is not None:
            rows["ood"] = jnp.asarray(np.pad(outside, padding))
        if penalty is not None:
            rows["penalty"], shared["penalty"] = penalty.init(spec)
        if average_decay is not None:
            # A copy: an array must not be donated to the next step twice.
            average = jax.tree.map(jnp.copy, params)
            model_state = {"network": model_state, "average": average}
        memory = LossState(rows, shared)
        return fresh_state(params, model_state, memory, optimizer, run_key)

    def order(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        if batch_size % 2:
            raise ValueError(f"batch_size: got {batch_size}, expected an even number")
        rows = state.loss_state.rows
        pool = jnp.where(rows["labeled"], LABELED, UNLABELED)
        if ood is not None:
            # Without a penalty there is no such pool, and they are never drawn.
            pool = jnp.where(rows["ood"], OOD, pool)
        return pools_order(
            key,
            pool[:num_examples],
            num_pools=num_pools,
            batch_size=batch_size // 2 * num_pools,
            steps=-(-(num_examples - num_ood) // batch_size),
            padding_index=padding_index,
        )

    def unlearned(
        params: Any,
        model_state: Mapping[str, Any],
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None,
    ) -> tuple[jax.Array, dict[str, Any], LossState]:
        """The penalty's term, and what the network and the penalty then hold."""
        assert penalty is not None
        augment_key, network_key, penalty_key = jax.random.split(key, 3)
        own = {name: value[:, OOD] for name, value in batch.items()}
        inputs = augmented_views(
            augment_key,
            own["inputs"],
            1,
            augment=ood_augment or augment,
            preprocess=preprocess,
        )[0]
        found, after = feature_pass(
            model, params, model_state, inputs, key=network_key, mask=own["mask"]
        )
        found["logits"] = found.pop("outputs")
        memory = state.loss_state
        terms, new = penalty.update(
            transforms.start(own),
            LossState(memory.rows["penalty"], memory.shared["penalty"]),
            own,
            **{f"ood_{name}": value for name, value in found.items()},
            ood_mask=own["mask"],
            key=penalty_key,
            step=state.step,
            axis_name=axis_name,
        )
        memory = LossState(
            {**memory.rows, "penalty": new.rows},
            {**memory.shared, "penalty": new.shared},
        )
        return transforms.reduce(terms, axis_name), after, memory

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        first_key, views_key, mix_key, network_key = jax.random.split(key, 4)
        known, unknown = batch["mask"][:, LABELED], batch["mask"][:, UNLABELED]
        inputs, labels = batch["inputs"], batch["label"][:, LABELED]
        before = collections(state.model_state)
        changed = functools.partial(
            augmented_views, augment=augment, preprocess=preprocess
        )
        first = changed(first_key, inputs[:, LABELED], 1)[0]
        views = changed(views_key, inputs[:, UNLABELED], num_views)
        flat = views.reshape(-1, *views.shape[2:])
        logits = apply_prediction(model, jax.lax.stop_gradient(params), before, flat)
        num_classes = logits.shape[-1]
        guesses = jax.nn.softmax(logits).reshape(num_views, -1, num_classes)
        targets = sharpen(jnp.mean(guesses, axis=0), temperature)

        mixed = mix_rows(
            mix_key,
            Rows(first, losses.as_distributions(labels, num_classes), known),
            Rows(flat, jnp.tile(targets, (num_views, 1)), jnp.tile(unknown, num_views)),
            alpha=alpha,
        )
        logits, after = apply_training(
            model,
            params,
            before,
            mixed.inputs,
            key=network_key,
            mask=mixed.mask,
        )
        supervised, guessed = mix_match_losses(logits, mixed, len(labels), axis_name)
        loss = supervised + lambda_u * ramp_up(state.step, ramp_up_steps) * guessed
        right = jnp.argmax(logits[: len(labels)], axis=-1) == labels
        metrics = {
            "labeled_loss": supervised,
            "unlabeled_loss": guessed,
            "accuracy": share_of(right, known),
        }
        if penalty is not None:
            # The keys above stay what they are without a penalty.
            term, after, memory = unlearned(
                params, after, state, batch, jax.random.fold_in(key, 4), axis_name
            )
            loss = loss + term
            metrics["penalty"] = term
            state = state._replace(loss_state=memory)
        metrics["loss"] = loss
        if average_decay is not None:
            after = {**state.model_state, "network": after}
        return loss, (state._replace(model_state=after), metrics)

    def after_step(state: TrainState) -> TrainState:
        assert average_decay is not None
        average = optax.incremental_update(
            state.params, state.model_state["average"], 1 - average_decay
        )
        return state._replace(model_state={**state.model_state, "average": average})

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        used = params if average_decay is None else model_state["average"]
        return apply_prediction(
            model, used, collections(model_state), preprocess(inputs)
        )

    algorithm = Algorithm(
        init,
        objective,
        no_epoch,
        predict,
        optimizer,
        order=order,
        after_step=None if average_decay is None else after_step,
    )
    return single_phase(algorithm, epochs)


def _members(name: str, given: np.ndarray) -> np.ndarray:
    """A (N,) bool array with at least one member, or an error."""
    array = np.asarray(given)
    checks.rank(name, array, 1)
    if array.dtype != bool or not array.any():
        raise ValueError(
            f"{name}: got {array.dtype.name} with {np.count_nonzero(array)} non-zero, "
            "expected bool with at least one True"
        )
    return array
