"""The entry of every launcher: errors of one line, stops that can be resumed."""

from __future__ import annotations

import errno
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import jax
from absl import app, flags, logging

from experiments.study.compilation_cache import enable_compilation_cache
from experiments.study.help import asks_for_help, help_text
from experiments.study.output import say, surviving_streams
from experiments.study.presets import Preset
from experiments.study.processes import start_processes
from robustjax.methods import Entry
from robustjax.training import (
    CheckpointError,
    InterruptedRunError,
    NonFiniteLossError,
    stop_on_signals,
)

_FAILED, _BAD_ARGUMENT = 1, 2
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# What can be done about memory, of the flags that a launcher has.
_THRIFT = {
    "batch_size": "a smaller --batch_size",
    "parallel_repeats": "--parallel_repeats=1",
    "feature_batch_size": "a smaller --feature_batch_size",
    "pool_in": "a smaller --pool_in",
    "train_split": "fewer examples by --train_split",
}


def launch(
    main: Callable[..., None],
    config_class: type[Any] | None = None,
    presets: Mapping[str, Preset] | None = None,
    methods: Sequence[Entry] = (),
    *,
    computes: bool = True,
    takes_paths: bool = False,
) -> None:
    """Runs a launcher's main function under absl.

    Every way to end is one line on standard error and a status: bad arguments 2;
    divergence, a full disk or memory, and files that can no longer be read or written
    1; SIGTERM 143 and Ctrl-C 130, with a hint on how to continue. A second signal ends
    the process at once. Where nobody reads standard output any more, the run goes on.

    Args:
      main: gets the request to stop, to be checked now and then, and the paths.
      config_class: the dataclass whose fields are flags, for `--help`.
      presets: by name, for `--help`.
      methods: that it can run or that have options, for `--help`.
      computes: False leaves the devices to processes that this one starts.
      takes_paths: whether arguments that are no flags are paths for `main`.
    """

    def parse(arguments: list[str]) -> list[str]:
        if asks_for_help(arguments[1:]):
            own = sys.modules["__main__"]
            spec = getattr(own, "__spec__", None)
            name = spec.name if spec is not None else arguments[0]
            text = own.__doc__ or ""
            print(help_text(text, name, config_class, presets or {}, methods))
            sys.exit(0)
        try:
            rest = flags.FLAGS(arguments)
        except flags.Error as error:
            _end(f"error: {' '.join(str(error).split())}", _BAD_ARGUMENT)
        if len(rest) > 1 and not takes_paths:
            _end(
                f"error: unknown argument {rest[1]!r}; flags begin with --",
                _BAD_ARGUMENT,
            )
        return rest

    def run(argv: list[str]) -> None:
        # Orbax reports every step of every checkpoint as information.
        logging.set_verbosity(logging.WARNING)
        try:
            with stop_on_signals(_SIGNALS) as stop:
                if computes:
                    start_processes()
                    warning = enable_compilation_cache()
                    if warning is not None:
                        say(f"warning: {warning}", error=True)
                else:
                    jax.config.update("jax_platforms", "cpu")
                main(stop, *argv[1:])
                # What still waits in buffers can fail, too.
                if sys.stdout is not None:
                    sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            found = ending(error)
            if found is None:
                raise
            _end(*found)

    threading.excepthook = _quiet_where_the_disk_is_full
    with surviving_streams():
        app.run(run, flags_parser=parse)


def _quiet_where_the_disk_is_full(error: threading.ExceptHookArgs) -> None:
    # The threads of Orbax and of tensorboardX would tell at length what the launcher
    # says in one line.
    value = error.exc_value
    events = type(error.thread).__module__.startswith("tensorboardX")
    full = value is not None and any(_is_full(cause) for cause in _causes(value))
    if not (full or (events and isinstance(value, OSError))):
        threading.__excepthook__(error)


def _end(line: str, status: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(status)


def ending(error: BaseException) -> tuple[str, int] | None:
    """The line and the status that an error ends a launcher with; None for a bug."""
    if isinstance(error, InterruptedRunError | KeyboardInterrupt):
        name = str(error).rpartition(" ")[2] or "SIGINT"
        text = f"stopped by {name}; run the same command again to continue"
        return text, 128 + signal.Signals[name].value
    if isinstance(error, NonFiniteLossError | CheckpointError):
        return f"error: {error}", _FAILED
    if isinstance(error, ValueError | ImportError) and _is_ours(error):
        return f"error: {error}", _BAD_ARGUMENT
    full = next((cause for cause in _causes(error) if _is_full(cause)), None)
    if full is not None:
        path = getattr(full, "filename", None)
        where = f" while writing {path!r}" if path else ""
        text = f"error: the disk is full{where}; make room, and run the same command"
        return f"{text} again to continue", _FAILED
    if any(_is_out_of_memory(cause) for cause in _causes(error)):
        return f"error: {_out_of_memory(error)}", _FAILED
    if isinstance(error, OSError) and None not in (error.filename, error.strerror):
        # What was checked at the start can change in hours.
        return f"error: {error.filename!r}: {error.strerror}", _FAILED
    return None


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
    known = isinstance(error, jax.errors.JaxRuntimeError)
    return known and "RESOURCE_EXHAUSTED" in str(error)


def _out_of_memory(error: BaseException) -> str:
    reason = (str(error).splitlines() or [""])[0][:200]
    thrift = [hint for name, hint in _THRIFT.items() if name in flags.FLAGS]
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
