"""From flags to the network of a study and the program of every method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.studies.features.augmentations import (
    Augmentations,
    make_augmentations,
)
from experiments.studies.features.combinations import WITH_OOD
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.normalized import normalized
from experiments.studies.features.options import make_part, options_of
from experiments.studies.features.setup import Data, optimizer_options
from experiments.study.flags import errors_name_flags
from robustjax import data, models, transforms
from robustjax.methods.features import Attack, feature_debiasing, with_roles
from robustjax.tools.channel_statistics import channel_statistics
from robustjax.tools.networks import network_of_flags
from robustjax.tools.optimizer import make_optimizer
from robustjax.training import (
    Execution,
    Preprocess,
    Recipe,
    RecipeProgram,
    TrainState,
    as_float,
    choose_execution,
    data_mesh,
    init_variables,
    unchanged,
)
from robustjax.transforms import ExampleSpec, LossTransform


class Network(NamedTuple):
    """What all methods and numbers of examples of a study train.

    Attributes:
      model: logits or boxes are its `head` of its `features`.
      preprocess: the last step before it.
      execution: how it is run.
    """

    model: nn.Module
    preprocess: Preprocess
    execution: Execution


class Training(NamedTuple):
    """One method on one number of examples.

    Attributes:
      program: what is run.
      begin: `(state, repeats) -> state` before the first step, leaves (R, ...): gives
        these repeats what is their own, such as the examples they train on.
      variables: `(params, model_state) -> (params, model_state)` of the network that
        is measured.
    """

    program: RecipeProgram
    begin: Callable[[TrainState, slice], TrainState]
    variables: Callable[[Any, Any], tuple[Any, Any]] = lambda params, state: (
        params,
        state,
    )


def has_feature_map(model: nn.Module) -> bool:
    """Whether features are pooled from a map."""
    return callable(getattr(type(model), "feature_map", None))


def make_loss(method: str, config: FeatureDebiasingConfig) -> LossTransform:
    """The loss transform of a method.

    Raises:
      ValueError: hyper-parameters out of range.
    """
    head = transforms.ce()
    if config.task == "boxes":
        head = transforms.box_head(config.box_loss)  # type: ignore[arg-type]
    penalty = make_part(config, method)
    return head if penalty is None else transforms.chain(head, penalty)


def build_network(study: Data) -> Network:
    """The network of a study.

    Raises:
      ValueError: an unknown network, or one that does not fit the images, the task or
        the penalty.
    """
    config = study.config
    size = study.target.test.inputs.shape[1:3]
    execution = choose_execution(convolutional=config.network != "mlp")
    model = network_of_flags(
        config,
        study.target.train.num_classes,
        inputs_rank=study.pool.ndim,
        convolution=execution.convolution,
    )
    if config.task != "classification" and not has_feature_map(model):
        raise ValueError(
            f"network: got {config.network!r} with task={config.task}, expected one "
            "with feature maps, such as small_cnn"
        )
    if config.task == "boxes":
        model = models.BoxRegressor(
            model, size, config.box_flatten, config.box_scale or None
        )
    tensor = options_of(config, "taufe")["tensor"]
    if tensor == "feature_map" and not has_feature_map(model):
        raise ValueError(
            f"options (taufe.tensor): got feature_map for {config.network}, which has "
            "none, expected features"
        )
    if config.task == "localization":
        _check_activation_map(config)
    mean, deviation = channel_statistics(study.target.train.inputs)
    preprocess: Preprocess = data.normalize(mean, deviation)
    if config.training in ("adversarial", "pretrained"):
        # Attacks move pixels, and views are made of them.
        model, preprocess = normalized(model, mean, deviation), as_float
    with errors_name_flags(inputs="network"):
        sample = preprocess(jnp.asarray(study.target.test.inputs[:1]))
        jax.eval_shape(
            lambda key: init_variables(model, key, sample), jax.random.key(0)
        )
    return Network(model, preprocess, execution)


def _check_activation_map(config: FeatureDebiasingConfig) -> None:
    """Raises `ValueError` unless logits are linear in a map's averages, if needed."""
    flat = config.pooling != "average" or config.hidden
    if config.activation_map == "class" and config.network == "small_cnn" and flat:
        raise ValueError(
            f"activation_map: got class with pooling={config.pooling} and hidden="
            f"{','.join(map(str, config.hidden)) or 'none'}, expected pooling=average "
            "and none hidden, or activation_map=agnostic"
        )


def make_changes(study: Data) -> Augmentations:
    """The augmentations of a study; OOD images have one in any case."""
    config = study.config
    change = make_augmentations(
        config.augment,
        config.ood_augment,
        boxes=config.task == "boxes",
        train_size=study.pool.shape[1:3],
        size=study.target.test.inputs.shape[1:3],
    )
    return change._replace(ood=change.ood or unchanged)


def compiled(
    recipe: Recipe, study: Data, network: Network, batch_size: int
) -> RecipeProgram:
    """The program of a recipe on the pool of a study.

    Raises:
      ValueError: batches that do not fit the data.
    """
    devices = jax.device_count()
    return RecipeProgram(
        recipe,
        ExampleSpec(len(study.pool), study.target.train.num_classes, pad_to=devices),
        batch_size=batch_size,
        execution=network.execution,
        mesh=data_mesh() if devices > 1 else None,
        block_size=1000,
    )


def build_training(
    study: Data,
    network: Network,
    method: str,
    count: int,
    *,
    attack: Attack | None = None,
    wrap: Callable[
        [optax.GradientTransformation], optax.GradientTransformation
    ] = lambda optimizer: optimizer,
) -> Training:
    """The training of a method on a number of examples.

    All methods make as many steps, those that go once through the target examples in
    half batches. What is random in all methods draws from the same keys.

    Args:
      study: data and flags.
      network: of the study.
      method: its name.
      count: target examples, a key of `study.roles`.
      attack: moves the target examples; by default nothing does.
      wrap: applied to the optimiser.

    Raises:
      ValueError: settings that do not fit the data.
    """
    config = study.config
    half = config.batch_size // 2
    steps = -(-count // half)
    use_ood = method in WITH_OOD
    change = make_changes(study)
    recipe = feature_debiasing(
        network.model,
        make_loss(method, config),
        wrap(make_optimizer(optimizer_options(config), config.epochs, steps)),
        epochs=config.epochs,
        roles=study.roles[count][0],
        use_ood=use_ood,
        ood_statistics=config.ood_statistics,
        steps_per_epoch=steps,
        outputs="boxes" if config.task == "boxes" else "logits",
        augment=change.target,
        augment_located=change.located,
        ood_augment=change.ood,
        attack=attack,
        preprocess=network.preprocess,
    )
    alone = not use_ood and config.standard_batch == "half"
    batch_size = half if alone else config.batch_size
    return Training(
        program=compiled(recipe, study, network, batch_size),
        begin=lambda state, repeats: with_roles(state, study.roles[count][repeats]),
    )
