"""Where the points of one process meet before every epoch, to train it as one program.

One point is at work at a time, until it comes to an epoch: there it waits until all
others have come to one, too, or have ended. Then the least advanced train theirs
together. What a point does between two epochs (measures, journal, checkpoints) is its
own, and no two points ever do it at once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax

from experiments.study.repeats import StandIn
from robustjax.training import PackedProgram, RecipeProgram, TrainData, TrainState

_Trained = tuple[TrainState, dict[str, jax.Array]]


class _Call(NamedTuple):
    """A point that waits for an epoch.

    Attributes:
      training: which of the point's trainings it is, counted from 0.
      program: of the training.
      epoch: counted from 0.
      state: before the epoch.
      data: of the training.
    """

    training: int
    program: RecipeProgram
    epoch: int
    state: TrainState
    data: TrainData

    @property
    def phase(self) -> int:
        """The number of the recipe's phase."""
        return self.program.programs.index(self.program.at(self.epoch))

    def alone(self) -> _Trained:
        """Trains the epoch by the program itself."""
        return self.program.at(self.epoch).epoch(self.state, self.data)


class Meeting:
    """Lets points take turns, and trains their epochs together."""

    def __init__(self, names: Sequence[str], apart: Callable[[str, str], None]):
        """Expects points.

        Args:
          names: of the points; each must take its `seat`.
          apart: called with the name of a point that does not train with the first,
            and why.
        """
        self._turn = threading.Condition()
        self._there = dict.fromkeys(names)
        self._apart = apart
        self._calls: dict[str, _Call] = {}
        self._found: dict[str, _Trained | Exception] = {}
        self._training = -1
        self._packs: list[_Pack] = []

    @contextlib.contextmanager
    def seat(self, name: str, begin: Callable[[], None]) -> Iterator[StandIn]:
        """Waits for its turn, and holds the point's seat until it has ended.

        Args:
          name: of the point.
          begin: called whenever it is the point's turn.

        Yields:
          What trains in the place of the point's programs.
        """
        training = -1

        def stand_in(program: RecipeProgram) -> RecipeProgram:
            nonlocal training
            training += 1
            own = _AtMeeting(self, name, begin, training, program)
            return cast(RecipeProgram, own)

        with self._turn:
            begin()
            try:
                yield stand_in
            finally:
                del self._there[name]
                self._calls.pop(name, None)
                self._turn.notify_all()

    def epoch(self, name: str, call: _Call) -> _Trained:
        """Waits for the others, and trains.

        Raises:
          Exception: whatever the epoch has raised, in all points that it was of.
        """
        self._calls[name] = call
        while name not in self._found:
            if len(self._calls) == len(self._there):
                self._train()
                self._turn.notify_all()
            else:
                self._turn.wait()
        found = self._found.pop(name)
        if isinstance(found, Exception):
            raise found
        return found

    def _train(self) -> None:
        """An epoch of those who are least advanced; the others go on waiting."""
        first = min(call.training for call in self._calls.values())
        here = {n: c for n, c in self._calls.items() if c.training == first}
        # They may have been resumed from different epochs. Of one phase that makes no
        # difference.
        phase = min(call.phase for call in here.values())
        calls = {n: c for n, c in here.items() if c.phase == phase}
        if first != self._training:
            # Nobody comes back to an earlier training, and all who will ever be at
            # this one are here.
            self._training = first
            self._packs = self._packs_of({n: here[n] for n in self._there if n in here})
        for pack in self._packs:
            self._found |= pack.train({n: calls[n] for n in pack.names if n in calls})
        for name in calls:
            del self._calls[name]

    def _packs_of(self, calls: Mapping[str, _Call]) -> list[_Pack]:
        """Those that can train as one, with the first of them; then the rest."""
        if not calls:
            return []
        try:
            return [_Pack(calls)]
        # Whatever it is, what is each point's own it will meet by itself.
        except Exception as error:
            whole = error
        first, *others = calls
        apart = {n: e for n in others if (e := _problem(calls, first, n)) is not None}
        apart = apart or dict.fromkeys(others, whole)
        for name, problem in apart.items():
            why = str(problem).partition("\n")[0]
            self._apart(name, f"not packed with {first}: {why}")
        beside = {n: call for n, call in calls.items() if n not in apart}
        return [
            *self._packs_of(beside),
            *self._packs_of({name: calls[name] for name in apart}),
        ]


def _problem(calls: Mapping[str, _Call], *names: str) -> Exception | None:
    """Why some cannot train as one; None where they can."""
    try:
        _Pack({name: calls[name] for name in names})
    except Exception as error:
        return error
    return None


class _Pack:
    """Points that train as one program.

    Attributes:
      names: of the points.
    """

    def __init__(self, calls: Mapping[str, _Call]):
        """Traces all phases, if there are several points.

        Raises:
          ValueError: points that differ in more than numbers, or are on several
            devices.
        """
        self.names = tuple(calls)
        self._program: PackedProgram | None = None
        if len(calls) == 1:
            return
        some = next(iter(calls.values()))
        self._program = PackedProgram(
            [call.program for call in calls.values()],
            repeats=some.state.epoch.shape[0],
        )
        self._data = self._program.join_data([call.data for call in calls.values()])
        states = [call.state for call in calls.values()]
        self._program.check(jax.eval_shape(self._program.join, states), self._data)
        self._join = jax.jit(self._program.join)
        self._split = jax.jit(self._program.split)

    def train(self, calls: Mapping[str, _Call]) -> Mapping[str, _Trained | Exception]:
        """Trains an epoch of one phase.

        Args:
          calls: of the points that are here.

        Returns:
          What became of it, by name; the same error for all.
        """
        try:
            return self._train(calls)
        # Whoever was not told would wait for ever.
        except Exception as error:
            return dict.fromkeys(calls, error)

    def _train(self, calls: Mapping[str, _Call]) -> dict[str, _Trained]:
        if self._program is None or not calls:
            return {name: call.alone() for name, call in calls.items()}
        some = next(iter(calls.values()))
        # Who has ended, or is ahead, is stood in for by a copy: what was compiled
        # stays as it is.
        states = [calls.get(name, some).state for name in self.names]
        found = self._program.at(some.epoch).epoch(self._join(states), self._data)
        trained = dict(zip(self.names, self._split(found)))
        return {name: trained[name] for name in calls}


class _AtMeeting:
    """A program that trains its epochs with those of other points."""

    def __init__(
        self,
        meeting: Meeting,
        name: str,
        begin: Callable[[], None],
        training: int,
        program: RecipeProgram,
    ):
        self._meeting, self._name, self._begin = meeting, name, begin
        self._training, self._program = training, program
        self._epoch = 0

    def at(self, epoch: int) -> _AtMeeting:
        self._epoch = epoch
        return self

    def epoch(self, state: TrainState, data: TrainData) -> _Trained:
        call = _Call(self._training, self._program, self._epoch, state, data)
        try:
            return self._meeting.epoch(self._name, call)
        finally:
            self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._program, name)
