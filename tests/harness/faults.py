"""Ends of a process inside its own writes."""

from __future__ import annotations

import os
import signal
from typing import Any


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_write(*, what: str, number: int) -> None:
    """Makes the process die in the middle of a write.

    Args:
      what: "journal" (half a line is written), "log" (the same of answers, or the whole
        line), "checkpoint" (saved under its partial name, or under its final name and
        the old ones not yet removed), or "file" (an atomic file, complete but not yet
        under its name).
      number: of the write that it dies in, from 1.
    """
    count = 0

    def due() -> bool:
        nonlocal count
        count += 1
        return count == number

    if what == "journal":
        from experiments.study import journal

        def append(self: Any, record: Any) -> None:
            import json

            text = json.dumps(record) + "\n"
            with open(self.folder / journal.FILE, "a", encoding="utf-8") as file:
                if due():
                    file.write(text[: len(text) // 2])
                    file.flush()
                    _end()
                file.write(text)

        journal.Journal._append = append  # type: ignore[method-assign]
    elif what == "log":
        from robustjax.methods._exchange_folder import LOG

        fsync = os.fsync

        def synced(handle: int) -> None:
            if os.readlink(f"/proc/self/fd/{handle}").endswith(LOG) and due():
                if number % 2:
                    os.ftruncate(handle, os.fstat(handle).st_size - 9)
                _end()
            fsync(handle)

        os.fsync = synced  # type: ignore[assignment]
    elif what == "checkpoint":
        import pathlib

        rename = pathlib.Path.rename

        def renamed(self: pathlib.Path, target: Any) -> Any:
            if self.name.endswith(".partial") and due():
                if number % 2:
                    _end()
                rename(self, target)
                _end()
            return rename(self, target)

        pathlib.Path.rename = renamed  # type: ignore[method-assign]
    else:
        replace = os.replace

        def replaced(source: Any, target: Any, **options: Any) -> None:
            if due():
                _end()
            replace(source, target, **options)

        os.replace = replaced  # type: ignore[assignment]
