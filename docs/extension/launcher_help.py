"""The page of all commands and launchers: what `--help` of each prints."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import multiprocessing
import os
import pathlib
import runpy
import sys

from robustjax.tools.command import run
from robustjax.tools.command.verbs import VERBS

ROOT = pathlib.Path(__file__).parents[2]


def launchers() -> tuple[str, ...]:
    """The modules under `experiments` that are started by `python -m`."""
    return tuple(
        f"experiments.{path.stem}"
        for path in sorted((ROOT / "experiments").glob("*.py"))
        if 'if __name__ == "__main__":' in path.read_text()
    )


def page() -> str:
    """The text of the page."""
    lines = [
        "# All verbs and launchers",
        "",
        "What `--help` of each prints: flags with their defaults, presets with what",
        "they set, the command, and the result that was measured.",
        "",
    ]
    for verb in VERBS:
        lines += [f"## robustjax {verb}", "", "```text", f"$ robustjax {verb} --help"]
        lines += [*_help_of_verb(verb).splitlines(), "```", ""]
    # What all of them import is imported once; none of it defines a flag.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["robustjax.methods", "experiments.study.launch"])
    with concurrent.futures.ProcessPoolExecutor(
        os.cpu_count(), mp_context=context, max_tasks_per_child=1
    ) as pool:
        texts = list(pool.map(_help, launchers()))
    for module, text in zip(launchers(), texts):
        lines += [f"## {module.rpartition('.')[2]}", "", "```text"]
        lines += [f"$ python -m {module} --help", *text.splitlines(), "```", ""]
    return "\n".join(lines)


def _help_of_verb(verb: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = run([verb, "--help"])
    if status or not printed.getvalue():
        raise RuntimeError(f"robustjax {verb} --help: printed nothing")
    return printed.getvalue().rstrip()


def _help(module: str) -> str:
    """Runs in a process of its own: flags of launchers exclude each other."""
    sys.argv = [module, "--help"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    if not printed.getvalue():
        raise RuntimeError(f"python -m {module} --help: printed nothing")
    return printed.getvalue().rstrip()
