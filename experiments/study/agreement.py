"""That all processes of a run were started for the same run, of the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from experiments.study.run_folder import first_difference, shortened, versions
from robustjax.placement import from_all

# Patches of Python change no number.
_OF_ONE_MACHINE = ("python",)


def check_same_run(study: str, config: Mapping[str, Any]) -> None:
    """Compares what the processes were asked for; all must come here.

    Each would compile a program of its own numbers, and together they would train to
    something that nobody asked for.

    Args:
      study: its name.
      config: flag -> value; JSON-serialisable.

    Raises:
      ValueError: in all processes, where one has other flags or versions.
    """

    def asked() -> dict[str, Any]:
        own = {name: v for name, v in versions().items() if name not in _OF_ONE_MACHINE}
        return {"study": study, "versions": own, **config}

    _check_same(asked, "command")


def check_same_data(digests: Mapping[str, str]) -> None:
    """Compares the data of the processes; all must come here.

    Args:
      digests: name -> digest, see `data_digests`.

    Raises:
      ValueError: in all processes, where one has other data.
    """
    _check_same(lambda: {"dataset": dict(digests)}, "data")


def _check_same(given: Callable[[], dict[str, Any]], what: str) -> None:
    if jax.process_count() == 1:
        return
    first, *others = from_all(given)
    for index, other in enumerate(others, 1):
        differ = first_difference(first, other)
        if differ:
            name, of_first, own = differ
            raise ValueError(
                f"{name}: got {shortened(own)} in process {index} and "
                f"{shortened(of_first)} in process 0, expected the same {what} in all"
            )
