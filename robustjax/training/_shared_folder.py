"""Whether several processes share a folder, found out by writing to it."""

from __future__ import annotations

import contextlib
import pathlib
import time
import uuid

import jax

from robustjax.training._processes import from_every_process, from_first_process

# Network file systems show the files of others after a while.
_LOOKS, _PAUSE_SECONDS = 20, 0.05


def processes_apart(folder: pathlib.Path) -> list[int]:
    """Which processes do not share a folder with the first one.

    Each must see there what the first writes, and the first what each writes. All
    processes must come here.

    Args:
      folder: is made by the first process; nothing else is left behind.

    Raises:
      OSError: the first process cannot write there; in the others a `ValueError`.
    """
    token = from_first_process(lambda: _leave_token(folder))
    answered = from_every_process(lambda: _answer(folder, token))
    return from_first_process(lambda: _unseen(folder, token, answered))


def _path(folder: pathlib.Path, token: str, index: int) -> pathlib.Path:
    # What is left by a process that is killed goes with what was half written.
    return folder / f"{token}.{index}.partial"


def _leave_token(folder: pathlib.Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    _path(folder, token, 0).touch()
    return token


def _answer(folder: pathlib.Path, token: str) -> bool:
    if not _appears(_path(folder, token, 0)):
        return False
    try:
        _path(folder, token, jax.process_index()).touch()
    except OSError:
        return False
    return True


def _unseen(folder: pathlib.Path, token: str, answered: list[bool]) -> list[int]:
    paths = [_path(folder, token, index) for index in range(len(answered))]
    unseen = [
        index
        for index, (path, done) in enumerate(zip(paths, answered))
        if not (done and _appears(path))
    ]
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return unseen


def _appears(path: pathlib.Path) -> bool:
    for _ in range(_LOOKS):
        if path.exists():
            return True
        time.sleep(_PAUSE_SECONDS)
    return path.exists()
