"""How a process ends that has lost another one: one line, at once, and a status."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
from jax._src.lib import _jax

from robustjax.tools.command.ending import FAILED

# The first process is the one that the others ask: they end before it.
_GRACE_SECONDS = 3
_ending = threading.Lock()


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another process is gone, or does not answer.

    Memory that is full has an ending of its own.
    """
    if not jax.distributed.is_initialized():
        return False
    text = str(error)
    return isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" not in text
    )


def end_as_lost(reason: Any) -> NoReturn:
    """Says so in one line and ends the process, whatever its threads wait for.

    An ordinary exit would wait for the others, in vain, and abort.

    Args:
      reason: what the runtime says.
    """
    with _ending:
        first = (str(reason).splitlines() or [""])[0][:200]
        with contextlib.suppress(OSError):
            print(
                "error: another process has ended or does not answer "
                f"({first}); run the same command again to continue",
                file=sys.stderr,
                flush=True,
            )
        if jax.process_index() == 0:
            time.sleep(_GRACE_SECONDS)
        os._exit(FAILED)


@contextlib.contextmanager
def ending_as_lost() -> Iterator[None]:
    """Processes joined inside the block end by `end_as_lost`.

    By itself, JAX's client aborts with a stack of C++ where the service tells it that
    a process is lost, or is lost itself; `jax.distributed.initialize` does not hand on
    that this can be otherwise.
    """
    make = _jax.get_distributed_runtime_client
    _jax.get_distributed_runtime_client = functools.partial(
        make, missed_heartbeat_callback=end_as_lost
    )
    try:
        yield
    finally:
        _jax.get_distributed_runtime_client = make
