"""The entry of every launcher: errors of one line, stops that can be resumed."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax
from absl import app, flags, logging

from experiments.study.decoded_cache import heed_no_cache
from experiments.study.help import help_text
from experiments.study.kept_help import asks_for_help, keep_help
from experiments.study.lost_process import end_as_lost, is_lost
from experiments.study.presets import Preset
from experiments.study.processes import start_processes
from robustjax.methods import Entry
from robustjax.tools.command.ending import (
    BAD_ARGUMENT,
    ending,
    quiet_where_the_disk_is_full,
)
from robustjax.tools.command.output import say, surviving_streams
from robustjax.tools.compilation_cache import enable_compilation_cache
from robustjax.training import stop_on_signals

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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
            text = help_text(text, name, config_class, presets or {}, methods)
            if spec is not None:
                keep_help(name, arguments[1:], text)
            print(text)
            sys.exit(0)
        try:
            rest = flags.FLAGS(arguments)
        except flags.Error as error:
            _end(f"error: {' '.join(str(error).split())}", BAD_ARGUMENT)
        if len(rest) > 1 and not takes_paths:
            _end(
                f"error: unknown argument {rest[1]!r}; flags begin with --",
                BAD_ARGUMENT,
            )
        return rest

    def run(argv: list[str]) -> None:
        # Orbax reports every step of every checkpoint as information.
        logging.set_verbosity(logging.WARNING)
        try:
            with stop_on_signals(_SIGNALS) as stop:
                heed_no_cache()
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
            if is_lost(error):
                end_as_lost(str(error))
            found = ending(error, tuple(flags.FLAGS))
            if found is None:
                raise
            _end(*found)

    threading.excepthook = quiet_where_the_disk_is_full
    with surviving_streams():
        app.run(run, flags_parser=parse)


def _end(line: str, status: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(status)
