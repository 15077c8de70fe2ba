"""The entry of every launcher: errors of one line, stops that can be resumed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from absl import app, logging

from experiments.common.compilation_cache import enable_compilation_cache
from robustjax.training import (
    CheckpointError,
    InterruptedRunError,
    NonFiniteLossError,
    StopRequest,
    stop_on_signals,
)

# Exit status of a process that SIGTERM ended.
_TERMINATED = 143


def launch(main: Callable[[StopRequest], None]) -> None:
    """Runs a launcher's main function under absl.

    Bad arguments end in one line on standard error and exit status 2, divergence and
    files that can no longer be read or written in status 1, and a stop by SIGTERM in
    status 143 with a hint on how to continue.
    """

    def run(argv: list[str]) -> None:
        if len(argv) > 1:
            raise app.UsageError(f"unknown argument {argv[1]!r}; flags begin with --")
        # Orbax reports every step of every checkpoint as information.
        logging.set_verbosity(logging.WARNING)
        enable_compilation_cache()
        try:
            with stop_on_signals() as stop:
                main(stop)
        except InterruptedRunError as error:
            print(f"{error}; run the same command again to continue", file=sys.stderr)
            sys.exit(_TERMINATED)
        except (NonFiniteLossError, CheckpointError) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except OSError as error:
            if error.filename is None or error.strerror is None:
                raise
            # What was checked at the start can change in hours: a disk fills up.
            print(f"error: {error.filename!r}: {error.strerror}", file=sys.stderr)
            sys.exit(1)
        except (ValueError, ImportError) as error:
            if not _is_ours(error):
                raise
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    app.run(run)


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by our own checks, not inside a dependency."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return False
    module = frame.tb_frame.f_globals.get("__name__", "")
    return module.split(".")[0] in ("robustjax", "experiments", "__main__")
