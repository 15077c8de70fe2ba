"""A sweep's own folder: what was asked for, its points, and how attempts ended.

`<run_dir>/sweeps/<name>/sweep.json` lists the points with their run folders, which lie
beside each other under `<run_dir>/<study>/` and can belong to several sweeps.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.study.run_folder import run_folder_path, status
from experiments.study.table import Table
from experiments.sweeping.jobs import Ending
from experiments.sweeping.points import Resolved
from robustjax.files import digest_of_record, write_atomically
from robustjax.output_paths import check_output_folder

RECORD = "sweep.json"
SUMMARY = "summary.csv"
RESULTS = "results.csv"
_ATTEMPTS = "attempts.jsonl"
# What tables are made by, beside the points.
_ASKED = ("baseline", "mark")


@dataclasses.dataclass(frozen=True)
class Member:
    """A point as the sweep's folder lists it.

    Attributes:
      name: of its run.
      folder: of its run.
      values: what was swept -> text.
    """

    name: str
    folder: pathlib.Path
    values: Mapping[str, str]

    @property
    def table(self) -> Table | None:
        """Of its run; None while it is not finished."""
        finished = status(self.folder) == "finished"
        return Table.read(self.folder) if finished else None


class SweepFolder:
    """What a sweep's folder says.

    Attributes:
      path: of the folder.
      record: what `sweep.json` holds.
      members: the points, in the order of the grid.
    """

    def __init__(self, path: pathlib.Path, record: Mapping[str, Any]):
        """See `read` and `write`."""
        self.path, self.record = path, record
        self.members = [
            Member(
                each["name"],
                pathlib.Path(os.path.normpath(path / each["folder"])),
                each["values"],
            )
            for each in record["points"]
        ]

    @property
    def swept(self) -> list[str]:
        """The names of all that was swept, in the order of the grid."""
        named = dict.fromkeys(self.record.get("swept", ()))
        return list(named | dict.fromkeys(n for m in self.members for n in m.values))

    @classmethod
    def read(cls, path: pathlib.Path) -> SweepFolder | None:
        """Reads a folder; None where there is no sweep.

        Raises:
          ValueError: a `sweep.json` that cannot be read or was altered.
        """
        try:
            record = read_sweep_record(path)
        except ValueError as error:
            raise ValueError(
                f"name: {error}; remove the folder (no run lies in it) or pass another "
                "--name"
            ) from None
        if record is None:
            return None
        return cls(path, record)

    @classmethod
    def write(
        cls, path: pathlib.Path, points: Sequence[Resolved], about: Mapping[str, Any]
    ) -> SweepFolder:
        """Writes down a sweep, or that its grid has grown.

        Args:
          path: of the folder.
          points: all of it.
          about: what else to keep; JSON-serialisable.

        Raises:
          ValueError: a folder that cannot be written to, or holds another sweep: of
            points that are not among these.
        """
        check_output_folder("run_dir", path)
        names = {point.name for point in points}
        found = cls.read(path)
        if found is not None and not {m.name for m in found.members} <= names:
            raise ValueError(
                f"name: {str(path)!r} is a sweep with points that are not among these; "
                "pass another --name (what both share runs once)"
            )
        record: dict[str, Any] = {
            **about,
            "points": [
                {
                    "name": point.name,
                    "folder": os.path.relpath(point.folder, path),
                    "values": point.values,
                    "arguments": list(point.arguments),
                }
                for point in points
            ],
        }
        record = json.loads(json.dumps(record))
        record["digest"] = digest_of_record(record)
        path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=2) + "\n"
        if found is None or found.record != record:
            before = {} if found is None else found.record
            if any(before.get(name) != record.get(name) for name in _ASKED):
                # Until they are written again, they would answer another question.
                for name in (SUMMARY, RESULTS):
                    (path / name).unlink(missing_ok=True)
            write_atomically(path / RECORD, text)
        return cls(path, record)

    def note(self, name: str, what: str, ending: Ending) -> None:
        """Writes down how an attempt ended."""
        line = {"point": name, "what": what, **dataclasses.asdict(ending)}
        with open(self.path / _ATTEMPTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_sweep_record(path: pathlib.Path) -> dict[str, Any] | None:
    """What a sweep's `sweep.json` holds; None where there is none.

    Raises:
      ValueError: a file that cannot be read or was altered; the text names no flag.
    """
    file = path / RECORD
    try:
        record: dict[str, Any] = json.loads(file.read_bytes().decode("utf-8"))
        whole = record["digest"] == digest_of_record(record)
        whole &= all(point.keys() >= {"folder", "values"} for point in record["points"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ValueError(f"{str(file)!r} cannot be read as a sweep, or was altered")
    return record


def sweep_path(run_dir: str, name: str) -> pathlib.Path:
    """Where a sweep lives.

    Raises:
      ValueError: a name that leads elsewhere.
    """
    return run_folder_path(run_dir, "sweeps", name)


def read_seconds(path: pathlib.Path) -> dict[str, float]:
    """Seconds of all attempts at a point, by its name; of those that have finished."""
    seconds: dict[str, float] = {}
    finished = set()
    try:
        lines = (path / _ATTEMPTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            found = json.loads(line)
            name = found["point"]
            seconds[name] = seconds.get(name, 0.0) + found["seconds"]
        except (ValueError, KeyError, TypeError):
            # Torn by a kill.
            continue
        if found.get("what") == "finished":
            finished.add(name)
    return {name: seconds[name] for name in finished}


def seconds_left(
    left: Sequence[Mapping[str, str]],
    finished: Sequence[tuple[Mapping[str, str], float]],
) -> float | None:
    """What the rest takes, one after another; None while nothing has finished.

    A point is expected to take what those finished ones took that share most of its
    values.

    Args:
      left: values of the points that are to run.
      finished: values and seconds of those that have run.
    """
    if not finished:
        return None
    total = 0.0
    for values in left:
        shared = [
            len(set(values.items()) & set(other.items())) for other, _ in finished
        ]
        nearest = [s for (_, s), n in zip(finished, shared) if n == max(shared)]
        total += float(np.mean(nearest))
    return total
