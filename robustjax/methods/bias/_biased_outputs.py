"""What a biased network says of every example, in one call.

What `scores.bias_conflict_scores` needs of networks: predictions and features of one
that has learned the bias, and predictions of one that was trained against it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import arrays, checks, data
from robustjax.methods._two_networks import network
from robustjax.methods.bias._debiased_pair import BIASED, DEBIASED
from robustjax.methods.bias._lff import lff
from robustjax.methods.bias._plain import gce_biased
from robustjax.models import MLP
from robustjax.training import (
    Augment,
    Execution,
    RecipeProgram,
    StopRequest,
    apply_prediction,
    as_float,
    choose_execution,
    fit,
    in_blocks,
)
from robustjax.training._fit import EpochReport
from robustjax.transforms import ExampleSpec

_BLOCK = 4096
_HIDDEN = (100, 100, 100)


class BiasedOutputs(NamedTuple):
    """Outputs for all examples, in evaluation mode and without augmentation.

    Attributes:
      probabilities: (N, C) float32, the biased network's.
      debiased_probabilities: (N, C) float32, those of the network trained against the
        bias; None if there is none.
      features: (N, d) float32, the inputs of the biased network's last layer; None
        where the model has no method `features`.
    """

    probabilities: np.ndarray
    debiased_probabilities: np.ndarray | None
    features: np.ndarray | None


def biased_outputs(
    examples: data.Dataset | tuple[Any, Any],
    *,
    key: jax.Array,
    debiased: bool = True,
    epochs: int = 5,
    batch_size: int | None = None,
    q: float = 0.7,
    model: nn.Module | None = None,
    optimizer: optax.GradientTransformation | None = None,
    augment: Augment | None = None,
    execution: Execution | None = None,
    report: EpochReport | None = None,
    stop: StopRequest | None = None,
) -> BiasedOutputs:
    """Trains a network on the bias, and asks it about every example.

    The biased network is that of `gce_biased`. With `debiased`, a second one is trained
    beside it, as `lff` does; it changes nothing in the biased one's loss. Train
    briefly: the longer, the more conflicting examples the biased network has learned
    by heart.

    Args:
      examples: a data set, or (inputs (N, ...), labels (N,)) as for
        `data.make_dataset`; 8-bit images are scaled to [0, 1], other inputs taken as
        they are.
      key: PRNG key, of initial weights and order.
      debiased: whether to train the second network, for twice the work.
      epochs: of training, at least 1.
      batch_size: examples per step; by default 128, or all if they are fewer.
      q: of the biased network's loss, in (0, 1].
      model: a Linen classifier; by default an `MLP` of three layers of 100, that of
        Colored MNIST.
      optimizer: elementwise; by default Adam at 1e-3.
      augment: `(key, inputs) -> inputs` in training; by default none.
      execution: how to run it; by default, a model of one's own that gets images is
        taken for a convolutional one.
      report: called after every epoch with its number and metrics, (1,) each.
      stop: checked after every epoch.

    Returns:
      `BiasedOutputs`, the arguments of `scores.bias_conflict_scores`.

    Raises:
      ValueError: examples that are none, inputs that float32 cannot tell apart,
        batches larger than the data, or a number outside its range.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> from robustjax import data, scores
      >>> from robustjax.methods import bias
      >>> digits = data.take(data.load("digits", "train"), np.arange(100))
      >>> found = bias.biased_outputs(digits, key=jax.random.key(0), epochs=1)
      >>> scores.bias_conflict_scores(digits.labels, **found._asdict()).swap.shape
      (100,)
    """
    if not isinstance(examples, data.Dataset):
        examples = data.make_dataset(*examples)
    checks.at_least("epochs", epochs, 1)
    inputs = arrays.resolved("inputs", examples.inputs)
    if batch_size is None:
        batch_size = min(128, len(examples))
    execution = execution or choose_execution(
        convolutional=model is not None and inputs.ndim == 4
    )
    if model is None:
        model = MLP(examples.num_classes, _HIDDEN)
    train = lff if debiased else gce_biased
    recipe = train(
        model, optimizer or optax.adam(1e-3), epochs=epochs, q=q, augment=augment
    )
    program = RecipeProgram(
        recipe,
        ExampleSpec(len(examples), examples.num_classes),
        batch_size=batch_size,
        execution=execution,
    )
    state = program.init(jax.random.split(key, 1), inputs)
    held = program.make_data(inputs, examples.labels[None])
    state = fit(program, state, held, epochs=epochs, report=report, stop=stop)
    params, collections = (
        jax.tree.map(lambda leaf: leaf[0], part)
        for part in (state.params, state.model_state)
    )
    if not debiased:
        biased = _outputs(model, params, collections, held.inputs)
        return BiasedOutputs(biased[0], None, biased[1])
    biased, other = (
        _outputs(
            model, network(params, place), network(collections, place), held.inputs
        )
        for place in (BIASED, DEBIASED)
    )
    return BiasedOutputs(biased[0], other[0], biased[1])


def _outputs(
    model: nn.Module, params: Any, collections: Any, inputs: jax.Array
) -> tuple[np.ndarray, np.ndarray | None]:
    """(N, C) probabilities and (N, d) features of one network."""
    has_features = callable(getattr(type(model), "features", None))

    def of_block(block: jax.Array) -> dict[str, jax.Array]:
        block = as_float(block)
        logits = apply_prediction(model, params, collections, block)
        found = {"probabilities": jax.nn.softmax(logits.astype(jnp.float32))}
        if has_features:
            features = apply_prediction(
                model, params, collections, block, method="features"
            )
            found["features"] = features.reshape(len(block), -1)
        return found

    found = jax.device_get(jax.jit(lambda x: in_blocks(of_block, x, _BLOCK))(inputs))
    return found["probabilities"], found.get("features")
