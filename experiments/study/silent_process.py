"""A process that hangs or cannot be reached is given up, with one line."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from experiments.study.lost_process import runtime

_FOLDER = "robustjax/alive"
_ENDED, _LOST = "ended", "lost"


class Store(Protocol):
    """What all processes write to and read: JAX's, which the first one keeps."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool) -> None:
        """Writes a value."""

    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
        """All that is under a folder, by its whole name."""

    def key_value_try_get(self, key: str) -> str:
        """A value; an error where there is none."""


class Watch:
    """Says now and then that this process is alive, and gives up on silent ones.

    The first process listens to all, and the others to the first, which tells them
    what it has found. One that ends says so, and is not waited for.
    """

    def __init__(
        self,
        store: Store,
        index: int,
        count: int,
        seconds: float,
        give_up: Callable[[str], Any],
    ):
        """Begins in threads of its own.

        Args:
          store: see there; what it raises is no sign of life.
          index: of this process.
          count: of all.
          seconds: of silence after which a process is given up.
          give_up: called with the reason, from a thread; does not return.
        """
        self._store, self._index, self._give_up = store, index, give_up
        self._seconds, self._interval = seconds, min(2.0, seconds / 8)
        heard_of = range(1, count) if index == 0 else [0]
        self._heard = dict.fromkeys(heard_of, time.monotonic())
        self._said: dict[int, str] = {}
        self._over = threading.Event()
        # The store may not answer, either: who asks is not who counts the seconds.
        self._threads = [
            threading.Thread(target=work, daemon=True, name="watch")
            for work in (self._talk, self._judge)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Says that this process ends, and listens no more."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * self._interval)
        if not any(thread.is_alive() for thread in self._threads):
            self._say(_ENDED)

    def _say(self, what: str) -> None:
        # Where it cannot be said, the silence is what the others notice.
        with contextlib.suppress(Exception):
            self._store.key_value_set(
                f"{_FOLDER}/{self._index}", what, allow_overwrite=True
            )

    def _listen(self) -> dict[int, str]:
        """What the processes that this one listens to said last."""
        try:
            if self._index:
                return {0: self._store.key_value_try_get(f"{_FOLDER}/0")}
            found = self._store.key_value_dir_get(_FOLDER)
        except Exception:
            return {}
        said = {int(key.rsplit("/", 1)[1]): value for key, value in found}
        return {index: value for index, value in said.items() if index}

    def _talk(self) -> None:
        number = 0
        while not self._over.wait(self._interval):
            number += 1
            self._say(str(number))
            for index, value in self._listen().items():
                if self._said.get(index) != value:
                    self._said[index], self._heard[index] = value, time.monotonic()

    def _judge(self) -> None:
        while not self._over.wait(self._interval):
            for index, heard in self._heard.items():
                said = self._said.get(index, "")
                silent = time.monotonic() - heard
                if said.startswith(_LOST):
                    self._give_up(said.removeprefix(_LOST).strip())
                elif said != _ENDED and silent > self._seconds:
                    reason = f"process {index} has been silent for {silent:.0f} s"
                    self._tell(reason)
                    self._give_up(reason)

    def _tell(self, reason: str) -> None:
        """Tells those that listen to this process, if the store answers in time."""
        telling = threading.Thread(
            target=self._say, args=(f"{_LOST} {reason}",), daemon=True
        )
        telling.start()
        telling.join(self._interval)


def watch_others(seconds: float, give_up: Callable[[str], Any]) -> None:
    """Watches the other processes until this one ends.

    Args:
      seconds: see `Watch`.
      give_up: see `Watch`.
    """
    state = runtime()
    count = state.num_processes or 1
    if state.client is not None and count > 1:
        watch = Watch(state.client, state.process_id, count, seconds, give_up)
        # After JAX's own, that is, before it: the store is still there.
        atexit.register(watch.stop)
