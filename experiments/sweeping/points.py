"""Points of a sweep, resolved: what each will run, where, and what is there already."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.study.flags import (
    Given,
    as_flag,
    read_texts,
)
from experiments.study.run_folder import (
    AT_WORK,
    Status,
    check_run_folder,
    locked,
    of_another_version,
    read_record,
    run_folder_path,
    status,
)
from experiments.sweeping.grid import Point, only_where_they_run
from experiments.sweeping.launchers import Launcher
from robustjax import __version__
from robustjax.tools.command.fields import flags_of


class BadPointsError(ValueError):
    """Points that cannot be run.

    Attributes:
      lines: one per point; the error's text is the last.
    """

    def __init__(self, lines: Sequence[str]):
        """Keeps the lines."""
        super().__init__(lines[-1])
        self.lines = lines


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A point whose flags were understood.

    Attributes:
      values: what was swept -> text; without options of methods that do not run.
      name: of its run, made of a hash of all that the run is.
      folder: of its run.
      arguments: of `python`, which run it.
      config: every flag, as the study resolves it.
    """

    values: Point
    name: str
    folder: pathlib.Path
    arguments: tuple[str, ...]
    config: Mapping[str, Any]

    def __str__(self) -> str:
        """The swept values, for people."""
        shown = " ".join(f"{name}={value}" for name, value in self.values.items())
        return shown or "the base"


def resolve_points(
    launcher: Launcher,
    points: Sequence[Point],
    given: Given,
    methods: tuple[str, ...],
    extra: Sequence[str] = (),
) -> list[Resolved]:
    """Asks the study what every point is; no data are looked at.

    Args:
      launcher: of the study.
      points: of the grid.
      given: flags that all points share.
      methods: of all points, where `--methods` is no field of the configuration.
      extra: further arguments of every run.

    Raises:
      ValueError: an unknown flag, or an option of no method.
      BadPointsError: values that a flag cannot have, points that are the same run, or
        points that differ in methods alone and would not train on the same.
    """
    _check_names(launcher, points)
    _check_once(points, given)

    def methods_of(point: Point) -> Sequence[str]:
        if "methods" in point:
            return point["methods"].split(",")
        return methods or given.fields.get("methods", ())

    found: dict[str, Resolved] = {}
    bad: list[str] = []
    digests: dict[str, str] = {}
    for point in only_where_they_run(points, methods_of):
        try:
            resolved = _resolve(launcher, point, given, methods, extra, digests)
        except ValueError as error:
            shown = " ".join(f"{name}={value}" for name, value in point.items())
            bad.append(f"grid: at {shown or 'the base'}: {error}")
            continue
        other = found.setdefault(resolved.name, resolved)
        if other is not resolved:
            bad.append(
                f"grid: {resolved} and {other} are the same run, with the folder "
                f"{str(resolved.folder)!r}; expected each once"
            )
    bad += _not_agreed(launcher, list(found.values()))
    if bad:
        raise BadPointsError(bad)
    return list(found.values())


def _not_agreed(launcher: Launcher, points: Sequence[Resolved]) -> list[str]:
    """A line for each flag that methods have to agree on and do not."""
    found: dict[tuple[Any, ...], tuple[Resolved, Any]] = {}
    lines: dict[str, str] = {}
    for point in points:
        rest = (
            each
            for each in point.values.items()
            if each[0] != "methods" and "." not in each[0]
        )
        key = tuple(rest)
        for name in launcher.study.agreed:
            (value,) = {own[name] for own in point.config["methods"].values()}
            first, other = found.setdefault((name, key), (point, value))
            if value != other:
                lines.setdefault(
                    name,
                    f"grid: {name} is {other} at {first} and {value} at {point}, as "
                    f"their methods were published; expected --{name} for a comparison "
                    "on the same labels",
                )
    return list(lines.values())


def _check_names(launcher: Launcher, points: Sequence[Point]) -> None:
    known = {flag.name for flag in flags_of(launcher.config)}
    known |= {"preset"} if launcher.methods is None else {"preset", "methods"}
    for name in dict.fromkeys(name for point in points for name in point):
        if name == "options":
            raise ValueError("grid: got options, expected method.name=value,value")
        if "." in name and not launcher.has_options:
            raise ValueError(
                f"grid: got {name}, but {launcher.name} takes no options of methods"
            )
        if "." not in name and name not in known:
            try:
                read_texts(launcher.config, {name: ""})
            except ValueError as error:
                raise ValueError(f"grid: {error}") from None


def _check_once(points: Sequence[Point], given: Given) -> None:
    """Raises `ValueError` for what was swept and given to all points, too."""
    options = [text.partition("=")[0] for text in given.fields.get("options", ())]
    there = {*given.fields, *options} | ({"preset"} if given.preset else set())
    for name in dict.fromkeys(name for point in points for name in point):
        if name in there:
            where = "--options" if "." in name else f"--{name}"
            raise ValueError(
                f"grid: got {name}, which {where} gives to all points, expected it once"
            )


def _resolve(
    launcher: Launcher,
    point: Point,
    given: Given,
    methods: tuple[str, ...],
    extra: Sequence[str],
    digests: dict[str, str],
) -> Resolved:
    flags = {name: text for name, text in point.items() if "." not in name}
    options = [f"{name}={text}" for name, text in point.items() if "." in name]
    if "preset" in flags:
        given = given._replace(preset=flags.pop("preset"))
    if launcher.methods is not None and "methods" in flags:
        methods = tuple(flags.pop("methods").split(","))
    fields = {**given.fields, **read_texts(launcher.config, flags)}
    if options:
        fields["options"] = (*fields.get("options", ()), *options)
    plan = launcher.study.plan(
        launcher.request(given._replace(fields=fields), methods, "")
    )
    config = json.loads(json.dumps(plan.config))
    files = {path: _digest(path, digests) for path in sorted(_files(config))}
    identity = {"study": launcher.study.name, "config": config, "files": files}
    text = json.dumps(identity, sort_keys=True)
    name = f"point-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    arguments = ["-m", launcher.name]
    if given.preset is not None:
        arguments.append(f"--preset={given.preset}")
    if launcher.methods is not None:
        arguments.append(f"--methods={','.join(methods)}")
    arguments += [as_flag(field, value) for field, value in fields.items()]
    arguments += [*extra, f"--run_dir={given.run_dir}", f"--name={name}"]
    folder = run_folder_path(given.run_dir, launcher.study.name, name)
    return Resolved(point, name, folder, tuple(arguments), config)


def _files(value: Any) -> Iterator[str]:
    """The files that flags name: what they hold belongs to what a run is."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _files(each)
    elif isinstance(value, str) and os.path.isfile(value):
        yield value


def _digest(path: str, known: dict[str, str]) -> str:
    if path not in known:
        try:
            with open(path, "rb") as file:
                known[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ValueError(f"cannot read {path!r}: {error.strerror}") from None
    return known[path]


def state_of(point: Resolved) -> Status:
    """How far a point is, as its run folder says; see `run_folder.status`.

    Raises:
      ValueError: a folder that cannot be this run's: of other flags, altered, of
        another version, or no run folder.
    """
    check_run_folder(point.folder, point.config)
    record = read_record(point.folder)
    if record is not None and record["versions"].get("robustjax") != __version__:
        raise of_another_version(point.folder, record)
    return status(point.folder)


def delete(point: Resolved) -> bool:
    """Removes a point's folder, unless another process is at work in it."""
    try:
        with locked(point.folder):
            shutil.rmtree(point.folder)
    except ValueError as error:
        if AT_WORK not in str(error):
            raise
        return False
    return True
