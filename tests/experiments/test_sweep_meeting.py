"""Points of one process take turns, and nobody waits for ever."""

from __future__ import annotations

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.sweeping.meeting import Meeting
from tests.training import toy
from tests.training.test_packed import point as toy_program

SECONDS = 900


class Counted:
    """Stands for a program that cannot be packed; a state is a number."""

    def __init__(self, fails_at=None):
        self.programs, self._fails_at = (self,), fails_at

    def at(self, epoch):
        del epoch
        return self

    def epoch(self, state, data):
        if state == self._fails_at:
            raise RuntimeError("no memory is left")
        return state + 1, data


def meet(names, work):
    """Results or errors of `work(stand_in, name)`, by name; what it said beside."""
    said, found = [], {}
    meeting = Meeting(names, lambda name, why: said.append((name, why)))

    def run(name):
        try:
            with meeting.seat(name, lambda: None) as stand_in:
                found[name] = work(stand_in, name)
        except (RuntimeError, ValueError) as error:
            found[name] = str(error)

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert found.keys() == set(names), "they wait for one another"
    return found, said


def test_nobody_waits_for_who_has_failed_or_has_less_to_do():
    lengths = {"a": (3, 2), "b": (0, 4), "c": (1,), "d": (3, 9), "e": (5, 5)}

    def work(stand_in, name):
        if name == "e":
            raise ValueError("before the first epoch")
        total = 0
        for length in lengths[name]:
            program = stand_in(Counted(fails_at=7 if name == "d" else None))
            state = 0
            for epoch in range(length):
                state, _ = program.at(epoch).epoch(state, {})
            total += state
        return total

    found, said = meet(list(lengths), work)
    assert found == {
        "a": 5, "b": 4, "c": 1, "d": "no memory is left", "e": "before the first epoch"
    }  # fmt: skip
    # Each by itself, and why.
    assert {name for name, _ in said} == {"b", "c", "d"}


@pytest.mark.slow
def test_a_point_of_another_form_trains_beside_those_that_go_together():
    programs = {
        "a": toy_program(0.1, 3.0),
        "b": toy_program(0.1, 3.0, hidden=(9,)),
        "c": toy_program(0.02, 0.5),
    }
    x, y = toy.arrays()
    keys = jax.random.split(jax.random.key(7), 2)

    def work(stand_in, name):
        program = stand_in(programs[name])
        # As of one that was resumed from an epoch of its own.
        state = program.init(keys, jnp.asarray(x))
        data = program.make_data(x, y)
        states = [np.asarray(state.epoch)]
        for epoch in range(2 if name == "a" else 1):
            state, metrics = program.at(epoch).epoch(state, data)
            states.append(np.asarray(state.epoch))
            assert np.isfinite(metrics["loss"]).all()
        return np.stack(states).tolist()

    found, said = meet(list(programs), work)
    assert found["b"] == found["c"] == [[0, 0], [1, 1]]
    assert found["a"] == [[0, 0], [1, 1], [2, 2]]
    ((name, why),) = said
    assert name == "b"
    assert why.startswith("not packed with a: points: got states of several shapes")
