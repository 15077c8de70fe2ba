"""A watch gives up on a process that is silent, and on no other."""

import threading
import time

import pytest

from experiments.study.silent_process import Watch

SECONDS = 0.8


class Table(dict):
    """The store, as JAX's answers."""

    def key_value_set(self, key, value, allow_overwrite):
        assert allow_overwrite
        self[key] = value

    def key_value_dir_get(self, key):
        return [(name, self[name]) for name in list(self) if name.startswith(key)]

    def key_value_try_get(self, key):
        return self[key]


class GivenUp(list):
    """The reasons; its thread goes no further."""

    def __call__(self, reason):
        self.append(reason)
        threading.Event().wait()


def watches(store, count):
    ends = [GivenUp() for _ in range(count)]
    return ends, [
        Watch(store, index, count, SECONDS, end) for index, end in enumerate(ends)
    ]


def wait_for(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def silence(watch):
    """As if its process were stopped: it neither talks nor judges."""
    watch._over.set()
    for thread in watch._threads:
        thread.join()


def test_those_that_talk_or_have_ended_are_not_given_up():
    ends, all_ = watches(Table(), 3)
    all_[2].stop()
    time.sleep(2 * SECONDS)
    assert not any(ends)
    # The first has nobody to wait for it either.
    all_[0].stop()
    time.sleep(2 * SECONDS)
    assert not any(ends)
    all_[1].stop()


@pytest.mark.parametrize("silent", [0, 2])
def test_one_that_is_silent_is_given_up_by_all(silent):
    ends, all_ = watches(Table(), 3)
    silence(all_[silent])
    others = [end for index, end in enumerate(ends) if index != silent]
    wait_for(lambda: all(others))
    assert not ends[silent]
    for end in others:
        assert end[0].startswith(f"process {silent} has been silent for ")


def test_a_store_that_does_not_answer_is_its_process_silent():
    class Hanging(Table):
        def key_value_set(self, key, value, allow_overwrite):
            threading.Event().wait()

    end = GivenUp()
    Watch(Hanging(), 1, 2, SECONDS, end)
    wait_for(lambda: end)
    assert end[0].startswith("process 0 has been silent for ")
