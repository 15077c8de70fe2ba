"""Several small trainings on one device, as one program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.training._packed_functions import lift
from robustjax.training._program import Metrics, Program
from robustjax.training._recipe import RecipeProgram
from robustjax.training._state import TrainData, TrainState
from robustjax.training._stream import Stream
from robustjax.transforms import ExampleSpec


def _one(tree: Any) -> Any:
    """The shapes of one repeat."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), tree)


def _concatenated(*leaves: Any) -> Any:
    return jnp.concatenate(leaves)


class PackedProgram:
    """Programs that differ in numbers alone (rates, strengths, seeds), as one.

    All repeats of all points train together, under one `vmap`: states lead with
    (points * repeats), those of a point side by side. What a point learns is what it
    learns alone, up to rounding. It goes where a `RecipeProgram` goes, such as into
    `fit`; `split` gives every point its own.

    Attributes:
      points: their programs.
      repeats: of each.
    """

    def __init__(self, points: Sequence[RecipeProgram], *, repeats: int):
        """Prepares (but does not yet trace) the program.

        Args:
          points: of one data set, batch size and device; phases must be as long.
          repeats: of each point.

        Raises:
          ValueError: no point, another layout, or more than one device.
        """
        if not points:
            raise ValueError("points: got none, expected at least one")
        first = points[0]
        self.points, self.repeats = tuple(points), repeats
        self.recipe = first.recipe
        for number, point in enumerate(points):
            epochs = [phase.epochs for phase in point.recipe.phases]
            shape = (point.spec, point.programs[0].batch_size, epochs)
            own = [phase.epochs for phase in first.recipe.phases]
            if shape != (first.spec, first.programs[0].batch_size, own):
                raise ValueError(
                    f"points: got {shape} at {number}, expected examples, batch size "
                    "and epochs of the first"
                )
        self._phases = [
            _PackedPhase([point.programs[n] for point in points], repeats)
            for n in range(len(first.programs))
        ]

    @property
    def row_spec(self) -> ExampleSpec:
        """Of what the per-example rows are; of all points."""
        return self.points[0].row_spec

    def make_data(self, inputs: Any, labels: Any, extras: Any = None) -> TrainData:
        """See `Program.make_data`; labels (and extras) of all repeats of all points.

        Raises:
          ValueError: a stream.
        """
        if isinstance(inputs, Stream):
            raise ValueError("inputs: got a stream, expected an array")
        return self.points[0].make_data(inputs, labels, extras)

    def init(self, keys: jax.Array, inputs: jax.Array) -> TrainState:
        """Initial states, one per key, by each point's own way.

        Args:
          keys: (points * repeats,) PRNG keys.
          inputs: (N, ...), of which the first row gives the shape.

        Raises:
          ValueError: points whose states differ in more than numbers.
        """
        parts = [
            point.init(keys[at * self.repeats :][: self.repeats], inputs)
            for at, point in enumerate(self.points)
        ]
        return self.join(parts)

    def check(self, state: TrainState, data: TrainData) -> None:
        """Traces an epoch of every phase; nothing is compiled or run.

        Args:
          state: leaves (points * repeats, ...), or their shapes.
          data: of all points.

        Raises:
          ValueError: points that differ in more than numbers, in some phase.
        """
        for phase in self._phases:
            phase.trace(state, data)

    def at(self, epoch: int) -> _PackedPhase:
        """The program of an epoch, see `RecipeProgram.at`."""
        first = self.points[0]
        return self._phases[first.programs.index(first.at(epoch))]

    def predict(self, state: TrainState, inputs: jax.Array) -> jax.Array:
        """Logits (points * repeats, M, C); see `Program.predict`."""
        return self._phases[-1].predict(state, inputs)

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all points, leaves (repeats, ...) each, as one.

        Raises:
          ValueError: states that differ in more than numbers.
        """
        forms = {str(jax.tree.map(jnp.shape, state)) for state in states}
        if len(forms) > 1:
            raise ValueError(
                "points: got states of several shapes, expected networks and losses "
                "of one form, and as many repeats"
            )
        joined: TrainState = jax.tree.map(_concatenated, *states)
        return joined

    def join_data(self, data: Sequence[TrainData]) -> TrainData:
        """The data of all points, each from its own `make_data`, as one.

        Raises:
          ValueError: streams, other inputs than the first point's, or other extras.
        """
        first = data[0]
        for number, each in enumerate(data):
            if isinstance(each.inputs, Stream):
                raise ValueError(f"inputs: got a stream at {number}, expected an array")
            if each.extras.keys() != first.extras.keys() or not np.array_equal(
                each.inputs, first.inputs
            ):
                raise ValueError(
                    f"inputs: got others at {number}, expected the first point's"
                )
        labels, extras = jax.tree.map(
            _concatenated, *((each.labels, dict(each.extras)) for each in data)
        )
        return TrainData(first.inputs, labels, extras)

    def split(self, tree: Any) -> list[Any]:
        """A pytree with leaves (points * repeats, ...) as one of each point."""
        return [
            jax.tree.map(lambda x, n=n: x[n * self.repeats :][: self.repeats], tree)
            for n in range(len(self.points))
        ]


class _PackedPhase:
    """One phase of all points."""

    def __init__(self, programs: Sequence[Program], repeats: int):
        self._of_one = [program.of_one_repeat() for program in programs]
        self._repeats = repeats
        self._epoch: Any = None
        # By the shape and type of what is predicted, which a traced program is of.
        self._predictions: dict[Any, Any] = {}

    def epoch(self, state: TrainState, data: TrainData) -> tuple[TrainState, Metrics]:
        """See `Program.epoch`.

        Raises:
          ValueError: points that differ in more than numbers.
        """
        self.trace(state, data)
        return self._epoch(state, data)

    def trace(self, state: TrainState, data: TrainData) -> None:
        """See `PackedProgram.check`; once."""
        if self._epoch is None:
            own = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), data.inputs
            )
            one = _one(data._replace(inputs=None))._replace(inputs=own)
            functions = [epoch for epoch, _ in self._of_one]
            axes = TrainData(inputs=None, labels=0, extras=0)  # type: ignore[arg-type]
            self._epoch = self._together(functions, (_one(state), one), (0, axes), (1,))

    def predict(self, state: TrainState, inputs: jax.Array) -> jax.Array:
        """See `Program.predict`."""
        form = inputs.shape, inputs.dtype
        if form not in self._predictions:
            functions = [predict for _, predict in self._of_one]
            self._predictions[form] = self._together(
                functions, (_one(state), inputs), (0, None), ()
            )
        return self._predictions[form](state, inputs)

    def _together(
        self, functions: Any, shapes: Any, axes: Any, donated: tuple[int, ...]
    ) -> Any:
        lifted = lift(functions, *shapes)
        numbers = [
            jnp.asarray(np.repeat(each, self._repeats, axis=0))
            for each in lifted.numbers
        ]
        mapped = jax.jit(jax.vmap(lifted.call, (0, *axes)), donate_argnums=donated)
        return lambda *arguments: mapped(numbers, *arguments)
