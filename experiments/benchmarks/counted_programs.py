"""Runs a module as `python -m` would, and leaves a record of what was compiled.

    python experiments/benchmarks/counted_programs.py RECORD MODULE [ARGUMENTS]

By its path, so that it can count for a checkout that does not have it; see `startup`.
"""

from __future__ import annotations

import atexit
import json
import pathlib
import runpy
import sys
from typing import Any

COMPILATION = "/jax/core/compile/backend_compile_duration"
FROM_CACHE = "/jax/compilation_cache/cache_hits"


class Counter:
    """Counts what JAX compiles or takes from its cache, from now on.

    Attributes:
      programs: (name, seconds) of every program, in order.
      from_cache: how many of them the persistent cache held.
    """

    def __init__(self) -> None:
        import jax

        self.programs: list[tuple[str, float]] = []
        self.from_cache = 0
        jax.monitoring.register_event_duration_secs_listener(self._compiled)
        jax.monitoring.register_event_listener(self._happened)

    def _compiled(self, event: str, duration_secs: float, **about: Any) -> None:
        if event == COMPILATION:
            self.programs.append((str(about.get("fun_name", "?")), duration_secs))

    def _happened(self, event: str, **about: Any) -> None:
        del about
        self.from_cache += event == FROM_CACHE

    def write(self, path: str | pathlib.Path) -> None:
        """Writes what was counted so far, as JSON."""
        record = {"programs": self.programs, "from_cache": self.from_cache}
        pathlib.Path(path).write_text(json.dumps(record))


def main(argv: list[str]) -> None:
    """Counts while a module runs."""
    record, module, *arguments = argv[1:]
    # Its neighbours are modules of a package, not of the path.
    sys.path[0] = ""
    atexit.register(Counter().write, record)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv)
