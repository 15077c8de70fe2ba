"""The classifier of open-set active learning, compiled once for all rounds.

Which examples of the pool are labelled, and how, is data: no round, however many
labels it has, compiles anything anew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import arrays, checks, transforms
from robustjax.methods.active_learning._learning_loss import learning_loss
from robustjax.methods.active_learning._open_set_round import UNASKED, Observation
from robustjax.methods.features._feature_debiasing import (
    OOD,
    TARGET,
    UNUSED,
    feature_debiasing,
    network_outputs,
    with_roles,
)
from robustjax.models._loss_predicting import LossPredictingClassifier
from robustjax.training import (
    Execution,
    Recipe,
    RecipeProgram,
    StopRequest,
    as_float,
    choose_execution,
    fit,
)
from robustjax.training._epoch import in_blocks
from robustjax.training._fit import EpochReport
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import Batch, ExampleSpec, LossState, LossTransform, Terms
from robustjax.transforms._loss_prediction import (
    loss_prediction as loss_prediction_transform,
)

VARIANTS = ("in_only", "ood_class", "taufe", "ood_class_taufe")
"""What labelled OOD examples are used for, see `NetworkPoolClassifier`."""


class FittedNetwork(NamedTuple):
    """A trained classifier.

    Attributes:
      params: parameters.
      model_state: further variable collections.
    """

    params: Any
    model_state: Any


def _shape_of(inputs: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)


def _taufe_of_class(number: int, weight: float) -> LossTransform:
    """TAUFE on those examples of a batch whose label is the OOD class."""
    taufe = transforms.taufe(weight)

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        ood = terms.mask & (batch["label"] == number)
        given = {"ood_features": extra["features"], "ood_mask": ood}
        return taufe.update(terms, state, batch, **given)

    return taufe._replace(update=update, name="taufe_of_class")


class NetworkPoolClassifier:
    """A network that trains on the labelled part of a pool; a `PoolClassifier`.

    Every fit starts from fresh parameters and takes `epochs` times `steps_per_epoch`
    steps, however many examples are labelled: batches go round them, and are smaller
    where there are fewer. (The authors' code of MQNet has 100 steps in mind for each of
    200 epochs, but ends an epoch only after whole passes.)

    Variants: "in_only" trains on labelled IN examples, k classes. "ood_class" has one
    class more, that of labelled OOD examples. "taufe" takes a batch of which one half
    is IN, with k classes, and the other OOD, whose features it pushes to zero (Park et
    al., NeurIPS 2021). "ood_class_taufe" does what "ood_class" does and pushes the
    features of the OOD examples in its batch to zero, too. Before any OOD example is
    labelled, the penalties are zero, and "taufe" is "in_only" with half its batch.

    Published settings (MQNet; CIFAR-10, ResNet-18): 200 epochs of 100 steps (ImageNet:
    150), batches of 64, SGD with momentum 0.9, weight decay 5e-4 and a learning rate of
    0.1 divided by 10 at half and at three quarters; flips and shifted crops.

    Attributes:
      num_classes: k, the IN classes.
      num_outputs: C, k or k + 1.
      recipe: how it trains.
    """

    def __init__(
        self,
        make_model: Callable[[int], nn.Module],
        inputs: np.ndarray | jax.Array,
        num_classes: int,
        optimizer: optax.GradientTransformation,
        *,
        epochs: int,
        steps_per_epoch: int,
        batch_size: int,
        variant: str = "in_only",
        loss_prediction: bool = False,
        ood_output: bool = False,
        taufe_weight: float = 0.1,
        predictor_width: int = 128,
        detach_after: float = 0.6,
        augment: Augment | None = None,
        preprocess: Preprocess = as_float,
        execution: Execution | None = None,
        block_size: int = 1024,
        report: EpochReport | None = None,
        stop: StopRequest | None = None,
    ):
        """Puts the pool on the device; programs are compiled when first used.

        Args:
          make_model: `(number of outputs) -> network` whose outputs are
            `head(features(inputs))`, the head an `nn.Dense` called "head".
          inputs: (N, ...) of the pool; N >= 2.
          num_classes: k >= 2.
          optimizer: of one fit; its schedule counts steps from 0.
          epochs: of every fit.
          steps_per_epoch: fixed.
          batch_size: at most N, and even for "taufe".
          variant: one of `VARIANTS`.
          loss_prediction: whether a loss-prediction module trains along, see
            `learning_loss`; the network must have `stages`.
          ood_output: whether there are k + 1 outputs though no OOD example is trained
            on, as SIMILAR needs.
          taufe_weight: lambda >= 0, see `transforms.taufe`.
          predictor_width: see `learning_loss`.
          detach_after: see `learning_loss`.
          augment: `(key, inputs) -> inputs` in training; by default none.
          preprocess: see `feature_debiasing`.
          execution: how epochs are run; by default images are taken for those of a
            convolutional network.
          block_size: examples per block of `observe` and `predict`.
          report: called after every epoch of a fit with its number and metrics.
          stop: checked after every epoch of a fit.

        Raises:
          ValueError: arguments out of range, or a network that does not fit.
        """
        checks.one_of("variant", variant, VARIANTS)
        checks.at_least("num_classes", num_classes, 2)
        checks.at_least("steps_per_epoch", steps_per_epoch, 1)
        checks.at_least("block_size", block_size, 1)
        checks.at_least("number of inputs", len(inputs), 2)
        self._ood_class = variant in ("ood_class", "ood_class_taufe")
        self.num_classes = num_classes
        self.num_outputs = num_classes + int(self._ood_class or ood_output)
        self._variant, self._loss_prediction = variant, loss_prediction
        self._inputs: jax.Array | None = arrays.resolved("inputs", inputs)
        self._like = _shape_of(self._inputs)
        self._report, self._stop = report, stop

        parts = [transforms.ce()]
        if loss_prediction:
            parts.append(loss_prediction_transform())
        if variant == "taufe":
            parts.append(transforms.taufe(taufe_weight))
        if variant == "ood_class_taufe":
            parts.append(_taufe_of_class(num_classes, taufe_weight))
        # Stands for any roles: steps are fixed, and `fit` puts in the real ones.
        roles = np.full(len(inputs), UNUSED)
        roles[:2] = TARGET, OOD

        def make_recipe(model: nn.Module) -> Recipe:
            return feature_debiasing(
                model,
                transforms.chain(*parts),
                optimizer,
                epochs=epochs,
                roles=roles,
                use_ood=variant == "taufe",
                steps_per_epoch=steps_per_epoch,
                augment=augment,
                preprocess=preprocess,
            )

        model = make_model(self.num_outputs)
        made = getattr(model, "num_classes", self.num_outputs)
        if made != self.num_outputs:
            raise ValueError(
                f"make_model: got a network with {made} outputs, expected "
                f"{self.num_outputs}"
            )
        if loss_prediction:
            self.recipe = learning_loss(
                make_recipe,
                model,
                epochs=epochs,
                width=predictor_width,
                detach_after=detach_after,
            )
            model = LossPredictingClassifier(model, width=predictor_width)
        else:
            self.recipe = make_recipe(model)
        if variant == "taufe" and batch_size % 2:
            raise ValueError(f"batch_size: got {batch_size}, expected an even number")
        self._program = RecipeProgram(
            self.recipe,
            ExampleSpec(len(inputs), self.num_outputs),
            batch_size=batch_size,
            execution=execution
            or choose_execution(convolutional=len(self._like.shape) == 4),
            block_size=block_size,
        )

        def look(fitted: FittedNetwork, inputs: jax.Array) -> dict[str, jax.Array]:
            def one(block: jax.Array) -> dict[str, jax.Array]:
                found: Any = model.apply(
                    {"params": fitted.params, **fitted.model_state},
                    preprocess(block),
                    train=False,
                    method=network_outputs,
                )
                # Whole feature maps of a pool would fill the memory.
                found.pop("feature_map", None)
                return found

            return in_blocks(one, inputs, block_size)

        self._look = jax.jit(look)

    def on(self, inputs: np.ndarray | jax.Array) -> NetworkPoolClassifier:
        """The same classifier for another pool, with nothing compiled anew.

        Args:
          inputs: (N, ...) of the shape and dtype of the first pool.

        Raises:
          ValueError: another shape or dtype.
        """
        inputs = jnp.asarray(inputs)
        first = self._like
        if (inputs.shape, inputs.dtype) != (first.shape, first.dtype):
            raise ValueError(
                f"inputs: got {inputs.dtype} {inputs.shape}, expected "
                f"{first.dtype} {first.shape}, those of the first pool"
            )
        other = copy.copy(self)
        other._inputs = inputs
        return other

    def without_pool(self) -> NetworkPoolClassifier:
        """The same classifier without a pool, which frees the device's memory.

        It predicts, and `on` gives it another pool; it does not `fit` or `observe`.
        """
        other = copy.copy(self)
        other._inputs = None
        return other

    @property
    def _pool(self) -> jax.Array:
        if self._inputs is None:
            raise ValueError("inputs: got a classifier without a pool, expected on()")
        return self._inputs

    def _targets_and_roles(self, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        """Labels that are valid everywhere, and what every example is used for."""
        labels = np.asarray(labels)
        size = self._like.shape[0]
        if labels.shape != (size,):
            raise ValueError(
                f"labels: got shape {labels.shape}, expected one per example of the "
                f"pool, {(size,)}"
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"labels: got {labels.dtype.name}, expected integers")
        wrong = np.flatnonzero((labels < UNASKED) | (labels > self.num_classes))
        if wrong.size:
            raise ValueError(
                f"labels: got {labels[wrong[0]]} at row {wrong[0]}, expected {UNASKED} "
                f"(not asked), 0 … {self.num_classes - 1} or {self.num_classes} (OOD)"
            )
        is_in = (labels >= 0) & (labels < self.num_classes)
        is_ood = labels == self.num_classes
        if not is_in.any():
            raise ValueError(
                "labels: got no labelled IN example, expected at least one"
            )
        targets = is_in | is_ood if self._ood_class else is_in
        roles = np.where(targets, TARGET, UNUSED)
        if self._variant == "taufe":
            roles = np.where(is_ood, OOD, roles)
        return np.where(targets, labels, 0).astype(np.int32), roles.astype(np.int32)

    def fit(self, key: jax.Array, labels: np.ndarray) -> FittedNetwork:
        """Trains a fresh network on the answers so far.

        Args:
          key: PRNG key of parameters, batches and augmentation.
          labels: (N,) integers, as in `RoundView`; unasked examples have no influence.

        Returns:
          For `observe` and `predict`.

        Raises:
          ValueError: labels of another shape or out of range, or no labelled IN
            example.
          NonFiniteLossError: see `training.fit`.
        """
        targets, roles = self._targets_and_roles(labels)
        data = self._program.make_data(self._pool, targets[None])
        state = self._program.init(key[None], self._pool)
        state = fit(
            self._program,
            with_roles(state, roles[None]),
            data,
            epochs=self.recipe.epochs,
            report=self._report,
            stop=self._stop,
        )
        trained = FittedNetwork(state.params, state.model_state)
        return jax.tree.map(lambda leaf: leaf[0], trained)

    def observe(self, fitted: FittedNetwork) -> Observation:
        """Looks at the whole pool, without augmentation.

        Args:
          fitted: from `fit`.

        Raises:
          ValueError: a network whose head is no `nn.Dense` called "head".
        """
        found = self._look(fitted, self._pool)
        return Observation(
            logits=found["outputs"],
            features=found["features"],
            head=self._head(fitted.params),
            predicted_losses=found.get("predicted_loss"),
        )

    def predict(self, fitted: FittedNetwork, inputs: Any) -> jax.Array:
        """Logits (M, C) of inputs (M, ...), without augmentation.

        Compiles once for every M.
        """
        return self._look(fitted, jnp.asarray(inputs))["outputs"]

    def _head(self, params: Any) -> tuple[jax.Array, jax.Array]:
        # Beside a loss-prediction module the network is one level down.
        network = params["classifier"] if self._loss_prediction else params
        head = network.get("head", {})
        if "kernel" not in head:
            raise ValueError(
                "make_model: got a network without an nn.Dense called 'head', expected "
                "one"
            )
        return head["kernel"], head.get("bias", jnp.zeros(self.num_outputs))
