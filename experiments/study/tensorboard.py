"""A run's numbers as TensorBoard events; a view of the journal, never its source."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import jax


class Events:
    """Writes events, if tensorboardX is installed, on the first process alone."""

    def __init__(self, folder: pathlib.Path, *, wanted: bool = True):
        """Writes nothing yet.

        Args:
          folder: for the events, a folder below it per group.
          wanted: False for none at all.
        """
        self._folder = folder
        self._wanted = wanted and jax.process_index() == 0
        self._writers: dict[str, Any] = {}

    def show(self, record: Mapping[str, Any], step: int, group: str) -> None:
        """A record's numbers, over steps, as those of a group."""
        if not self._wanted:
            return
        if group not in self._writers:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                self._wanted = False
                return
            try:
                self._writers[group] = SummaryWriter(str(self._folder / group))
            except OSError:
                # The journal says it better when its own write fails.
                self._wanted = False
                return
        for key, value in record.items():
            if isinstance(value, float):
                self._writers[group].add_scalar(key, value, step)

    def close(self) -> None:
        """Ends the threads that write."""
        for writer in self._writers.values():
            try:
                writer.close()
            except OSError:
                # What does not fit on the disk is in the journal, or its error is;
                # the interpreter would try once more when it ends.
                for inner in (writer.all_writers or {}).values():
                    inner.event_writer.close = _nothing


def _nothing() -> None:
    pass
