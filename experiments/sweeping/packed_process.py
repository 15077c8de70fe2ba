"""A process of several points, which train their epochs together.

    python -m experiments.sweeping.packed_process -- LOG ARGUMENTS -- LOG ARGUMENTS

`experiments.sweep --pack` starts it. Behind every `--` stand the file that gets what a
point prints, and the arguments of `python` that would run it alone, by one launcher.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from experiments.study.launch import launch
from experiments.study.run import Request, run_study
from experiments.sweeping.launchers import Launcher, import_launcher
from experiments.sweeping.meeting import Meeting
from robustjax.tools.command.ending import FAILED, ending
from robustjax.tools.command.output import say
from robustjax.training import StopRequest

_BETWEEN = "--"


class Point(NamedTuple):
    """A point to run.

    Attributes:
      log: gets all that it prints.
      request: what it is.
    """

    log: str
    request: Request


def main(stop: StopRequest, *words: str) -> None:
    """Runs points, each in a thread; one is at work at a time.

    Raises:
      ValueError: arguments that are none of points.
      InterruptedRunError: `stop` was requested; the points have saved what they had.
    """
    launcher, points = _read(words)
    failed = run_together(launcher, points, stop)
    stop.check()
    if failed:
        say(f"error: {len(failed)} of {len(points)} points failed", error=True)
        sys.exit(FAILED)


def run_together(
    launcher: Launcher, points: Sequence[Point], stop: StopRequest
) -> list[str]:
    """Runs points to their ends; what one raises is the last line of its log.

    Returns:
      The names of those that did not finish.
    """
    failed: list[str] = []
    with contextlib.ExitStack() as stack:
        # All of them before any point has a seat: one that stays empty is waited for.
        logs = {
            str(point.request.name): stack.enter_context(
                open(point.log, "a", encoding="utf-8")
            )
            for point in points
        }

        def apart(name: str, why: str) -> None:
            # Behind a bar, which ends without a new line.
            print(f"\n{why}", file=logs[name], flush=True)

        meeting = Meeting(list(logs), apart)

        def run(request: Request) -> None:
            log = logs[str(request.name)]

            def begin() -> None:
                sys.stdout = sys.stderr = log

            with meeting.seat(str(request.name), begin) as stand_in:
                try:
                    stop.check()
                    run_study(launcher.study, request, stop, stand_in)
                # As a launcher's process ends: the others go on.
                except Exception as error:
                    failed.append(str(request.name))
                    found = ending(error, ("pack", *flags.FLAGS))
                    if found is None:
                        traceback.print_exc(file=log)
                    else:
                        print(found[0], file=log)

        threads = [
            threading.Thread(target=run, args=(each.request,)) for each in points
        ]
        # Put back in the end, whoever was last at work.
        stack.enter_context(contextlib.redirect_stdout(sys.stdout))
        stack.enter_context(contextlib.redirect_stderr(sys.stderr))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return failed


def _read(words: Sequence[str]) -> tuple[Launcher, list[Point]]:
    parts = [
        list(group)
        for between, group in itertools.groupby(words, lambda w: w == _BETWEEN)
        if not between
    ]
    if not parts or any(len(part) < 3 or part[1] != "-m" for part in parts):
        raise ValueError("points: got none, expected -- LOG -m LAUNCHER ARGUMENTS …")
    launcher = import_launcher(parts[0][2])
    points = []
    for log, _, _, *arguments in parts:
        flags.FLAGS.unparse_flags()
        flags.FLAGS([launcher.name, *arguments])
        given, methods = launcher.given()
        points.append(Point(log, Request.of(given, methods)))
    return launcher, points


if __name__ == "__main__":
    launch(main, takes_paths=True)
