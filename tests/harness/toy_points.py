"""Points of `toy_study`, resolved and run in this process."""

from __future__ import annotations

import pathlib
from typing import Any

from experiments.study.flags import Given
from experiments.study.run import run_study
from experiments.sweeping.grid import product, read_grid
from experiments.sweeping.launchers import Launcher
from experiments.sweeping.points import Resolved, resolve_points
from robustjax.training import StopRequest
from tests.harness.toy_study import PRESETS, STUDY, ToyConfig

TOY = Launcher("tests.harness.toy_launcher", STUDY, ToyConfig, PRESETS, ("ce",))


def toy_points(
    run_dir: pathlib.Path,
    grid: str,
    methods: tuple[str, ...] = ("ce",),
    preset: str | None = None,
    **fields: Any,
) -> list[Resolved]:
    """The points of a grid, with fields that all of them share."""
    given = Given(preset, fields, str(run_dir), None)
    return resolve_points(TOY, product(read_grid(grid, TOY.takes_list)), given, methods)


def run_toy(point: Resolved, stop: StopRequest | None = None) -> None:
    """Runs (or continues) a point as its launcher would."""
    fields = dict(point.config)
    methods = tuple(fields.pop("methods"))
    options = [
        f"{label}.{text}"
        for label, texts in fields["options"].items()
        for text in texts
    ]
    fields |= {"options": tuple(options), "sizes": tuple(fields["sizes"])}
    run_dir = str(point.folder.parents[1])
    request = TOY.request(Given(None, fields, run_dir, None), methods, point.name)
    run_study(STUDY, request, stop or StopRequest())
