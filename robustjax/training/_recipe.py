"""Training in phases, such as a warm-up and what follows it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.training._program import Program
from robustjax.training._state import Algorithm, TrainData, TrainState
from robustjax.training._stream import Stream
from robustjax.transforms import ExampleSpec


class Phase(NamedTuple):
    """Some epochs of one algorithm.

    Attributes:
      algorithm: what is trained.
      epochs: for how long.
    """

    algorithm: Algorithm
    epochs: int


class Recipe(NamedTuple):
    """A method as published: its phases, one after the other.

    All phases share the structure of the train state, which passes from one to the
    next unchanged; `init` and `predict` are those of the first and the last phase.
    Where something must happen between two phases, the epoch rule of the first does
    it (it is called after every epoch, and `state.epoch` tells which).

    Attributes:
      phases: at least one.
    """

    phases: tuple[Phase, ...]

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)


def single_phase(algorithm: Algorithm, epochs: int) -> Recipe:
    """The recipe of an algorithm that does the same from beginning to end."""
    return Recipe((Phase(algorithm, epochs),))


class RecipeProgram:
    """A recipe compiled: one `Program` per phase, over one state and one data set.

    Attributes:
      recipe: what is run.
      programs: of its phases.
    """

    def __init__(self, recipe: Recipe, spec: ExampleSpec, **options: Any):
        """Prepares (but does not yet compile) the programs.

        Args:
          recipe: what to run.
          spec: see `Program`.
          **options: the further arguments of `Program`.

        Raises:
          ValueError: no phase, a phase without epochs, or bad options.
        """
        if not recipe.phases:
            raise ValueError("recipe: got no phase, expected at least one")
        for phase in recipe.phases:
            checks.at_least("epochs", phase.epochs, 1)
        self.recipe = recipe
        self.programs = tuple(
            Program(phase.algorithm, spec, **options) for phase in recipe.phases
        )

    @property
    def spec(self) -> ExampleSpec:
        """For how many examples and classes; of all phases."""
        return self.programs[0].spec

    @property
    def row_spec(self) -> ExampleSpec:
        """Of what the per-example rows are; of all phases."""
        return self.programs[0].row_spec

    def at(self, epoch: int) -> Program:
        """The program of an epoch, counted from 0; the last phase has no end."""
        end = 0
        for program, phase in zip(self.programs, self.recipe.phases):
            end += phase.epochs
            if epoch < end:
                return program
        return self.programs[-1]

    def make_data(self, *arguments: Any, **options: Any) -> TrainData:
        """See `Program.make_data`."""
        return self.programs[0].make_data(*arguments, **options)

    def init(self, keys: jax.Array, inputs: jax.Array | Stream) -> TrainState:
        """See `Program.init`."""
        return self.programs[0].init(keys, inputs)

    def check(self, inputs: np.ndarray | jax.Array) -> None:
        """Traces the beginning and a step of every phase; nothing is compiled or run.

        What does not fit together (a batch size that a later phase cannot divide, say)
        is found hours before it would be met.

        Args:
          inputs: (N, ...), of which shape and type are looked at.

        Raises:
          ValueError: whatever a phase refuses.
        """
        first = self.programs[0]
        rows = first.spec.padded_examples

        def trace(key: jax.Array, data: TrainData) -> None:
            state = first.initial_state(key, data.inputs[:1])
            for program in self.programs:
                program.trace_step(state, data)

        own: Any = jax.ShapeDtypeStruct(
            (rows, *inputs.shape[1:]), jax.dtypes.canonicalize_dtype(inputs.dtype)
        )
        labels: Any = jax.ShapeDtypeStruct((rows,), jnp.int32)
        data = TrainData(own, labels)
        jax.eval_shape(trace, jax.eval_shape(lambda: jax.random.key(0)), data)

    def predict(self, state: TrainState, inputs: jax.Array | Stream) -> jax.Array:
        """See `Program.predict`; by the last phase."""
        return self.programs[-1].predict(state, inputs)
