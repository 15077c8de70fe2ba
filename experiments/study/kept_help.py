"""The help of launchers, kept until something in the source changes.

What a launcher takes follows from all that it imports, which takes seconds. Its text is
kept in the user's folder of caches under a digest of the source, and shown from there
before anything is imported.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import sys
from collections.abc import Sequence

from robustjax.cache_folder import cache_folder, problem_with

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_ASKS = ("--help", "-help", "-h", "-?", "--helpshort", "--helpfull")
# What is no launcher of a study answers for itself.
_OTHERS = ("experiments.benchmarks.", "experiments.studies.")


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether a command line, without the program, asks for help."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return any(argument in _ASKS for argument in own)


def show_kept_help(command: Sequence[str]) -> None:
    """Ends the process where a command asks for help that is kept.

    Args:
      command: the interpreter's own, `sys.orig_argv`.
    """
    if "-m" not in command:
        return
    # While a module is searched for, its name is the last that Python has read.
    place = command.index("-m") + 1
    launcher, arguments = command[place], command[place + 1 :]
    if not asks_for_help(arguments) or launcher.startswith(_OTHERS):
        return
    try:
        text = _path(launcher, arguments).read_text()
    except (OSError, ValueError):
        return
    print(text)
    sys.exit(0)


def keep_help(launcher: str, arguments: Sequence[str], text: str) -> None:
    """Keeps a launcher's help for `show_kept_help`, if it can be kept safely.

    Args:
      launcher: its module, such as "experiments.pruning".
      arguments: that were given, which may change it.
      text: of its help.
    """
    path = _path(launcher, arguments)
    if problem_with(path.parent) is not None:
        return
    try:
        for old in path.parent.glob(f"{launcher}-*"):
            old.unlink(missing_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(text)
        partial.replace(path)
    except OSError:
        return


def _path(launcher: str, arguments: Sequence[str]) -> pathlib.Path:
    found = hashlib.sha256(repr((sys.version, *arguments)).encode())
    for package in ("experiments", "robustjax"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            status = path.stat()
            found.update(f"{path} {status.st_size} {status.st_mtime_ns};".encode())
    folder = cache_folder("help")
    # Nobody else may put anything there.
    if folder.exists() and problem_with(folder) is not None:
        raise ValueError(f"{folder} cannot be believed")
    return folder / f"{launcher}-{found.hexdigest()[:32]}.txt"
