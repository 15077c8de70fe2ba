"""Run folders as a report reads them: what cannot be believed is refused."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.reporting.kept_runs import minutes_of
from experiments.study.records import FINISHED
from experiments.study.run_folder import check_version
from experiments.study.table import Table


@dataclasses.dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
      name: `<study>/<name>`, wherever the folder lies.
      table: what it says.
    """

    name: str
    table: Table

    @property
    def command(self) -> str | None:
        """What was typed; None of a run that did not write it down."""
        return self.table.record.get("command")

    @property
    def versions(self) -> Mapping[str, str]:
        """Of packages, without the device."""
        found: dict[str, str] = self.table.record["versions"]
        return {name: text for name, text in found.items() if name != "device"}

    @property
    def device(self) -> str:
        """What it was computed on."""
        return str(self.table.record["versions"].get("device", "unknown"))

    @property
    def minutes(self) -> float:
        """Of work, as far as it was timed."""
        return minutes_of(self.table.speeds())

    @property
    def parts(self) -> int:
        """How many things there were to train."""
        return len(self.table.record["cells"])

    @property
    def finished_parts(self) -> int:
        """How many of them are finished."""
        return len(self.table.records(FINISHED))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.finished_parts == self.parts

    @property
    def flags(self) -> dict[str, dict[str, Any]]:
        """Every flag, by method where methods have flags of their own, else by ""."""
        config = self.table.record["config"]
        methods = config.get("methods")
        if isinstance(methods, dict) and all(
            isinstance(own, dict) for own in methods.values()
        ):
            return methods
        return {"": config}


def read_run(folder: pathlib.Path) -> Run:
    """Reads a run folder, finished or not.

    Raises:
      ValueError: a folder that is none, is empty, is of another version, or whose
        files are not as they were written.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(f"folder: {str(folder)!r} {what}, expected a run folder")
    name = "/".join(folder.resolve().parts[-2:])
    table = Table.read(folder)
    check_version(folder, table.record)
    return Run(name, table)
