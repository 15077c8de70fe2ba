"""What a folder of committed results still says of its run."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import pathlib
from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class KeptRun:
    """A run's origin; empty strings and None for what its folder does not hold.

    Attributes:
      command: as it was given; of `config.json`, or as the run's page has it.
      from_page: the command is the page's, not the run's own.
      versions: of robustjax and JAX.
      device: what it ran on.
      minutes: of work, of all its methods.
      repeats: how many in its summary, the least and the most.
      has_repeats: what each repeat gave was kept.
    """

    command: str
    from_page: bool
    versions: str
    device: str
    minutes: float | None
    repeats: tuple[int, int]
    has_repeats: bool


def read_run(folder: pathlib.Path, pages: Mapping[str, str], name: str) -> KeptRun:
    """Reads a folder of `experiments/results`.

    Args:
      folder: with at least `summary.csv`.
      pages: commands of pages, by name of the run, without "python -m experiments.".
      name: of the run, `<study>/<run>`.
    """
    record = {}
    if (folder / "config.json").exists():
        record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    versions = record.get("versions", {})
    command = record.get("command", "").removeprefix("python -m experiments.")
    counts = [int(row["repeats"]) for row in _rows(folder / "summary.csv")]
    speed = folder / "speed.csv"
    return KeptRun(
        command=command or pages.get(name, ""),
        from_page=not command,
        versions=", ".join(
            f"{package} {versions[package]}"
            for package in ("robustjax", "jax")
            if package in versions
        ),
        device=versions.get("device", ""),
        minutes=minutes_of(_rows(speed)) if speed.exists() else None,
        repeats=(min(counts), max(counts)),
        has_repeats=(folder / "repeats.csv").exists(),
    )


def minutes_of(speeds: Iterable[Mapping[str, str]]) -> float:
    """All minutes of the rows of a `speed.csv`."""
    # Python's own sum rounds otherwise from 3.12 on.
    return math.fsum(float(row["minutes"]) for row in speeds)


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
