"""MixMatch: learning from few labels and many examples without one.

Berthelot, Carlini, Goodfellow, Papernot, Oliver, Raffel, "MixMatch: A Holistic Approach
to Semi-Supervised Learning", NeurIPS 2019. Targets of unlabelled examples are guessed
from several random views of them and sharpened; then everything is mixed with
everything. The pieces are pure functions, of use to other methods (`divide_mix`
treats wrong labels as missing ones); `mix_match` is the whole.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, losses, transforms
from robustjax.data.mixup import mixup
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
from robustjax.training.supervised import Augment, Preprocess, share_of
from robustjax.transforms import ExampleSpec, LossState

LABELLED, UNLABELLED = 0, 1
"""The places of the two kinds of examples on the last axis of an epoch's order."""


class Rows(NamedTuple):
    """Examples, or random views of examples, with their targets.

    Attributes:
      inputs: (R, ...) floats.
      targets: (R, C) distributions.
      mask: (R,) bool, False on padding.
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array


def sharpen(probabilities: jax.Array, temperature: jax.Array | float) -> jax.Array:
    """Makes distributions more certain, `p_k^(1/T) / sum_j p_j^(1/T)` (Eq. 7).

    Args:
      probabilities: (..., C) distributions.
      temperature: T > 0; 1 changes nothing, near 0 the largest class takes all.

    Returns:
      (..., C) distributions.

    Raises:
      ValueError: T that is not positive.
    """
    checks.in_range("temperature", temperature, 0, low_open=True)
    # Relative to the largest: powers cannot all underflow.
    relative = probabilities / jnp.max(probabilities, axis=-1, keepdims=True)
    powers = relative ** (1 / temperature)
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


def ramp_up(progress: jax.Array | float, length: float) -> jax.Array:
    """Rises linearly from 0 at the beginning to 1 at `length`, and stays there.

    Args:
      progress: the time since the beginning, possibly traced and negative.
      length: >= 0, in the same unit; at 0 the result is always 1.
    """
    if length == 0:
        return jnp.float32(1.0)
    return jnp.clip(jnp.asarray(progress, jnp.float32) / length, 0.0, 1.0)


def masked_mean(
    values: jax.Array, mask: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """The mean over the real rows; 0 where there is none.

    Args:
      values: (R, ...).
      mask: (R,) bool, False on padding.
      axis_name: the mapped device axis over which the rows are split, else None.

    Returns:
      (...), the shape of one row.
    """

    def total(x: jax.Array) -> jax.Array:
        return x if axis_name is None else jax.lax.psum(x, axis_name)

    real = mask.reshape(-1, *(1,) * (values.ndim - 1))
    count = total(jnp.sum(mask.astype(values.dtype)))
    return total(jnp.sum(jnp.where(real, values, 0), axis=0)) / jnp.maximum(count, 1)


def augmented_views(
    key: jax.Array,
    inputs: jax.Array,
    num_views: int,
    *,
    augment: Augment | None,
    preprocess: Preprocess,
    lead: int = 1,
) -> jax.Array:
    """Several random changes of every example, by one call of `augment`.

    Args:
      key: PRNG key.
      inputs: (*lead axes, ...).
      num_views: M.
      augment: `(key, inputs) -> inputs`; without it all views are equal.
      preprocess: applied after it.
      lead: how many axes of the inputs count examples.

    Returns:
      (M, *lead axes, ...).
    """
    shape, one = inputs.shape[:lead], inputs.shape[lead:]
    views = jnp.broadcast_to(inputs[None], (num_views, *inputs.shape))
    views = views.reshape(-1, *one)
    if augment is not None:
        views = augment(key, views)
    views = preprocess(views)
    return views.reshape(num_views, *shape, *views.shape[1:])


def mix_rows(
    key: jax.Array,
    labelled: Rows,
    unlabelled: Rows,
    *,
    alpha: jax.Array | float,
    per_example: bool = True,
) -> Rows:
    """Mixes all rows with all rows (Algorithm 1, lines 11 to 14).

    Labelled and unlabelled rows are concatenated, and each is mixed with a random one
    of them all, `l' x_i + (1 - l') x_j` with `l' = max(l, 1 - l)` and
    `l ~ Beta(alpha, alpha)`; targets likewise. A mixed row counts as what its larger
    part was.

    Args:
      key: PRNG key.
      labelled: rows whose targets are labels.
      unlabelled: rows whose targets are guesses.
      alpha: > 0.
      per_example: whether every row draws an `l` of its own (as the authors' code
        does) rather than all rows one (as DivideMix does).

    Returns:
      The mixed rows, those that were labelled first; no gradient flows into their
      targets.
    """
    inputs, targets, mask = (
        jnp.concatenate(pair) for pair in zip(labelled, unlabelled)
    )
    mixed = mixup(
        key,
        inputs,
        jax.lax.stop_gradient(targets),
        alpha=alpha,
        keep_dominant=True,
        per_example=per_example,
        mask=mask,
    )
    return Rows(mixed.inputs, mixed.targets, mask)


def mix_match_losses(
    logits: jax.Array, mixed: Rows, num_labelled: int, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array]:
    """Compares predictions with mixed targets (Eq. 3 and 4).

    Args:
      logits: (R, C) of the mixed rows.
      mixed: from `mix_rows`.
      num_labelled: how many of the rows, at the front, were labelled.
      axis_name: the mapped device axis over which the rows are split, else None.

    Returns:
      (), the cross-entropy of the rows that were labelled, and (), the squared error
      of the others, a mean over rows and over classes; 0 where a kind has no real row.
    """
    first, last = slice(None, num_labelled), slice(num_labelled, None)
    entropies = losses.cross_entropy(logits[first], mixed.targets[first])
    errors = jax.nn.softmax(logits[last]) - mixed.targets[last]
    squares = jnp.mean(errors**2, axis=-1)
    return (
        masked_mean(entropies, mixed.mask[first], axis_name),
        masked_mean(squares, mixed.mask[last], axis_name),
    )


def semi_supervised_order(
    key: jax.Array, labelled: jax.Array, batch_size: int, padding_index: int
) -> jax.Array:
    """An epoch's batches: half of each labelled, half of it not.

    Either kind is gone through in a random order, again and again until the epoch
    ends, whichever is longer; a kind with fewer examples than half a batch fills the
    rest with padding, so that no batch holds an example twice.

    Args:
      key: PRNG key.
      labelled: (N,) bool, possibly traced.
      batch_size: B, even.
      padding_index: stands for "no example".

    Returns:
      (ceil(N / B), B / 2, 2) int32; on the last axis labelled and unlabelled.

    Raises:
      ValueError: an odd batch size.
    """
    if batch_size % 2:
        raise ValueError(f"batch_size: got {batch_size}, expected an even number")
    size, half = labelled.shape[0], batch_size // 2
    steps = -(-size // batch_size)
    shuffled = jnp.lexsort((jax.random.uniform(key, (size,)), ~labelled))
    in_epoch = jnp.arange(steps * half).reshape(steps, half)
    in_batch = jnp.broadcast_to(jnp.arange(half)[None], (steps, half))
    first = jnp.sum(labelled)

    def cycle(begin: jax.Array, count: jax.Array) -> jax.Array:
        place = begin + in_epoch % jnp.maximum(count, 1)
        drawn = shuffled.at[place].get(mode="clip")
        return jnp.where(in_batch < count, drawn, padding_index)

    kinds = cycle(jnp.zeros_like(first), first), cycle(first, size - first)
    return jnp.stack(kinds, axis=-1).astype(jnp.int32)


def mix_match(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    labelled: np.ndarray,
    lambda_u: float = 75.0,
    temperature: float = 0.5,
    num_views: int = 2,
    alpha: float = 0.75,
    ramp_up_steps: int = 16_384,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Semi-supervised training of one network.

    Every step takes half a batch of labelled and half a batch of unlabelled examples
    (see `semi_supervised_order`; an epoch is `ceil(N / B)` steps). The target of an
    unlabelled example is the network's mean prediction over `num_views` random views,
    sharpened, and the target of all of them. Labelled examples come in one view.
    The loss is `labelled + lambda_u * ramp * unlabelled` of `mix_match_losses`.

    Published settings: T 0.5, two views, alpha 0.75; lambda_u 75 on CIFAR-10, 150 on
    CIFAR-100, 250 on SVHN, 50 on STL-10; Wide ResNet 28-2, batches of 64 + 64 (a
    batch size of 128 here), Adam at 0.002, and in every step 0.02 times the learning
    rate (0.04 for the large networks) taken off the kernels; shifts and mirror images.

    Differences from the authors' code: no moving average of the weights (it evaluates
    one, of decay 0.999); guesses are made in prediction mode, with the running
    statistics of batch normalisation, where it takes those of the batch; and all mixed
    rows pass through the network, and into its statistics, together.

    Args:
      model: a Linen classifier.
      optimizer: any optax transformation.
      epochs: of training.
      labelled: (N,) bool, which examples are labelled; the labels of the others are
        never looked at. It becomes the state's row "labelled", so that repeats may be
        given different ones there.
      lambda_u: the weight of the unlabelled rows, >= 0.
      temperature: of the sharpening, > 0.
      num_views: K of the guesses.
      alpha: of the mixing, > 0.
      ramp_up_steps: over which `lambda_u` rises from 0; 0 for at once.
      augment: `(key, inputs) -> inputs`; by default none, and then all views are
        equal.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase. Metrics: "loss", "labelled_loss", "unlabelled_loss" (as it
      enters, without its weight), and "accuracy" (of mixed labelled rows, under the
      label of their larger part).

    Raises:
      ValueError: a number outside its range, no labelled example, or an odd batch
        size; when the state is made, another number of examples.
    """
    chosen = np.asarray(labelled)
    checks.rank("labelled", chosen, 1)
    if chosen.dtype != bool or not chosen.any():
        raise ValueError(
            f"labelled: got {chosen.dtype.name} with {np.count_nonzero(chosen)} "
            "non-zero, expected bool with at least one True"
        )
    check_mixing(lambda_u, temperature, num_views, alpha)
    checks.at_least("ramp_up_steps", ramp_up_steps, 0)

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        if chosen.size != spec.num_examples:
            raise ValueError(
                f"labelled: got {chosen.size} entries, expected one for each of the "
                f"{spec.num_examples} examples"
            )
        init_key, run_key = jax.random.split(key)
        params, model_state = init_variables(model, init_key, preprocess(sample_inputs))
        padding = spec.padded_examples - spec.num_examples
        rows = {"labelled": jnp.asarray(np.pad(chosen, (0, padding)))}
        return fresh_state(params, model_state, LossState(rows, {}), optimizer, run_key)

    def order(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        known = state.loss_state.rows["labelled"][:num_examples]
        return semi_supervised_order(key, known, batch_size, padding_index)

    def objective(
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        first_key, views_key, mix_key, network_key = jax.random.split(key, 4)
        known, unknown = batch["mask"][:, LABELLED], batch["mask"][:, UNLABELLED]
        inputs, labels = batch["inputs"], batch["label"][:, LABELLED]
        changed = functools.partial(
            augmented_views, augment=augment, preprocess=preprocess
        )
        first = changed(first_key, inputs[:, LABELLED], 1)[0]
        views = changed(views_key, inputs[:, UNLABELLED], num_views)
        flat = views.reshape(-1, *views.shape[2:])
        logits = apply_prediction(
            model, jax.lax.stop_gradient(params), state.model_state, flat
        )
        num_classes = logits.shape[-1]
        guesses = jax.nn.softmax(logits).reshape(num_views, -1, num_classes)
        targets = sharpen(jnp.mean(guesses, axis=0), temperature)

        mixed = mix_rows(
            mix_key,
            Rows(first, losses.as_distributions(labels, num_classes), known),
            Rows(flat, jnp.tile(targets, (num_views, 1)), jnp.tile(unknown, num_views)),
            alpha=alpha,
        )
        logits, model_state = apply_training(
            model,
            params,
            state.model_state,
            mixed.inputs,
            key=network_key,
            mask=mixed.mask,
        )
        supervised, guessed = mix_match_losses(logits, mixed, len(labels), axis_name)
        loss = supervised + lambda_u * ramp_up(state.step, ramp_up_steps) * guessed
        right = jnp.argmax(logits[: len(labels)], axis=-1) == labels
        metrics = {
            "loss": loss,
            "labelled_loss": supervised,
            "unlabelled_loss": guessed,
            "accuracy": share_of(right, known),
        }
        return loss, (state._replace(model_state=model_state), metrics)

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return apply_prediction(model, params, model_state, preprocess(inputs))

    algorithm = Algorithm(init, objective, no_epoch, predict, optimizer, order=order)
    return single_phase(algorithm, epochs)


def check_mixing(
    lambda_u: float, temperature: float, num_views: int, alpha: float
) -> None:
    """Raises `ValueError` for a hyper-parameter of MixMatch outside its range."""
    checks.in_range("lambda_u", lambda_u, 0)
    checks.in_range("temperature", temperature, 0, low_open=True)
    checks.at_least("num_views", num_views, 1)
    checks.in_range("alpha", alpha, 0, low_open=True)
