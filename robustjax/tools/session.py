"""What a verb runs in: devices, caches, and signals that ask it to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator

from robustjax.tools.command.ending import quiet_where_the_disk_is_full
from robustjax.tools.command.output import say
from robustjax.tools.compilation_cache import enable_compilation_cache
from robustjax.tools.platform import check_platform, name_platform
from robustjax.training import StopRequest, stop_on_signals

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def session(platforms: str | None, *, computes: bool) -> Iterator[StopRequest]:
    """A block in which signals are requests to stop.

    Args:
      platforms: where to compute; None for the best.
      computes: whether devices are asked for.

    Yields:
      The request, to be checked now and then.

    Raises:
      ValueError: a platform that is not here.
    """
    # Orbax reports every step of every checkpoint as information.
    logging.getLogger("absl").setLevel(logging.WARNING)
    before = threading.excepthook
    threading.excepthook = quiet_where_the_disk_is_full
    try:
        with stop_on_signals(_SIGNALS) as stop:
            if computes:
                name_platform(platforms)
                check_platform(platforms)
                warning = enable_compilation_cache()
                if warning is not None:
                    say(f"warning: {warning}", error=True)
            yield stop
    finally:
        threading.excepthook = before
