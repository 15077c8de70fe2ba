"""From flags to the network of a study and the program of every method."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.common.channel_statistics import channel_statistics
from experiments.common.config_flags import errors_name_flags
from experiments.common.networks import make_network
from experiments.common.optimizer import make_optimizer
from experiments.feature_training.augmentations import make_augmentations
from experiments.feature_training.setup import Study, optimizer_options
from experiments.presets.feature_debiasing import FeatureDebiasingConfig
from robustjax import data, models, transforms
from robustjax.methods.feature_debiasing import feature_debiasing
from robustjax.training import (
    Execution,
    RecipeProgram,
    choose_execution,
    data_mesh,
    init_variables,
)
from robustjax.training.supervised import Preprocess
from robustjax.transforms import ExampleSpec, LossTransform, TaufeSetting


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


def has_feature_map(model: nn.Module) -> bool:
    """Whether features are pooled from a map."""
    return callable(getattr(type(model), "feature_map", None))


def taufe_setting(config: FeatureDebiasingConfig) -> TaufeSetting:
    """The named setting with what the flags override."""
    fields = transforms.TAUFE_SETTINGS[config.penalty_setting]._asdict()
    for name in fields:
        if getattr(config, name) is not None:
            fields[name] = getattr(config, name)
    return TaufeSetting(**fields)


def make_loss(method: str, config: FeatureDebiasingConfig) -> LossTransform:
    """The loss transform of a method.

    Raises:
      ValueError: hyper-parameters out of range.
    """
    head = transforms.ce()
    if config.task == "boxes":
        head = transforms.box_head(config.box_loss)  # type: ignore[arg-type]
    if method == "standard":
        return head
    if method == "oat":
        with errors_name_flags(weight="oat_weight"):
            return transforms.chain(head, transforms.oat(config.oat_weight))
    return transforms.chain(head, transforms.taufe(**taufe_setting(config)._asdict()))


def build_network(study: Study) -> Network:
    """The network of a study.

    Raises:
      ValueError: an unknown network, or one that does not fit the images, the task or
        the penalty.
    """
    config = study.config
    size = study.target.test.inputs.shape[1:3]
    execution = choose_execution(convolutional=config.network != "mlp")
    model = make_network(
        config.network,
        study.target.train.num_classes,
        inputs_rank=study.pool.ndim,
        channels=config.channels,
        hidden=config.hidden,
        downsampling=config.downsampling,
        dtype=config.dtype,
        convolution=execution.convolution,
        pooling=config.pooling,
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
    if taufe_setting(config).tensor == "feature_map" and not has_feature_map(model):
        raise ValueError(
            f"tensor: got 'feature_map' (penalty_setting={config.penalty_setting}) for "
            f"{config.network}, which has none, expected 'features'"
        )
    if config.task == "localization":
        _check_activation_map(config)
    mean, deviation = channel_statistics(study.target.train.inputs)
    preprocess = data.normalize(mean, deviation)
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


def build_program(
    study: Study, network: Network, method: str, count: int
) -> RecipeProgram:
    """The program of a method for a number of examples.

    All methods make as many steps, those that go once through the target examples in
    half batches. What is random in all methods draws from the same keys.

    Args:
      study: data and flags.
      network: of the study.
      method: its name.
      count: target examples, a key of `study.roles`.

    Raises:
      ValueError: settings that do not fit the data.
    """
    config = study.config
    half = config.batch_size // 2
    steps = -(-count // half)
    change = make_augmentations(
        config.augment,
        config.ood_augment,
        boxes=config.task == "boxes",
        train_size=study.pool.shape[1:3],
        size=study.target.test.inputs.shape[1:3],
    )
    recipe = feature_debiasing(
        network.model,
        make_loss(method, config),
        make_optimizer(optimizer_options(config), config.epochs, steps),
        epochs=config.epochs,
        roles=study.roles[count][0],
        use_ood=method != "standard",
        steps_per_epoch=steps,
        outputs="boxes" if config.task == "boxes" else "logits",
        augment=change.target,
        augment_located=change.located,
        ood_augment=change.ood or (lambda key, inputs: inputs),
        preprocess=network.preprocess,
    )
    devices = jax.device_count()
    alone = method == "standard" and config.standard_batch == "half"
    return RecipeProgram(
        recipe,
        ExampleSpec(len(study.pool), study.target.train.num_classes, pad_to=devices),
        batch_size=half if alone else config.batch_size,
        execution=network.execution,
        mesh=data_mesh() if devices > 1 else None,
        block_size=1000,
    )
