"""MixMatch on few labelled and all other target images, with or without OOD images.

Berthelot et al., "MixMatch: A Holistic Approach to Semi-Supervised Learning", NeurIPS
2019; with TAUFE in Park et al., NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.options import make_part, options_of
from experiments.studies.features.programs import (
    Network,
    Training,
    compiled,
    make_changes,
)
from experiments.studies.features.setup import Data, optimizer_options
from robustjax.methods.features import TARGET
from robustjax.tools.optimizer import make_optimizer, make_schedule
from robustjax.training import TrainState


def build_mix_match(study: Data, network: Network, method: str, count: int) -> Training:
    """The training of a method with a number of labelled examples.

    All target images that are not labelled are unlabelled, and all OOD images of the
    pool are drawn from. All methods make as many steps, those that go once through
    the target images in whole batches.

    Args:
      study: data and flags.
      network: of the study.
      method: its name.
      count: labelled examples, a key of `study.roles`.

    Raises:
      ValueError: settings that do not fit the data.
    """
    config = study.config
    num_targets = len(study.target.train)
    if count >= num_targets:
        raise ValueError(
            f"num_examples: got {count} with training=mix_match, expected fewer than "
            f"the {num_targets} of {study.target.train.name}, to leave unlabelled ones"
        )
    steps = -(-num_targets // config.batch_size)
    labeled = study.roles[count] == TARGET
    penalty = make_part(config, method)
    change = make_changes(study)
    recipe = make_part(
        config,
        "mix_match",
        model=network.model,
        optimizer=_optimizer(config, steps),
        epochs=config.epochs,
        labeled=labeled[0],
        ood=np.arange(len(study.pool)) >= num_targets,
        penalty=penalty,
        augment=change.target,
        ood_augment=change.ood,
        preprocess=network.preprocess,
    )
    averaged = options_of(config, "mix_match").get("average_decay") is not None

    def begin(state: TrainState, repeats: slice) -> TrainState:
        rows = state.loss_state.rows
        padding = rows["labeled"].shape[1] - labeled.shape[1]
        own = jnp.asarray(np.pad(labeled[repeats], ((0, 0), (0, padding))))
        rows = {**rows, "labeled": own}
        return state._replace(loss_state=state.loss_state._replace(rows=rows))

    def variables(params: Any, model_state: Any) -> tuple[Any, Any]:
        if not averaged:
            return params, model_state
        return model_state["average"], model_state["network"]

    return Training(
        program=compiled(recipe, study, network, config.batch_size),
        begin=begin,
        variables=variables,
    )


def _optimizer(
    config: FeatureDebiasingConfig, steps: int
) -> optax.GradientTransformation:
    """The optimiser, with a decay of the kernels alone if there is one."""
    options = optimizer_options(config)
    if not config.kernel_decay:
        return make_optimizer(options, config.epochs, steps)
    decaying = optax.adamw(
        make_schedule(options, config.epochs, steps),
        weight_decay=config.kernel_decay,
        mask=_kernels,
    )
    if not options.clip_norm:
        return decaying
    return optax.chain(optax.clip_by_global_norm(options.clip_norm), decaying)


def _kernels(params: Any) -> Any:
    """Which parameters are kernels, not biases or scales."""

    def is_kernel(path: Sequence[Any], leaf: Any) -> bool:
        del leaf
        return getattr(path[-1], "key", None) == "kernel"

    return jax.tree_util.tree_map_with_path(is_kernel, params)
