"""DivideMix: labels that look wrong are dropped, and learning is semi-supervised.

Li, Socher, Hoi, "DivideMix: Learning with Noisy Labels as Semi-supervised Learning",
ICLR 2020. Two networks. After every epoch a mixture of two Gaussians on a network's
losses tells which labels are likely right; with that division its peer is trained by
MixMatch, so that neither confirms its own mistakes.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import checks, losses
from robustjax.methods._semi_supervised import (
    LABELED,
    UNLABELED,
    Rows,
    augmented_views,
    check_mixing,
    co_refine,
    masked_mean,
    mix_match_losses,
    mix_rows,
    ramp_up,
    sharpen,
    uniform_prior_penalty,
)
from robustjax.methods._two_networks import (
    NETWORKS,
    each_network,
    init_networks,
    network,
    own_orders,
    predict_networks,
    train_networks,
)
from robustjax.methods.label_noise import _co_divide as co_divide
from robustjax.training import (
    Algorithm,
    Phase,
    Recipe,
    TrainData,
    TrainState,
    apply_prediction,
    as_float,
    fresh_state,
    no_epoch,
)
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import Batch, ExampleSpec
from robustjax.transforms._rows import gather_rows

Objective = tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]
"""What a step's objective gives; see `training.Algorithm`."""


def divide_mix(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int = 300,
    warmup_epochs: int = 10,
    lambda_u: float = 25.0,
    threshold: float = 0.5,
    temperature: float = 0.5,
    alpha: float = 4.0,
    num_views: int = 2,
    ramp_up_epochs: float = 16.0,
    prior_weight: float = 1.0,
    confidence_penalty: float = 0.0,
    average_epochs: int = 1,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Two networks: cross-entropy at first, then MixMatch on each other's divisions.

    After the last warm-up epoch and every later one, the losses of all examples
    (un-augmented, in prediction mode) are scaled to [0, 1], network by network, and
    `scores.fit_two_gaussians` gives the probability w that a label is right.
    In the next epoch a network takes the examples whose w *of its peer* is above
    `threshold` as labelled and the rest as unlabelled. A step is half a batch of each
    (see `semi_supervised_order`), every example in `num_views` random views:

    - the target of a labelled example is `co_refine` of its label and the network's own
      mean prediction over the views;
    - the target of an unlabelled example is the mean prediction of both networks
      over the views, sharpened;
    - the loss is `labeled + lambda_u * ramp * unlabeled` of `mix_match_losses` plus
      `prior_weight` times `uniform_prior_penalty` of all mixed rows.

    Epochs of both phases have `ceil(N / B)` steps, so that one schedule in steps fits
    both.

    Published settings: PreActResNet-18, SGD at 0.02 (divided by 10 from epoch 150),
    momentum 0.9, weight decay 5e-4, 300 epochs, batch size 128 (64 + 64 after the
    warm-up), T 0.5, alpha 4, two views, and

    | data, noise | warm-up | lambda_u | other |
    |---|---|---|---|
    | CIFAR-10, symmetric 20 % | 10 | 0 | |
    | CIFAR-10, symmetric 50 %, 80 % | 10 | 25 | |
    | CIFAR-10, symmetric 90 % | 10 | 50 | threshold 0.6, average_epochs 5 |
    | CIFAR-10, asymmetric 40 % | 10 | 0 | confidence_penalty 1 |
    | CIFAR-100, symmetric 20 % | 30 | 25 | |
    | CIFAR-100, symmetric 50 % to 90 % | 30 | 150 | at 90 % as CIFAR-10 |
    | CIFAR-10N, little noise | 10 | 0 | |
    | WebVision | | 0 | alpha 0.5, SGD at 0.01, batches of 32 + 32, 80 epochs |

    What the authors do on Clothing1M is another method and not offered: 1000 batches
    of balanced classes per epoch, and no loss on unlabelled rows, which are not mixed.
    `lambda_u` matters most: 25 where 0 is right costs about four points on CIFAR-10.
    Prune4ReL (Park et al., NeurIPS 2023) trains on a chosen subset with
    `warmup_epochs=0, ramp_up_epochs=0, lambda_u=1`, a batch size of 256 here, and a
    cosine schedule; N and all losses are then those of the subset.

    Differences from the authors' code:

    - both networks take a step at a time together; theirs trains one for a whole epoch,
      then the other, which then learns from a peer one epoch ahead;
    - an epoch has `ceil(N / B)` steps; theirs is one pass over the labelled examples,
      and has more steps where more than half of the examples are labelled;
    - all guesses are made in prediction mode, with the running statistics of batch
      normalisation, which only the mixed rows update: one pass per network for all
      guesses. Theirs uses, and keeps, the statistics of the batch for a network's own
      guesses; the authors find both fine;
    - the mixture starts at the extreme losses, see `fit_two_gaussians`;
    - without a warm-up, all labels are taken for right in the first epoch, where
      Prune4ReL divides by the losses of random networks;
    - 300 epochs are 300, theirs 301.

    Args:
      model: a Linen classifier.
      optimizer: of both networks; elementwise, such as SGD.
      epochs: of training, the warm-up included.
      warmup_epochs: of them with the cross-entropy of all labels; less than `epochs`.
      lambda_u: the weight of the unlabelled rows, >= 0.
      threshold: tau in [0, 1), of the division.
      temperature: of the sharpening, > 0.
      alpha: of the mixing, > 0.
      num_views: M.
      ramp_up_epochs: over which `lambda_u` rises from 0 after the warm-up; 0 for at
        once.
      prior_weight: of the penalty towards equally frequent classes, >= 0.
      confidence_penalty: subtracts so many times the entropy of the predictions from
        the warm-up's loss, >= 0; meant for asymmetric noise, whose wrong labels
        are otherwise learnt with confidence. Must be 0 without a warm-up.
      average_epochs: how many divisions' scaled losses the mixture is fitted to in the
        mean.
      augment: `(key, inputs) -> inputs`; by default none, and then all views are
        equal.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe; parameters and `batch_stats` have a leading axis of two, and prediction
      is by the mean of the two networks' logits (the published sum has the same
      arg-max). The state's row "clean_probability" (N_padded, 2) holds w by either
      network, initially 1. Metrics, means of the two networks: "loss", "accuracy" and
      "labeled_share" (of all examples, in the last division).

    Raises:
      ValueError: a number outside its range; when compiled, an odd batch size.
    """
    checks.at_least("epochs", epochs, 1)
    checks.in_range("warmup_epochs", warmup_epochs, 0, epochs - 1)
    check_mixing(lambda_u, temperature, num_views, alpha)
    checks.in_range("threshold", threshold, 0, 1, high_open=True)
    checks.in_range("ramp_up_epochs", ramp_up_epochs, 0)
    checks.in_range("prior_weight", prior_weight, 0)
    checks.in_range("confidence_penalty", confidence_penalty, 0)
    if warmup_epochs == 0:
        checks.no_effect(
            "confidence_penalty", confidence_penalty, 0.0, "without a warm-up"
        )
    checks.at_least("average_epochs", average_epochs, 1)

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        init_key, run_key = jax.random.split(key)
        params, model_state = init_networks(model, init_key, preprocess(sample_inputs))
        memory = co_divide.all_right(spec, average_epochs)
        return fresh_state(params, model_state, memory, optimizer, run_key)

    def views_of(key: jax.Array, batch: Batch, count: int) -> jax.Array:
        """(count, *shape of the index, ...)."""
        return augmented_views(
            key,
            batch["inputs"],
            count,
            augment=augment,
            preprocess=preprocess,
            lead=batch["index"].ndim,
        )

    def warmup_objective(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> Objective:
        """Cross-entropy, less the entropy of the predictions if asked for."""
        views_key, *keys = jax.random.split(key, 1 + NETWORKS)
        inputs, labels, mask = (
            jnp.moveaxis(array, 1, 0)
            for array in (
                views_of(views_key, batch, 1)[0],
                batch["label"],
                batch["mask"],
            )
        )
        logits, model_state = train_networks(
            model, params, state.model_state, inputs, mask, jnp.stack(keys)
        )
        entropies = losses.cross_entropy(logits, labels)
        if confidence_penalty > 0:
            certainty = -losses.cross_entropy(logits, jax.nn.softmax(logits))
            entropies = entropies + confidence_penalty * certainty
        values = [masked_mean(*each, axis_name) for each in zip(entropies, mask)]
        right = jnp.argmax(logits, axis=-1) == labels
        state = state._replace(model_state=model_state)
        return _finish(state, jnp.stack(values), share_of(right, mask))

    def order(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        return co_divide.peer_orders(
            key,
            state.loss_state.rows["clean_probability"][:num_examples],
            threshold=threshold,
            batch_size=batch_size,
            padding_index=padding_index,
        )

    def objective(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> Objective:
        """MixMatch of both networks, each on its peer's division."""
        views_key, mix_key, *keys = jax.random.split(key, 2 + NETWORKS)
        # Everything below leads with the network and the kind of example.
        views = jnp.moveaxis(views_of(views_key, batch, num_views), (2, 3), (0, 1))
        labels, mask, index = (
            jnp.moveaxis(batch[name], 0, 2) for name in ("label", "mask", "index")
        )
        guesses = _guess(model, params, state, views)
        targets = _targets(state, labels, guesses, index, mask, temperature)

        def share(array: jax.Array) -> jax.Array:
            """All views of an example have its target and its mask."""
            shape = (*array.shape[:2], num_views, *array.shape[2:])
            views = jnp.broadcast_to(array[:, :, None], shape)
            return views.reshape(*shape[:2], -1, *shape[4:])

        inputs = views.reshape(NETWORKS, 2, -1, *views.shape[4:])
        rows = Rows(inputs, share(targets), share(mask))
        mix = functools.partial(mix_rows, alpha=alpha, per_example=False)
        mixed = jax.vmap(mix)(
            jax.random.split(mix_key, NETWORKS),
            jax.tree.map(lambda leaf: leaf[:, LABELED], rows),
            jax.tree.map(lambda leaf: leaf[:, UNLABELED], rows),
        )
        logits, model_state = train_networks(
            model, params, state.model_state, mixed.inputs, mixed.mask, jnp.stack(keys)
        )
        # `lambda_u`, risen with every step since the warm-up.
        size = 2 * batch["index"].shape[0]
        if axis_name is not None:
            size = size * jax.lax.axis_size(axis_name)
        steps_per_epoch = -(-state.loss_state.shared["num_examples"] // size)
        risen = ramp_up(state.step / steps_per_epoch - warmup_epochs, ramp_up_epochs)
        values = []
        for own in range(NETWORKS):
            outputs, here = logits[own], network(mixed, own)
            supervised, guessed = mix_match_losses(
                outputs, here, inputs.shape[2], axis_name
            )
            prior = uniform_prior_penalty(outputs, here.mask, axis_name)
            values.append(
                supervised + lambda_u * risen * guessed + prior_weight * prior
            )
        right = jnp.argmax(guesses[:, :2], axis=-1) == labels
        state = state._replace(model_state=model_state)
        return _finish(state, jnp.stack(values), share_of(right, mask))

    def evaluate(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        """Logits of both networks, (B, 2, C)."""
        return predict_networks(model, params, model_state, preprocess(inputs))

    def divide(state: TrainState, data: TrainData, logits: Any) -> TrainState:
        memory = co_divide.divide(
            state.loss_state,
            data.labels,
            logits,
            threshold=threshold,
            average_epochs=average_epochs,
        )
        return state._replace(loss_state=memory)

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return jnp.mean(evaluate(params, model_state, inputs), axis=1)

    warmup = Algorithm(
        init, warmup_objective, no_epoch, predict, optimizer, order=own_orders
    )
    # Only the last epoch of the warm-up needs an evaluation.
    last = warmup._replace(epoch=divide, evaluate=evaluate)
    phases = (
        Phase(warmup, warmup_epochs - 1),
        Phase(last, min(warmup_epochs, 1)),
        Phase(last._replace(objective=objective, order=order), epochs - warmup_epochs),
    )
    return Recipe(tuple(phase for phase in phases if phase.epochs > 0))


def _guess(
    model: nn.Module, params: Any, state: TrainState, views: jax.Array
) -> jax.Array:
    """The networks' mean predictions over views, without gradient.

    Args:
      model: of both.
      params: leaves (2, ...).
      state: for the further collections.
      views: (2, 2, M, B/2, ...).

    Returns:
      (2, 3, B/2, C), by network: of its labelled examples, of its unlabelled ones,
      and of its peer's unlabelled ones.
    """
    # One pass per network.
    asked = jnp.concatenate([views, jnp.flip(views[:, UNLABELED:], axis=0)], axis=1)

    def one(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        flat = inputs.reshape(-1, *inputs.shape[3:])
        logits = apply_prediction(model, params, model_state, flat)
        probabilities = jax.nn.softmax(logits).reshape(*inputs.shape[:3], -1)
        return jnp.mean(probabilities, axis=1)

    frozen = jax.lax.stop_gradient(params)
    return each_network(one, frozen, state.model_state, asked)


def _targets(
    state: TrainState,
    labels: jax.Array,
    guesses: jax.Array,
    index: jax.Array,
    mask: jax.Array,
    temperature: float,
) -> jax.Array:
    """(2, 2, B/2, C): refined labels, and guesses of both networks."""
    clean = state.loss_state.rows["clean_probability"]
    trust = jnp.stack(
        [
            gather_rows(
                clean[:, NETWORKS - 1 - own],
                {"index": index[own, LABELED]},
                mask[own, LABELED],
            )
            for own in range(NETWORKS)
        ]
    )
    given = jax.nn.one_hot(labels[:, LABELED], guesses.shape[-1])
    refined = co_refine(given, guesses[:, 0], trust, temperature)
    by_both = (guesses[:, 1] + jnp.flip(guesses[:, 2], axis=0)) / NETWORKS
    return jnp.stack([refined, sharpen(by_both, temperature)], axis=1)


def _finish(
    state: TrainState, values: jax.Array, accuracy: jax.Array
) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
    """The sum of the networks' losses (2,), the state, and the metrics."""
    metrics = {
        "loss": jnp.mean(values),
        "accuracy": accuracy,
        "labeled_share": state.loss_state.shared["labeled_share"],
    }
    return jnp.sum(values), (state, metrics)
