"""DFA: features of class and bias are kept apart, and swapped between images.

Lee, Kim, Lee, Lee, Choo, "Learning Debiased Representation via Disentangled Feature
Augmentation", NeurIPS 2021.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from robustjax import checks, losses, transforms
from robustjax.methods.bias._plain import GceForm, gce_head
from robustjax.models._two_encoders import TwoEncoderClassifier
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
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import Batch, ExampleSpec


def shuffle_real(key: jax.Array, mask: jax.Array) -> jax.Array:
    """A random permutation of a batch's real rows; padding stays in its place.

    Args:
      key: PRNG key.
      mask: (B,) bool, False on padding.

    Returns:
      (B,) int32, from where every row gets its new content; a row may keep its own.
    """
    draw = jnp.where(mask, jax.random.uniform(key, mask.shape), jnp.inf)
    shuffled = jnp.argsort(draw)
    rank = jnp.cumsum(mask) - 1
    own = jnp.arange(mask.shape[0])
    return jnp.where(mask, shuffled[jnp.maximum(rank, 0)], own).astype(jnp.int32)


def dfa(
    model: TwoEncoderClassifier,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    lambda_dis: float = 10.0,
    lambda_swap: float = 1.0,
    lambda_swap_bias: float = 10.0,
    swap_from_step: int = 10_000,
    q: float = 0.7,
    form: GceForm = "reweighted",
    decay: float = 0.7,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Two encoders with LfF's losses, then with the bias features swapped, too.

    With z the intrinsic and b the bias feature, C and D their heads, W LfF's weight
    (`transforms.relative_difficulty` of both heads' cross-entropies), y the labels and
    b~, y~ those of a permutation of the batch:

        L_dis  = mean(W CE(C(z, b), y)) + lambda_dis mean(GCE(D(z, b), y)),
        L_swap = mean(W CE(C(z, b~), y)) + lambda_swap_bias mean(GCE(D(z, b~), y~)),

    and the loss is `L_dis + lambda_swap L_swap` after step `swap_from_step`, L_dis up
    to it. W is the unswapped image's in both. No gradient goes from C into b or from D
    into z, so the branches' gradients are disjoint, and under Adam, which forgets a
    common factor, `lambda_dis` alone changes next to nothing: of all three factors only
    `lambda_swap lambda_swap_bias / lambda_dis` counts.

    Ablations: `lambda_swap=0` leaves out the swapping, `swap_from_step=0` its schedule.

    Published: 50,000 steps, q and decay 0.7, batches of 256 (bFFHQ 64), `dfa_optimizer`
    with the rates there. (lambda_dis, lambda_swap_bias, lambda_swap): Colored MNIST
    (10, 10, 1); CIFAR-10 (5, 5, 1) at 1 % and 2 % of conflicting examples, (1, 1, 1) at
    0.5 % and 5 %; bFFHQ (2, 2, 0.1). The authors report the best accuracy on the *test*
    set, and leave out the last, incomplete batch, which is padded here.

    Under `pmap` features are swapped within a device's own part of the batch.

    Args:
      model: a `models.TwoEncoderClassifier`.
      optimizer: elementwise, such as `dfa_optimizer(1e-2)`: it serves both branches.
      epochs: of training.
      lambda_dis: >= 0.
      lambda_swap: >= 0.
      lambda_swap_bias: >= 0.
      swap_from_step: the last step without swapping, counted from 0, >= 0.
      q: of the biased head's loss, in (0, 1].
      form: of that loss, see `gce_head`.
      decay: of the averaged losses in W, in [0, 1].
      augment: `(key, inputs) -> inputs` in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase that predicts by C(z, b) with both real features. Metrics:
      "loss", "accuracy", "biased_accuracy" (of D, on the labels), "weight" (mean W) and
      "swap_loss", which is there from the first step and counts from its own on.

    Raises:
      ValueError: another model, or a number outside its range.
    """
    if not isinstance(model, TwoEncoderClassifier):
        raise ValueError(
            f"model: got {type(model).__name__}, expected a TwoEncoderClassifier"
        )
    for name, value in (
        ("lambda_dis", lambda_dis),
        ("lambda_swap", lambda_swap),
        ("lambda_swap_bias", lambda_swap_bias),
    ):
        checks.in_range(name, value, 0)
    checks.at_least("swap_from_step", swap_from_step, 0)
    difficulty = transforms.relative_difficulty(decay)
    gce = gce_head(q, form)

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        init_key, run_key = jax.random.split(key)
        params, model_state = init_variables(model, init_key, preprocess(sample_inputs))
        memory = difficulty.init(spec)
        return fresh_state(params, model_state, memory, optimizer, run_key)

    def heads(params: Any, *features: jax.Array) -> list[jax.Array]:
        return [
            jnp.asarray(model.apply({"params": params}, *features, method=head))
            for head in ("intrinsic_logits", "bias_logits")
        ]

    def objective(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        augment_key, network_key, swap_key = jax.random.split(key, 3)
        inputs = batch["inputs"]
        if augment is not None:
            inputs = augment(augment_key, inputs)
        start = transforms.start(batch)
        (intrinsic, bias), model_state = apply_training(
            model,
            params,
            state.model_state,
            preprocess(inputs),
            key=network_key,
            mask=start.mask,
            method="encode",
        )
        logits, biased = heads(params, intrinsic, bias)
        terms, memory = difficulty.update(
            start,
            state.loss_state,
            batch,
            logits=logits,
            biased_logits=biased,
            axis_name=axis_name,
        )
        source = shuffle_real(swap_key, start.mask)
        swapped, swapped_biased = heads(params, intrinsic, bias[source])

        def total(
            logits: jax.Array, biased: jax.Array, labels: jax.Array, factor: float
        ) -> jax.Array:
            """The weighted loss of one head, and that of the other."""
            value = losses.cross_entropy(logits, terms.labels)
            own = transforms.reduce(terms.replace(value=value), axis_name)
            other, _ = gce.update(
                start.replace(labels=labels), gce.init(_NO_SPEC), batch, logits=biased
            )
            return own + factor * transforms.reduce(other, axis_name)

        apart = total(logits, biased, start.labels, lambda_dis)
        swap = total(swapped, swapped_biased, start.labels[source], lambda_swap_bias)
        swaps = jnp.where(state.step > swap_from_step, lambda_swap, 0.0)
        loss = apart + swaps * swap
        labels = batch["label"]
        real = jnp.maximum(jnp.sum(start.mask), 1)
        metrics = {
            "loss": loss,
            "accuracy": share_of(jnp.argmax(logits, axis=-1) == labels, start.mask),
            "biased_accuracy": share_of(
                jnp.argmax(biased, axis=-1) == labels, start.mask
            ),
            "weight": jnp.sum(jnp.where(start.mask, terms.weight, 0.0)) / real,
            "swap_loss": swap,
        }
        state = state._replace(model_state=model_state, loss_state=memory)
        return loss, (state, metrics)

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return apply_prediction(model, params, model_state, preprocess(inputs))

    algorithm = Algorithm(init, objective, no_epoch, predict, optimizer)
    return single_phase(algorithm, epochs)


# The heads of GCE have no state that would depend on it.
_NO_SPEC = ExampleSpec(num_examples=1, num_classes=2)


def dfa_optimizer(
    learning_rate: float,
    *,
    decay: float = 0.5,
    decay_every: int = 10_000,
    decay_from_step: int = 10_000,
) -> optax.GradientTransformation:
    """Adam as DFA uses it: its rate falls in steps once the swapping has begun.

    The schedule counts from `decay_from_step`, so that the rate first falls at
    `decay_from_step + decay_every`.

    Published: rate 1e-2 for Colored MNIST, 1e-3 for CIFAR-10 (5e-4 at 0.5 % of
    conflicting examples), 1e-4 with decay 0.1 for bFFHQ.

    Args:
      learning_rate: > 0.
      decay: what the rate is multiplied by, in (0, 1].
      decay_every: steps between two falls, >= 1.
      decay_from_step: >= 0, `swap_from_step` of `dfa`.

    Returns:
      An optax transformation.

    Raises:
      ValueError: a number outside its range.
    """
    checks.in_range("learning_rate", learning_rate, 0, low_open=True)
    checks.in_range("decay", decay, 0, 1, low_open=True)
    checks.at_least("decay_every", decay_every, 1)
    checks.at_least("decay_from_step", decay_from_step, 0)

    def rate(step: jax.Array) -> jax.Array:
        falls = jnp.maximum(step - decay_from_step, 0) // decay_every
        return learning_rate * decay ** falls.astype(jnp.float32)

    return optax.adam(rate)
