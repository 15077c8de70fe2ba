"""How errors end a command or a launcher: one line, and a status."""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Collection, Iterator

FAILED, BAD_ARGUMENT = 1, 2
"""Exit statuses."""

# What can be done about memory, of the flags that a launcher has.
_THRIFT = {
    "pack": "a smaller --pack",
    "batch_size": "a smaller --batch_size",
    "parallel_repeats": "--parallel_repeats=1",
    "feature_batch_size": "a smaller --feature_batch_size",
    "pool_in": "a smaller --pool_in",
    "train_split": "fewer examples by --train_split",
}


def ending(error: BaseException, names: Collection[str] = ()) -> tuple[str, int] | None:
    """The line and the status that an error ends a command with; None for a bug.

    Args:
      error: what was raised.
      names: of the options that there are, to say which take less memory.
    """
    if isinstance(error, KeyboardInterrupt):
        return _stopped("SIGINT")
    if isinstance(error, ModuleNotFoundError) and str(error).startswith("No module"):
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "robustjax", "experiments"):
            return None
        text = f"error: this needs {missing}, which is not installed; install the extra"
        return f"{text}: pip install 'robustjax[tools]'", BAD_ARGUMENT
    if isinstance(error, ValueError | ImportError) and _is_ours(error):
        return f"error: {error}", BAD_ARGUMENT
    # Of the library's own, where it is loaded.
    from robustjax.training import (
        CheckpointError,
        InterruptedRunError,
        NonFiniteLossError,
    )

    if isinstance(error, InterruptedRunError):
        return _stopped(str(error).rpartition(" ")[2])
    if isinstance(error, NonFiniteLossError | CheckpointError):
        return f"error: {error}", FAILED
    full = next((cause for cause in _causes(error) if _is_full(cause)), None)
    if full is not None:
        path = getattr(full, "filename", None)
        where = f" while writing {path!r}" if path else ""
        text = f"error: the disk is full{where}; make room, and run the same command"
        return f"{text} again to continue", FAILED
    if any(_is_out_of_memory(cause) for cause in _causes(error)):
        return f"error: {_out_of_memory(error, names)}", FAILED
    if isinstance(error, OSError) and None not in (error.filename, error.strerror):
        # What was checked at the start can change in hours.
        return f"error: {error.filename!r}: {error.strerror}", FAILED
    return None


def _stopped(name: str) -> tuple[str, int]:
    text = f"stopped by {name}; run the same command again to continue"
    return text, 128 + signal.Signals[name].value


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Orbax and TensorStore have errors of their own for what the system says.
    text = str(error)
    return "No space left on device" in text or "Disk quota exceeded" in text


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    known = type(error).__name__ == "JaxRuntimeError"
    return known and "RESOURCE_EXHAUSTED" in str(error)


def _out_of_memory(error: BaseException, names: Collection[str]) -> str:
    reason = (str(error).splitlines() or [""])[0][:200]
    thrift = [hint for name, hint in _THRIFT.items() if name in names]
    tried = f"; try {', '.join(thrift)}" if thrift else ""
    return f"out of memory{f' ({reason})' if reason else ''}{tried}"


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised by our own checks, not inside a dependency."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return False
    module = frame.tb_frame.f_globals.get("__name__", "")
    return module.split(".")[0] in ("robustjax", "experiments", "__main__")


def quiet_where_the_disk_is_full(error: threading.ExceptHookArgs) -> None:
    """An exception hook for threads.

    Args:
      error: that ended one.
    """
    # The threads of Orbax and of tensorboardX would tell at length what the launcher
    # says in one line.
    value = error.exc_value
    events = type(error.thread).__module__.startswith("tensorboardX")
    full = value is not None and any(_is_full(cause) for cause in _causes(value))
    if not (full or (events and isinstance(value, OSError))):
        threading.__excepthook__(error)
