"""Python commands in processes of their own that need not import JAX again.

Imports are four seconds of every command; what they check rarely takes one.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import types
from typing import Any

from tests.harness import one_context
from tests.harness.garbage import collect_rarely

ROOT = pathlib.Path(__file__).parents[2]
# What launchers import. None of it defines flags or asks JAX for its devices.
_PRELOADED = (
    "experiments.studies.label_noise.study",
    "experiments.studies.label_correction.study",
    "experiments.studies.label_correction.diffusion",
    "experiments.studies.pruning.study",
    "experiments.studies.active_learning.study",
    "experiments.studies.features.study",
    "experiments.studies.dataset_bias.study",
    "experiments.studies.instruction_selection.study",
    "experiments.study.launch",
    "absl.testing.flagsaver",
    "matplotlib.backends.backend_agg",
    "tensorboardX",
    "tests.harness.runs",
    __name__,
)


def context() -> Any:
    """Of `multiprocessing`: its processes are forked where all is imported."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(list(_PRELOADED))
    return made


class Command:
    """`python *arguments`, begun: what `subprocess.Popen` has, as far as it is needed.

    Attributes:
      stdout: of the process, to be read while it runs.
    """

    def __init__(self, *arguments: str):
        """Starts it in the root of the repository.

        Args:
          *arguments: `-m module …` or `-c code …`.
        """
        made = context()
        reader, writer = made.Pipe(duplex=False)
        handle, errors = tempfile.mkstemp()
        os.close(handle)
        self._errors = pathlib.Path(errors)
        self._process = made.Process(target=_main, args=(arguments, writer, errors))
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self._process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Waits for the end; kills the process when that takes too long.

        Returns:
          What it has written to standard output since it was last read, and all that
          it has written to standard error.
        """
        late = threading.Timer(timeout, self.send_signal, [signal.SIGKILL])
        late.start()
        try:
            output = "" if self.stdout.closed else self.stdout.read()
            self._process.join()
        finally:
            late.cancel()
            self.stdout.close()
        errors = self._errors.read_text(encoding="utf-8")
        self._errors.unlink()
        return output, errors


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python *arguments` in the root of the repository, to its end."""
    command = Command(*arguments)
    output, errors = command.communicate()
    assert command.returncode is not None
    return subprocess.CompletedProcess(arguments, command.returncode, output, errors)


def _main(
    arguments: tuple[str, ...],
    output: multiprocessing.connection.Connection,
    errors: str,
) -> None:
    os.dup2(output.fileno(), 1)
    output.close()
    handle = os.open(errors, os.O_WRONLY)
    os.dup2(handle, 2)
    os.close(handle)
    os.chdir(ROOT)
    collect_rarely()
    one_context.share()
    kind, what, *rest = arguments
    try:
        if kind == "-m":
            sys.argv = [what, *rest]
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv = [kind, *rest]
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(what, "<string>", "exec"), main.__dict__)
    finally:
        # `multiprocessing` leaves them out.
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
