"""REPAIR: leave out examples until the bias says little about the label.

Li, Vasconcelos, "REPAIR: Removing Representation Bias by Dataset Resampling", CVPR
2019.
"""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, transforms
from robustjax.methods._example_count import NAME, example_count
from robustjax.methods._remembered_array import remembered_array
from robustjax.methods.bias._draws import kept_order
from robustjax.methods.bias._part_optimizer import part_optimizer
from robustjax.methods.bias._resampling import Rule, check_rule, resample
from robustjax.models._initializers import torch_uniform
from robustjax.training import (
    Phase,
    Recipe,
    TrainData,
    TrainState,
    as_float,
    fresh_state,
    supervised,
)
from robustjax.training._epoch import epoch_order
from robustjax.training._supervised import Augment, Preprocess, share_of
from robustjax.transforms import Batch, ExampleSpec, LossState
from robustjax.transforms._rows import gather_rows

Feature = Literal["bias", "channel_maximum"]
FEATURES = ("bias", "channel_maximum")

# Steps and epochs fold small numbers of both signs into the key; this is neither.
_RESAMPLE = np.iinfo(np.int32).max - 2


def repair(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    bias: np.ndarray | None = None,
    feature: Feature = "bias",
    rule: Rule = "class_rank",
    keep: float = 0.5,
    weight_epochs: int = 200,
    weight_learning_rate: float = 10.0,
    classifier_learning_rate: float = 1e-3,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Learns a weight per example, keeps examples by it, and trains on those.

    What is called the first epoch is `weight_epochs` passes over the data in which a
    linear classifier of the bias feature and the weights play against each other, see
    `transforms.repair_weights`; the network does not move in it. Then examples are
    kept by `resample`, and the network is trained with cross-entropy on them alone, its
    epochs as long as without.

    Published: 200 epochs of batches of 128, rate 10 for the weights, SGD with rate 1e-3
    and momentum 0.9 for the classifier; half of the examples of every class. The
    feature for Colored MNIST was the largest value of each channel. The table of LfF
    names "bias labels given", but no setting: the feature is then the attribute
    itself, one-hot. On Colored MNIST the rule "threshold" keeps the conflicting
    examples alone, and gives what that table prints; the default gives less.

    Differences from the authors' code: weights are learned on the training images
    alone (theirs include the test images), with the batches of the network's training.

    Args:
      model: a Linen classifier.
      optimizer: of the network.
      epochs: in all, at least 2: the first learns the weights.
      bias: (N,) integers, the bias attribute of every example, the same for all
        repeats; needed with the feature "bias", and for it alone.
      feature: "bias", or "channel_maximum" of the preprocessed images.
      rule: see `resample`: "threshold", "rank", "class_rank", "sample", or "uniform"
        as a control.
      keep: the share that is kept, in (0, 1], of the rules that have one.
      weight_epochs: >= 1.
      weight_learning_rate: >= 0, plain SGD.
      classifier_learning_rate: > 0, SGD with momentum 0.9.
      augment: `(key, inputs) -> inputs` in the network's training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of two phases. Parameters: "network" and "bias_classifier". The rows
      "weights" hold omega, of which the weights are the sigmoid; "kept" who is kept.
      Metrics: "loss", "accuracy", in the first epoch those of the linear classifier;
      the loss is NaN where the rule keeps nobody.

    Raises:
      ValueError: a number outside its range, an unknown name, an attribute that is
        missing, superfluous or no integer; in `init`, another number of attributes than
        examples, or channels of what are no images.
    """
    checks.at_least("epochs", epochs, 2)
    checks.at_least("weight_epochs", weight_epochs, 1)
    checks.in_range(
        "classifier_learning_rate", classifier_learning_rate, 0, low_open=True
    )
    checks.one_of("feature", feature, FEATURES)
    check_rule(rule, keep)
    if (bias is None) != (feature != "bias"):
        got = "None" if bias is None else f"{len(bias)} attributes"
        raise ValueError(
            f"bias: got {got} with feature={feature!r}, expected that of every "
            "example with feature='bias' and None without"
        )
    attribute = None if bias is None else checks.labels("bias", bias)
    num_biases = 0 if attribute is None else int(attribute.max()) + 1

    weighting = transforms.chain(
        transforms.repair_weights(weight_learning_rate), transforms.ce()
    )
    plain = supervised(
        model, transforms.ce(), optimizer, augment=augment, preprocess=preprocess
    )
    optimizers = {
        "network": optimizer,
        "bias_classifier": optax.sgd(classifier_learning_rate, momentum=0.9),
    }
    counted = example_count()
    attributes = None if attribute is None else remembered_array("bias", attribute)

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        network_key, linear_key = jax.random.split(key)
        network = plain.init(network_key, sample_inputs, spec)
        shape = preprocess(sample_inputs).shape
        if attributes is None and len(shape) != 4:
            raise ValueError(
                f"feature: got {feature!r} for inputs of shape {shape[1:]}, expected "
                "images (H, W, channels)"
            )
        width = num_biases or shape[-1]
        linear = {
            "kernel": torch_uniform(linear_key, (width, spec.num_classes), jnp.float32),
            "bias": jnp.zeros(spec.num_classes, jnp.float32),
        }
        weights = weighting.init(spec)
        rows = {
            "weights": weights.rows,
            "kept": jnp.zeros(spec.padded_examples, bool),
        }
        if attributes is not None:
            rows |= attributes.init(spec).rows
        memory = LossState(
            rows, {"weights": weights.shared, NAME: counted.init(spec).shared}
        )
        params = {"network": network.params, "bias_classifier": linear}
        moving = part_optimizer(optimizers, "network")
        return fresh_state(params, network.model_state, memory, moving, network.key)

    def features(state: TrainState, batch: Batch) -> jax.Array:
        if attributes is None:
            images = preprocess(batch["inputs"])
            return jnp.max(images, axis=tuple(range(1, images.ndim - 1)))
        rows = {"bias": state.loss_state.rows["bias"]}
        own = gather_rows(rows, batch, batch["mask"])["bias"]
        return jax.nn.one_hot(own, num_biases)

    def weigh(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        del key
        linear = params["bias_classifier"]
        logits = features(state, batch) @ linear["kernel"] + linear["bias"][None]
        memory = state.loss_state
        terms, new = weighting.update(
            transforms.start(batch),
            LossState(memory.rows["weights"], memory.shared["weights"]),
            batch,
            logits=logits,
            axis_name=axis_name,
        )
        loss = transforms.reduce(terms, axis_name)
        memory = LossState(
            {**memory.rows, "weights": new.rows},
            {**memory.shared, "weights": new.shared},
        )
        right = jnp.argmax(logits, axis=-1) == batch["label"]
        metrics = {"loss": loss, "accuracy": share_of(right, terms.mask)}
        return loss, (state._replace(loss_state=memory), metrics)

    def passes(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        del state

        def one(key: jax.Array) -> jax.Array:
            return epoch_order(key, num_examples, batch_size, padding_index)

        orders = jax.lax.map(one, jax.random.split(key, weight_epochs))
        return orders.reshape(-1, batch_size)

    def keep_some(state: TrainState, data: TrainData, outputs: Any) -> TrainState:
        del outputs
        memory = state.loss_state
        omega = memory.rows["weights"][0]["omega"]
        kept = resample(
            jax.random.fold_in(state.key, _RESAMPLE),
            jax.nn.sigmoid(omega),
            data.labels,
            jnp.arange(omega.shape[0]) < memory.shared[NAME],
            num_classes=state.params["bias_classifier"]["bias"].shape[0],
            rule=rule,
            keep=keep,
        )
        rows = {**memory.rows, "kept": kept}
        return state._replace(loss_state=memory._replace(rows=rows))

    def train(
        params: Any,
        state: TrainState,
        batch: Batch,
        key: jax.Array,
        axis_name: str | None = None,
    ) -> tuple[jax.Array, tuple[TrainState, dict[str, jax.Array]]]:
        own = state._replace(loss_state=LossState((), ()))
        loss, (new, metrics) = plain.objective(
            params["network"], own, batch, key, axis_name
        )
        # Where nobody is kept nothing would be trained, at a loss of 0.
        anybody = jnp.any(state.loss_state.rows["kept"])
        loss = jnp.where(anybody, loss, jnp.nan)
        metrics = {**metrics, "loss": jnp.where(anybody, metrics["loss"], jnp.nan)}
        return loss, (state._replace(model_state=new.model_state), metrics)

    def kept_ones(
        key: jax.Array,
        state: TrainState,
        num_examples: int,
        batch_size: int,
        padding_index: int,
    ) -> jax.Array:
        kept = state.loss_state.rows["kept"][:num_examples]
        return kept_order(key, kept, batch_size, padding_index)

    def predict(params: Any, model_state: Any, inputs: jax.Array) -> jax.Array:
        return plain.predict(params["network"], model_state, inputs)

    network = plain._replace(
        init=init,
        objective=train,
        epoch=lambda state, data, outputs: state,
        predict=predict,
        optimizer=part_optimizer(optimizers, "network"),
        order=kept_ones,
    )
    weights = network._replace(
        objective=weigh,
        epoch=keep_some,
        optimizer=part_optimizer(optimizers, "bias_classifier"),
        order=passes,
    )
    return Recipe((Phase(weights, 1), Phase(network, epochs - 1)))
