"""Training the classifier of one round of label correction, all repeats at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from robustjax import arrays, checks
from robustjax.models import MLP
from robustjax.training import (
    Execution,
    Program,
    StopRequest,
    TrainState,
    as_float,
    choose_execution,
    fit,
    fresh_state,
    init_variables,
    jit_run_once,
    supervised,
)
from robustjax.training._program import check_batch_size, over_repeats
from robustjax.training._schedules import stepwise
from robustjax.transforms import ExampleSpec, LossTransform

EpochReport = Callable[[str, int, dict[str, np.ndarray]], None]
"""`(kind of training, epoch, metrics) -> None`, called after every epoch."""


@dataclasses.dataclass(frozen=True)
class ClassifierSettings:
    """How the classifier is trained in every round.

    Defaults are those of Kim (ECCV 2022) where the paper speaks (learning rate,
    momentum, weight decay, drops); it is silent on widths, epochs and batch size.

    Attributes:
      hidden: widths of the hidden layers of the MLP.
      epochs: per round.
      batch_size: examples per step.
      learning_rate: initial.
      momentum: of SGD.
      weight_decay: coupled, as in PyTorch's SGD.
      drop_epochs: when the learning rate is multiplied by `drop_factor`; by default
        every tenth epoch, up to the hundredth, when nothing is left of it.
      drop_factor: see `drop_epochs`.
      dtype: of the arithmetic, "float32" or "bfloat16".
    """

    hidden: tuple[int, ...] = (1024, 512, 256)
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    drop_epochs: tuple[int, ...] = tuple(range(10, 101, 10))
    drop_factor: float = 0.1
    dtype: str = "float32"

    def __post_init__(self) -> None:
        checks.at_least("epochs", self.epochs, 1)
        checks.at_least("batch_size", self.batch_size, 1)
        for epoch in self.drop_epochs:
            checks.at_least("drop_epochs", epoch, 1)
        checks.one_of("dtype", self.dtype, ("float32", "bfloat16"))
        checks.in_range("learning_rate", self.learning_rate, 0, low_open=True)
        checks.in_range("momentum", self.momentum, 0, 1, high_open=True)
        checks.in_range("weight_decay", self.weight_decay, 0)
        checks.in_range("drop_factor", self.drop_factor, 0, 1, low_open=True)

    def check(self, num_examples: int, num_devices: int = 1) -> None:
        """Raises `ValueError` for batches that do not fit the data or the devices."""
        check_batch_size(self.batch_size, num_examples, num_devices)

    def schedule(self, steps_per_epoch: int) -> optax.Schedule:
        """The step-wise learning rate."""
        drops = [epoch for epoch in self.drop_epochs if epoch < self.epochs]
        return stepwise(self.learning_rate, drops, self.drop_factor, steps_per_epoch)

    def optimizer(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """SGD with momentum and coupled weight decay under a schedule."""
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay),
            optax.sgd(schedule, momentum=self.momentum),
        )


@jit_run_once
def folded(keys: jax.Array, number: jax.typing.ArrayLike) -> jax.Array:
    """`jax.random.fold_in` of a number into every key, (R,)."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)


@jax.jit
def _copied(tree: Any) -> Any:
    """The same values in memory of their own."""
    return jax.tree.map(jnp.copy, tree)


def phase_keys(keys: jax.Array, phase: int) -> jax.Array:
    """Fresh keys, (R,), for a further phase of training within a round.

    A training derives all its randomness from its keys: given those of the phase
    before, it would go through the same batches in the same order.
    """
    # Splitting a key in two is folding in 0 and 1, which the trainer does.
    return folded(keys, 2 + phase)


class Variables(NamedTuple):
    """What a network is, of every repeat.

    Attributes:
      params: parameters, leaves (R, ...).
      model_state: further variable collections, such as running averages.
    """

    params: Any
    model_state: Any


class Fitted(NamedTuple):
    """A trained classifier of every repeat.

    Attributes:
      program: that trained it.
      state: leaves (R, ...).
    """

    program: Program
    state: TrainState

    @property
    def variables(self) -> Variables:
        """The network's variables, to start another training from."""
        return Variables(self.state.params, self.state.model_state)

    def logits(self, inputs: jax.Array) -> jax.Array:
        """(R, M, C) logits of inputs (M, ...)."""
        return self.program.predict(self.state, inputs)


class _Training(NamedTuple):
    """A kind of training: its program, and `(variables, keys) -> state` before it."""

    program: Program
    start: Callable[[Variables, jax.Array], TrainState]


class _FirstTraining(NamedTuple):
    """What was asked for, what came of it, and what was reported meanwhile."""

    asked: tuple[np.ndarray, np.ndarray]
    fitted: Fitted
    reports: list[tuple[int, dict[str, np.ndarray]]]


class RoundTrainer:
    """Trains classifiers on one set of inputs with changing labels.

    Programs are compiled once per kind of training and serve every round, every method
    and all repeats.

    Attributes:
      inputs: (N, ...) on the device.
      spec: N and C.
      settings: of the classifier.
      model: the classifier.
      execution: how it is run.
      cache: what methods compute once from the inputs alone, such as a graph.
    """

    def __init__(
        self,
        inputs: np.ndarray | jax.Array,
        num_classes: int,
        settings: ClassifierSettings,
        *,
        model: nn.Module | None = None,
        execution: Execution | None = None,
        mesh: Mesh | None = None,
        on_epoch: EpochReport | None = None,
        stop: StopRequest | None = None,
    ):
        """Puts the inputs on the device.

        Args:
          inputs: (N, ...) features, or images as uint8.
          num_classes: C.
          settings: of the classifier.
          model: the classifier; by default an `MLP` of the settings' widths.
          execution: how to run it; by default, a model of one's own that gets images
            is taken for a convolutional one.
          mesh: for data parallelism.
          on_epoch: called with the kind of training, the epoch and its metrics.
          stop: checked after every epoch.

        Raises:
          ValueError: batches that do not fit the data or the mesh.
        """
        settings.check(len(inputs), 1 if mesh is None else mesh.size)
        self.spec = ExampleSpec(
            len(inputs), num_classes, pad_to=1 if mesh is None else mesh.size
        )
        self.settings = settings
        self.inputs = arrays.resolved("inputs", inputs)
        self.model = model or MLP(
            num_classes, settings.hidden, dtype=jnp.dtype(settings.dtype)
        )
        images = self.inputs.ndim == 4
        self.execution = execution or choose_execution(
            convolutional=model is not None and images
        )
        self._mesh = mesh
        self._on_epoch = on_epoch
        self._stop = stop
        self._trainings: dict[str, _Training] = {}
        # One for all kinds of training: drawing a network is most of a beginning.
        self._draw = jit_run_once(over_repeats(self._drawn, (0, None)))
        self._split = jit_run_once(jax.vmap(jax.random.split, out_axes=1))
        self._first: dict[tuple[str, int], _FirstTraining] = {}
        self.cache: dict[Any, Any] = {}

    def fit(
        self,
        kind: str,
        transform: Callable[[], LossTransform],
        labels: jax.Array,
        keys: jax.Array,
        *,
        extras: Mapping[str, jax.Array] | None = None,
        variables: Variables | None = None,
        prepare: Callable[[TrainState], TrainState] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        schedule: Callable[[int], optax.Schedule] | None = None,
    ) -> Fitted:
        """Trains all repeats from scratch, or from a given network.

        The first training of every kind is remembered: methods that begin alike share
        it, and its epochs are reported again.

        Args:
          kind: a name for this kind of training; equal names must mean equal
            `transform`, `batch_size` and `schedule`.
          transform: makes the loss.
          labels: (R, N) integers.
          keys: (R,) PRNG keys.
          extras: dict of (R, N, ...) arrays for the transform.
          variables: of the network to start from.
          prepare: changes the initial state, say to put rows into its loss state.
          epochs: by default the settings'.
          batch_size: by default the settings'.
          schedule: `(steps_per_epoch) -> learning rate schedule`.
        """
        program, start = self._training(kind, transform, batch_size, schedule)
        epochs = epochs or self.settings.epochs
        plain = extras is None and variables is None and prepare is None
        asked = (np.asarray(labels), np.asarray(jax.random.key_data(keys)))
        if plain and (kind, epochs) in self._first:
            first = self._first[kind, epochs]
            if all(np.array_equal(a, b) for a, b in zip(asked, first.asked)):
                for epoch, metrics in first.reports:
                    self._report(kind, epoch, metrics)
                return first.fitted
        init_keys, run_keys = self._split(keys)
        state = start(variables or self.untrained(init_keys), run_keys)
        state = program.placed(state)
        if prepare is not None:
            state = prepare(state)
        if variables is not None or prepare is not None:
            # Training consumes its state; what came from outside must survive it.
            state = _copied(state)
        reports: list[tuple[int, dict[str, np.ndarray]]] = []

        def report(epoch: int, metrics: dict[str, np.ndarray]) -> None:
            reports.append((epoch, metrics))
            self._report(kind, epoch, metrics)

        state = fit(
            program,
            state,
            program.make_data(self.inputs, labels, extras),
            epochs=epochs,
            report=report,
            stop=self._stop,
        )
        fitted = Fitted(program, state)
        if plain:
            first = _FirstTraining(asked, fitted, reports)
            self._first.setdefault((kind, epochs), first)
        return fitted

    def _report(self, kind: str, epoch: int, metrics: dict[str, np.ndarray]) -> None:
        if self._on_epoch is not None:
            self._on_epoch(kind, epoch, metrics)

    def points(self) -> np.ndarray:
        """The inputs as (N, d) float32 points, for graphs; see `as_float`."""
        return np.asarray(as_float(self.inputs)).reshape(len(self.inputs), -1)

    def untrained(self, keys: jax.Array) -> Variables:
        """A fresh network's variables, one network per key."""
        found: Variables = self._draw(keys, self.inputs)
        return found

    def _drawn(self, key: jax.Array, inputs: jax.Array) -> Variables:
        return Variables(*init_variables(self.model, key, as_float(inputs[:1])))

    def _training(
        self,
        kind: str,
        transform: Callable[[], LossTransform],
        batch_size: int | None,
        schedule: Callable[[int], optax.Schedule] | None,
    ) -> _Training:
        if kind not in self._trainings:
            size = batch_size or self.settings.batch_size
            steps = -(-self.spec.num_examples // size)
            rate = (schedule or self.settings.schedule)(steps)
            loss, optimizer = transform(), self.settings.optimizer(rate)
            program = Program(
                supervised(self.model, loss, optimizer),
                self.spec,
                batch_size=size,
                execution=self.execution,
                mesh=self._mesh,
            )

            def start(variables: Variables, key: jax.Array) -> TrainState:
                memory = loss.init(self.spec)
                return fresh_state(*variables, memory, optimizer, key)

            compiled = jit_run_once(over_repeats(start, (0, 0)))
            self._trainings[kind] = _Training(program, compiled)
        return self._trainings[kind]


def with_given_weights(state: TrainState, weights: jax.Array) -> TrainState:
    """A state whose `transforms.given_weights`, first of a chain, are set.

    Args:
      state: leaves (R, ...).
      weights: (R, N_padded) float32.
    """
    return state.with_rows(({"weight": weights}, *state.loss_state.rows[1:]))
