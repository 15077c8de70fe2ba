"""The programs of a pruning study: one for the warm-up and one per size of subset.

All methods and repeats go through the same programs, so that nothing is compiled twice.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.label_noise import setup as robust_setup
from experiments.studies.pruning.setup import Data, relabeler_options
from robustjax import data, methods, transforms
from robustjax.methods import Entry, entry
from robustjax.placement import Placement
from robustjax.tools.augmentations import weak_augmentation
from robustjax.tools.channel_statistics import channel_statistics
from robustjax.tools.method_options import errors_name_options
from robustjax.tools.optimizer import OptimizerOptions, make_optimizer
from robustjax.training import (
    Augment,
    Preprocess,
    Recipe,
    RecipeProgram,
    Stream,
    TrainState,
    apply_prediction,
    as_float,
    data_mesh,
    in_blocks,
    on_host,
)
from robustjax.transforms import ExampleSpec

_BLOCK = 1000
# What the authors of Prune4ReL run on subsets; see `methods.divide_mix`.
_ON_SUBSETS: Mapping[str, dict[str, Any]] = {
    "divide_mix": {"warmup_epochs": 0, "ramp_up_epochs": 0, "lambda_u": 1.0}
}


class Programs(NamedTuple):
    """Everything that is compiled.

    Attributes:
      warmup: on all examples, with a `learning_record` as the last rows.
      subsets: fraction -> re-labelling on so many examples.
      predict: `(state, inputs) -> (M,)` predicted classes, of a state of one repeat,
        by the re-labelling model.
      predict_warmup: the same, by the warm-up classifier.
      embed: `(state, inputs) -> ((M, d) features, (M, C) probabilities)`, by the
        warm-up classifier.
      strong: the view of `evaluation_view=strong`, or None.
    """

    warmup: RecipeProgram
    subsets: dict[float, RecipeProgram]
    predict: Any
    predict_warmup: Any
    embed: Any
    strong: Augment | None


def build(task: Data) -> Programs:
    """Prepares (but does not yet compile) all programs.

    Raises:
      ValueError: settings that do not fit the data or the re-labelling model.
    """
    config = task.config
    mean, deviation = channel_statistics(task.train.inputs) if task.images else ([], [])
    preprocess: Preprocess = data.normalize(mean, deviation) if mean else as_float
    weak = weak_augmentation(config.augment)
    strong = robust_setup.strong_augmentation(config.augment, mean)
    values = relabeler_options(config)
    relabeler = entry(config.relabeler, "label_noise")

    def setting(steps: int, epochs: int) -> robust_setup.Setting:
        options = OptimizerOptions.of(config)
        return robust_setup.Setting(
            model=task.model,
            # The warm-up is the beginning of the final schedule.
            optimizer=make_optimizer(options, config.epochs, steps),
            epochs=epochs,
            weak=weak,
            strong=strong if config.second_view == "strong" else None,
            preprocess=preprocess,
            noise_rate=task.noise_rate,
        )

    def program(recipe: Recipe, examples: int, batch_size: int) -> RecipeProgram:
        devices = jax.device_count()
        return RecipeProgram(
            recipe,
            ExampleSpec(examples, task.train.num_classes, pad_to=devices),
            batch_size=batch_size,
            execution=task.execution,
            mesh=data_mesh() if devices > 1 else None,
            block_size=_BLOCK,
        )

    with errors_name_options(config.relabeler, relabeler, values):
        size, batch = len(task.train), config.batch_size
        start = setting(-(-size // batch), config.warmup_epochs)
        warmup = program(_warmup_recipe(relabeler, start, values), size, batch)
        if config.relabeler == "divide_mix":
            batch = 2 * batch
        subsets = {}
        for fraction, budget in task.budgets.items():
            recipe = robust_setup.make_recipe(
                relabeler,
                setting(-(-budget // batch), config.epochs),
                {**_ON_SUBSETS.get(config.relabeler, {}), **values},
            )
            subsets[fraction] = program(recipe, budget, batch)

    # What predicts is the same for all sizes.
    trained = next(iter(subsets.values())).recipe.phases[-1].algorithm
    return Programs(
        warmup=warmup,
        subsets=subsets,
        predict=_predictor(trained.predict),
        predict_warmup=_predictor(warmup.recipe.phases[-1].algorithm.predict),
        embed=_embedder(task, preprocess),
        strong=strong if config.evaluation_view == "strong" else None,
    )


def _warmup_recipe(
    relabeler: Entry, setting: robust_setup.Setting, values: dict[str, Any]
) -> Recipe:
    """The re-labelling model's own warm-up loss, recorded."""
    if relabeler.name == "sop_plus":
        return robust_setup.make_recipe(relabeler, setting, values | {"record": True})
    return methods.robust_loss(
        setting.model,
        setting.optimizer,
        transforms.chain(transforms.ce(), transforms.learning_record()),
        epochs=setting.epochs,
        augment=setting.weak,
        preprocess=setting.preprocess,
    )


def _only(tree: Any) -> Any:
    """The first repeat, which is the only one."""
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _predictor(predict: Any) -> Any:
    @functools.partial(jax.jit, static_argnames="shards")
    def classes(
        params: Any, model_state: Any, inputs: jax.Array, shards: int = 1
    ) -> jax.Array:
        one = functools.partial(predict, _only(params), _only(model_state))
        return jnp.argmax(in_blocks(one, inputs, _BLOCK, shards), axis=-1)

    def call(state: TrainState, inputs: jax.Array | Stream) -> np.ndarray:
        if not isinstance(inputs, Stream):
            return np.asarray(classes(state.params, state.model_state, inputs))
        place = Placement(data_mesh() if jax.device_count() > 1 else None)
        found = []
        for start in range(0, len(inputs), _BLOCK):
            block = inputs.part(start, min(_BLOCK, len(inputs) - start))
            # Of several processes, each reads the rows of its own devices.
            rows = place.rows(block if place.mesh else block[:])
            here = classes(state.params, state.model_state, rows, place.devices)
            found.append(on_host(here)[: len(block)])
        return np.concatenate(found)

    return call


def _embedder(task: Data, preprocess: Preprocess) -> Any:
    @jax.jit
    def embed(
        params: Any, model_state: Any, inputs: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        apply = functools.partial(
            apply_prediction, task.model, _only(params), _only(model_state)
        )
        inputs = preprocess(inputs)
        return apply(inputs, method="features"), jax.nn.softmax(apply(inputs))

    def call(state: TrainState, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        return embed(state.params, state.model_state, inputs)

    return call
