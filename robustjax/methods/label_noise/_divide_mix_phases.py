"""What DivideMix does in a step and at the end of an epoch; see `divide_mix`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import losses, transforms
from robustjax.methods._semi_supervised import (
    LABELED,
    UNLABELED,
    Rows,
    augmented_views,
    masked_mean,
    mix_match_losses,
    mix_rows,
    ramp_up,
    semi_supervised_order,
    sharpen,
)
from robustjax.methods._two_networks import (
    NETWORKS,
    each_network,
    init_networks,
    network,
    predict_networks,
)
from robustjax.scores._mixture import (
    fit_two_gaussians,
    min_max_normalize,
    posterior_of_lower,
)
from robustjax.training import (
    TrainData,
    TrainState,
    apply_prediction,
    apply_training,
    fresh_state,
)
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import ExampleSpec, LossState
from robustjax.transforms._rows import gather_rows


def co_refine(
    labels: jax.Array,
    guesses: jax.Array,
    clean_probability: jax.Array,
    temperature: jax.Array | float,
) -> jax.Array:
    """Targets of labelled examples, `sharpen(w y + (1 - w) p)`.

    Args:
      labels: (..., C) distributions, y.
      guesses: (..., C) the network's mean prediction over views, p.
      clean_probability: (...) the peer's probability that the label is right, w.
      temperature: see `sharpen`.

    Returns:
      (..., C) distributions.
    """
    trust = clean_probability[..., None]
    return sharpen(trust * labels + (1 - trust) * guesses, temperature)


def uniform_prior_penalty(
    logits: jax.Array, mask: jax.Array, axis_name: str | None = None
) -> jax.Array:
    """`sum_k (1/C) log((1/C) / mean p_k)`: keeps a class from taking all examples.

    Args:
      logits: (R, C).
      mask: (R,) bool, False on padding.
      axis_name: the mapped device axis over which the rows are split, else None.

    Returns:
      () float, 0 where the mean prediction is uniform or no row is real.
    """
    uniform = 1 / logits.shape[-1]
    mean = masked_mean(jax.nn.softmax(logits), mask, axis_name)
    # Rows of padding alone have mean 0.
    mean = jnp.where(jnp.sum(mean) > 0, mean, uniform)
    floor = jnp.finfo(mean.dtype).tiny
    return jnp.mean(jnp.log(uniform) - jnp.log(jnp.maximum(mean, floor)))


def clean_probabilities(levels: jax.Array, mask: jax.Array) -> jax.Array:
    """The probability that a label is right, by the losses of either network.

    Args:
      levels: (N, 2) losses of two networks, each scaled to [0, 1].
      mask: (N,) bool, False on padding.

    Returns:
      (N, 2) probabilities, 0 on padding: under the mixture of two Gaussians fitted to a
      network's losses, that of the component of smaller mean.
    """

    def one(level: jax.Array) -> jax.Array:
        return posterior_of_lower(level, fit_two_gaussians(level, mask))

    return jnp.where(mask[:, None], jax.vmap(one, 1, 1)(levels), 0.0)


@dataclasses.dataclass(frozen=True)
class DivideMixPhases:
    """The functions of both phases; for the attributes see `divide_mix`."""

    model: nn.Module
    optimizer: optax.GradientTransformation
    warmup_epochs: int
    lambda_u: float
    threshold: float
    temperature: float
    alpha: float
    num_views: int
    ramp_up_epochs: float
    prior_weight: float
    confidence_penalty: float
    average_epochs: int
    augment: Augment | None
    preprocess: Preprocess

    def init(
        self, key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec
    ) -> TrainState:
        """Two fresh networks, to which all labels are right."""
        init_key, run_key = jax.random.split(key)
        params, model_state = init_networks(
            self.model, init_key, self.preprocess(sample_inputs)
        )
        shape = (spec.padded_examples, NETWORKS)
        rows = {"clean_probability": jnp.ones(shape, jnp.float32)}
        if self.average_epochs > 1:
            rows["history"] = jnp.zeros((*shape, self.average_epochs), jnp.float32)
        shared = {
            "num_examples": jnp.int32(spec.num_examples),
            "divisions": jnp.int32(0),
            "labeled_share": jnp.float32(1.0),
        }
        memory = LossState(rows, shared)
        return fresh_state(params, model_state, memory, self.optimizer, run_key)

    def warmup_objective(
        self,
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        """Cross-entropy, less the entropy of the predictions if asked for."""
        views_key, *keys = jax.random.split(key, 1 + NETWORKS)
        inputs, labels, mask = (
            jnp.moveaxis(array, 1, 0)
            for array in (
                self._views(views_key, batch, 1)[0],
                batch["label"],
                batch["mask"],
            )
        )
        logits, model_state = self._train(params, state, inputs, mask, keys)
        entropies = losses.cross_entropy(logits, labels)
        if self.confidence_penalty > 0:
            certainty = -losses.cross_entropy(logits, jax.nn.softmax(logits))
            entropies = entropies + self.confidence_penalty * certainty
        values = [masked_mean(*each, axis_name) for each in zip(entropies, mask)]
        right = jnp.argmax(logits, axis=-1) == labels
        state = state._replace(model_state=model_state)
        return _finish(state, jnp.stack(values), share_of(right, mask))

    def order(
        self,
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        """(S, B/2, 2, 2): for each network, by its peer's division, either kind."""
        clean = state.loss_state.rows["clean_probability"][:num_examples]
        labeled = jnp.flip(clean > self.threshold, axis=1)

        def one(key: jax.Array, labeled: jax.Array) -> jax.Array:
            return semi_supervised_order(key, labeled, batch_size, padding_index)

        keys = jax.random.split(key, NETWORKS)
        return jax.vmap(one, in_axes=(0, 1), out_axes=2)(keys, labeled)

    def objective(
        self,
        params: Any,
        state: TrainState,
        batch: transforms.Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        """MixMatch of both networks, each on its peer's division."""
        views_key, mix_key, *keys = jax.random.split(key, 2 + NETWORKS)
        # Everything below leads with the network and the kind of example.
        views = self._views(views_key, batch, self.num_views)
        views = jnp.moveaxis(views, (2, 3), (0, 1))
        labels, mask, index = (
            jnp.moveaxis(batch[name], 0, 2) for name in ("label", "mask", "index")
        )
        guesses = self._guess(params, state, views)
        targets = self._targets(state, labels, guesses, index, mask)

        def share(array: jax.Array) -> jax.Array:
            """All views of an example have its target and its mask."""
            shape = (*array.shape[:2], self.num_views, *array.shape[2:])
            views = jnp.broadcast_to(array[:, :, None], shape)
            return views.reshape(*shape[:2], -1, *shape[4:])

        inputs = views.reshape(NETWORKS, 2, -1, *views.shape[4:])
        rows = Rows(inputs, share(targets), share(mask))
        mix = functools.partial(mix_rows, alpha=self.alpha, per_example=False)
        mixed = jax.vmap(mix)(
            jax.random.split(mix_key, NETWORKS),
            jax.tree.map(lambda leaf: leaf[:, LABELED], rows),
            jax.tree.map(lambda leaf: leaf[:, UNLABELED], rows),
        )
        logits, model_state = self._train(params, state, mixed.inputs, mixed.mask, keys)
        weight = self._unlabeled_weight(state, batch, axis_name)
        values = []
        for own in range(NETWORKS):
            outputs, here = logits[own], network(mixed, own)
            supervised, guessed = mix_match_losses(
                outputs, here, inputs.shape[2], axis_name
            )
            prior = uniform_prior_penalty(outputs, here.mask, axis_name)
            values.append(supervised + weight * guessed + self.prior_weight * prior)
        right = jnp.argmax(guesses[:, :2], axis=-1) == labels
        state = state._replace(model_state=model_state)
        return _finish(state, jnp.stack(values), share_of(right, mask))

    def evaluate(self, params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        """Logits of both networks, (B, 2, C)."""
        return predict_networks(
            self.model, params, model_state, self.preprocess(inputs)
        )

    def divide(self, state: TrainState, data: TrainData, logits: Any) -> TrainState:
        """The epoch's end: which labels are right, by the losses of either network."""
        rows, shared = state.loss_state
        real = jnp.arange(logits.shape[0]) < shared["num_examples"]
        labels = jnp.broadcast_to(data.labels[:, None], logits.shape[:-1])
        values = losses.cross_entropy(logits, labels)
        levels = jax.vmap(min_max_normalize, (1, None), 1)(values, real)
        divisions = shared["divisions"] + 1
        new = {}
        if self.average_epochs > 1:
            kept = rows["history"][:, :, 1:]
            history = jnp.concatenate([kept, levels[:, :, None]], axis=-1)
            recorded = jnp.minimum(divisions, self.average_epochs)
            new["history"] = history
            levels = jnp.sum(history, axis=-1) / recorded
        clean = clean_probabilities(levels, real)
        new["clean_probability"] = clean
        chosen = jnp.mean(clean > self.threshold, axis=-1)
        shared = {
            **shared,
            "divisions": divisions,
            "labeled_share": masked_mean(chosen, real),
        }
        return state._replace(loss_state=LossState(new, shared))

    def predict(self, params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        """The mean of the two networks' logits."""
        return jnp.mean(self.evaluate(params, model_state, inputs), axis=1)

    def _views(self, key: jax.Array, batch: transforms.Batch, count: int) -> jax.Array:
        """(count, *shape of the index, ...)."""
        return augmented_views(
            key,
            batch["inputs"],
            count,
            augment=self.augment,
            preprocess=self.preprocess,
            lead=batch["index"].ndim,
        )

    def _train(
        self,
        params: Any,
        state: TrainState,
        inputs: jax.Array,
        mask: jax.Array,
        keys: list[jax.Array],
    ) -> tuple[jax.Array, Any]:
        """Logits (2, R, C) of both networks in training mode, and their new states."""

        def one(params: Any, model_state: Any, *rows: jax.Array) -> tuple[Any, Any]:
            inputs, mask, key = rows
            return apply_training(
                self.model, params, model_state, inputs, key=key, mask=mask
            )

        stacked = jnp.stack(keys)
        return each_network(one, params, state.model_state, inputs, mask, stacked)

    def _guess(self, params: Any, state: TrainState, views: jax.Array) -> jax.Array:
        """The networks' mean predictions over views, without gradient.

        Args:
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
            logits = apply_prediction(self.model, params, model_state, flat)
            probabilities = jax.nn.softmax(logits).reshape(*inputs.shape[:3], -1)
            return jnp.mean(probabilities, axis=1)

        frozen = jax.lax.stop_gradient(params)
        return each_network(one, frozen, state.model_state, asked)

    def _targets(
        self,
        state: TrainState,
        labels: jax.Array,
        guesses: jax.Array,
        index: jax.Array,
        mask: jax.Array,
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
        refined = co_refine(given, guesses[:, 0], trust, self.temperature)
        by_both = (guesses[:, 1] + jnp.flip(guesses[:, 2], axis=0)) / NETWORKS
        return jnp.stack([refined, sharpen(by_both, self.temperature)], axis=1)

    def _unlabeled_weight(
        self, state: TrainState, batch: transforms.Batch, axis_name: str | None
    ) -> jax.Array:
        """`lambda_u`, risen with every step since the warm-up."""
        size = 2 * batch["index"].shape[0]
        if axis_name is not None:
            size = size * jax.lax.axis_size(axis_name)
        steps_per_epoch = -(-state.loss_state.shared["num_examples"] // size)
        epochs = state.step / steps_per_epoch - self.warmup_epochs
        return self.lambda_u * ramp_up(epochs, self.ramp_up_epochs)


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
