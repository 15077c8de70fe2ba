"""SimCLR on unlabelled images, then the last layer or the network on labelled ones.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
ICML 2020. Park et al. (NeurIPS 2021) compare TAUFE with it, since it can learn from OOD
images, too.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.normalized import Normalized, frozen
from experiments.studies.features.options import make_part
from experiments.studies.features.programs import Network, Training, build_training
from experiments.studies.features.setup import Data
from experiments.study.flags import errors_name_flags
from experiments.study.journal import Journal
from experiments.study.repeats import EpochRecords, cell_name
from robustjax import data
from robustjax.data.augmentation._images import in_unit_range
from robustjax.methods.features import (
    HEAD,
    encoder_variables,
    train_simclr,
    with_pretrained,
)
from robustjax.training import (
    StopRequest,
    TrainState,
    check_batch_size,
    progress_bar,
)

Variables = tuple[Any, Any]
"""(parameters without a head, further variable collections)."""


def build_fine_tuning(
    study: Data, network: Network, method: str, count: int
) -> Training:
    """As `build_training`; of the head alone, unless the flags say otherwise.

    It starts from a random network until `Pretraining.before` has been called.
    """
    if study.config.fine_tune == "all":
        return build_training(study, network, method, count)
    assert isinstance(network.model, Normalized)
    own = network._replace(model=frozen(network.model))
    return build_training(study, own, method, count, wrap=_head_alone)


def _head_alone(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Leaves all parameters as they are but those of the head."""

    def parts(params: Any) -> dict[str, str]:
        return {name: "head" if name == HEAD else "frozen" for name in params}

    kinds = {"head": optimizer, "frozen": optax.set_to_zero()}
    return optax.multi_transform(kinds, parts)


def make_pretraining_optimizer(
    config: FeatureDebiasingConfig, steps_per_epoch: int
) -> optax.GradientTransformation:
    """LARS or Adam with a cosine schedule, after a linear rise if there is one.

    Decay is part of LARS' gradient, and with Adam apart from it. With LARS neither
    decay nor the ratio of norms is of biases and of the scales of BatchNorm.
    """
    peak = config.pretraining_learning_rate
    steps = config.pretraining_epochs * steps_per_epoch
    rise = config.pretraining_warmup_epochs * steps_per_epoch
    schedule = optax.cosine_decay_schedule(peak, steps)
    if rise:
        schedule = optax.warmup_cosine_decay_schedule(0.0, peak, rise, steps)
    decay = config.pretraining_weight_decay
    if config.pretraining_optimizer == "adam":
        return optax.adamw(schedule, weight_decay=decay)

    def kernels(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    return optax.lars(
        schedule, decay, weight_decay_mask=kernels, trust_ratio_mask=kernels
    )


class Pretraining:
    """SimCLR of every repeat on target images, or on those and all OOD images.

    An epoch goes once through all its images, so that training on both makes more
    steps; target images are seen equally often. Methods that pre-train on the same
    images share the networks, and so do all numbers of examples.
    """

    def __init__(self, study: Data, network: Network):
        """Prepares (but does not yet train) the networks.

        Raises:
          ValueError: batches larger than the data, or images that cannot be augmented.
        """
        config = study.config
        self._study, self._network = study, network
        with errors_name_flags(jitter="color_strength"):
            self._augment = data.simclr_augmentation(
                flip=config.pretraining_flip, jitter=config.color_strength
            )
        with errors_name_flags(batch_size="pretraining_batch_size"):
            check_batch_size(config.pretraining_batch_size, len(study.target.train))
        with errors_name_flags(images="dataset"):
            jax.eval_shape(self._augment, jax.random.key(0), study.pool[:1])
            in_unit_range(study.pool)
        self._found: dict[str, Variables] = {}

    def cells(self, method: str) -> list[str]:
        """The names of the cells of what a method pre-trains, a repeat each."""
        return [
            cell_name(_name(method), range(repeat, repeat + 1))
            for repeat in range(self._study.config.repeats)
        ]

    def before(
        self, training: Training, method: str, journal: Journal, stop: StopRequest
    ) -> Training:
        """The same training, from the networks that its method pre-trains.

        Args:
          training: from `build_fine_tuning`.
          method: its name.
          journal: gets a cell per repeat.
          stop: checked after every epoch.
        """
        name = _name(method)
        if name not in self._found:
            self._found[name] = self._all(method, journal, stop)
        found = self._found[name]

        def begin(state: TrainState, repeats: slice) -> TrainState:
            own = jax.tree.map(lambda leaf: leaf[repeats], found)
            return with_pretrained(training.begin(state, repeats), *own)

        return training._replace(begin=begin)

    def _all(self, method: str, journal: Journal, stop: StopRequest) -> Variables:
        """The networks of all repeats, leaves (R, ...), trained or read."""
        config, study = self._study.config, self._study
        rows = len(study.target.train) if method == "standard" else len(study.pool)
        pixels = jnp.asarray(study.pool[:rows])
        algorithm = make_part(
            config,
            "simclr",
            encoder=self._network.model,
            optimizer=make_pretraining_optimizer(
                config, -(-rows // config.pretraining_batch_size)
            ),
            augment=self._augment,
        )
        name = _name(method)
        epochs, found = config.pretraining_epochs, []
        with progress_bar(config.repeats * epochs, f"{name:>14}", unit="epoch") as bar:
            for repeat, cell in enumerate(map(journal.cell, self.cells(method))):
                bar.update(max(cell.checkpoints.steps(), default=0))
                fields = {"method": name, "group": repeat}
                _, state = train_simclr(
                    algorithm,
                    pixels,
                    jax.random.fold_in(study.repeat_keys[repeat], 1),
                    epochs=epochs,
                    batch_size=config.pretraining_batch_size,
                    execution=self._network.execution,
                    report=EpochRecords(cell, fields, bar, ("loss",)).report,
                    stop=stop,
                    checkpoints=cell.checkpoints,
                )
                cell.finish()
                found.append(jax.device_get(encoder_variables(state)))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


def _name(method: str) -> str:
    """Of what a method pre-trains; those of the same name share it."""
    return f"pretraining_{'target' if method == 'standard' else 'joint'}"
