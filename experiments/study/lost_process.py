"""How a process ends that has lost another one: one line, at once, and a status."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import Any, NoReturn

import jax
from jax._src import distributed

from experiments.study.fatal_page import lost_line, say_last
from robustjax.tools.command.ending import FAILED

# The first process is the one that the others ask: they end before it.
_GRACE_SECONDS = 3
_ending = threading.Lock()
_STATUSES = tuple(
    f"{name}: "
    for name in (
        *("ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION"),
        *("INTERNAL", "UNAVAILABLE", "UNKNOWN"),
    )
)


def runtime() -> Any:
    """What JAX knows of the processes, of which its public names tell too little.

    They start the devices, for which the others may be waited for.
    """
    return distributed.global_state


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone, or does not answer.

    Memory that is full has an ending of its own.
    """
    if not jax.distributed.is_initialized():
        return False
    # Where a computation was not yet on its way, it is a ValueError.
    known = isinstance(error, jax.errors.JaxRuntimeError | ValueError)
    return known and str(error).startswith(_STATUSES)


def end_as_lost(reason: str) -> NoReturn:
    """Says so in one line and ends the process, whatever its threads wait for.

    An ordinary exit would wait for the others, in vain, and abort.

    Args:
      reason: what is known of it.
    """
    # From the main thread or from the one that watches, but once.
    _ending.acquire()
    with contextlib.suppress(OSError):
        # A progress bar stands where the line begins.
        erased = "\r\x1b[K" if sys.stderr.isatty() else "\r"
        say_last(erased + lost_line(reason))
    if runtime().process_id == 0:
        time.sleep(_GRACE_SECONDS)
    os._exit(FAILED)
