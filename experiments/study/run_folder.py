"""A run's folder: whose it is, what it was begun with, and who writes to it now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any, Literal

import jax
import numpy as np

from experiments.study.records import is_finished, read_cells
from robustjax import __version__
from robustjax.files import (
    digest_of,
    digest_of_record,
    is_system_entry,
    write_atomically,
)
from robustjax.output_paths import check_output_folder
from robustjax.training import from_first_process

RECORD = "config.json"
AT_WORK = "another process is at work"
"""What an error says of a folder that is locked."""
SUMMARY = "summary.csv"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


# How long a run waits for those who only look whether its folder is locked.
_LOOKS, _PAUSE_SECONDS = 20, 0.05

Status = Literal["new", "running", "interrupted", "finished"]


def versions() -> dict[str, str]:
    """What a result depends on: packages, Python, device."""
    found = {"python": platform.python_version()}
    for package in ("robustjax", *_PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    device = jax.devices()[0]
    found["device"] = f"{jax.device_count()} x {device.device_kind}"
    return found


def run_folder_path(root: str, study: str, name: str) -> pathlib.Path:
    """Where a run lives: `<root>/<study>/<name>`, and nowhere else.

    Raises:
      ValueError: an empty name, or one that leads out of the root, by itself or
        through a link.
    """
    home = pathlib.Path(root) / study
    if not name or name != name.strip() or name.startswith(("/", "~", "-", ".")):
        raise ValueError(
            f"name: got {name!r}, expected a name that begins with a letter or digit"
        )
    folder = home / name
    real = pathlib.Path(os.path.realpath(folder))
    if ".." in pathlib.PurePath(name).parts or not real.is_relative_to(
        os.path.realpath(home)
    ):
        raise ValueError(
            f"name: got {name!r}, which leads out of {str(home)!r}; expected a folder "
            "in it"
        )
    return folder


def data_digests(arrays: Mapping[str, np.ndarray | None]) -> dict[str, str]:
    """A digest per array, those that are None left out."""
    return {
        name: digest_of(np.atleast_1d(np.asarray(array)))
        for name, array in arrays.items()
        if array is not None
    }


def check_run_folder(folder: pathlib.Path, config: Mapping[str, Any]) -> None:
    """Checks, before hours of loading, that `open_run_folder` will not fail.

    Args:
      folder: the run's, which need not be there yet.
      config: flag -> value; JSON-serialisable.

    Raises:
      ValueError: a folder that cannot be written or read, that holds another
        configuration or the run of another version, or files but is no run folder.
    """
    check_output_folder("run_dir", folder)
    found = read_record(folder)
    if found is not None:
        check_version(folder, found)
        _check_same(folder, found["config"], _plain(config))


@contextlib.contextmanager
def open_run_folder(
    folder: pathlib.Path, record: Mapping[str, Any]
) -> Iterator[pathlib.Path]:
    """Creates a run's folder, or opens it to continue the same run; locks it.

    Args:
      folder: the run's.
      record: JSON-serialisable; "config" (flag -> value) and "data" (name -> digest)
        must be those that the run was begun with. Kept as `config.json` with the
        versions.

    Yields:
      The folder. The lock is the system's: that of a killed process is gone with it.

    Raises:
      ValueError: see `check_run_folder`; other data than the run was begun with; or
        another process that is at work in the folder.
    """
    # The first of several processes answers for the folder.
    with contextlib.ExitStack() as stack:
        from_first_process(lambda: stack.enter_context(_opened(folder, record)))
        yield folder


@contextlib.contextmanager
def _opened(folder: pathlib.Path, record: Mapping[str, Any]) -> Iterator[None]:
    wanted = _plain(record)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from None
    with locked(folder):
        found = read_record(folder)
        if found is None:
            content = {**wanted, "versions": versions()}
            content["digest"] = digest_of_record(content)
            try:
                text = json.dumps(content, indent=2) + "\n"
                write_atomically(folder / RECORD, text)
            except OSError as error:
                raise _unusable(folder, error) from None
        else:
            check_version(folder, found)
            _check_same(folder, found["config"], wanted["config"])
            if found.get("cells") != wanted.get("cells"):
                # The same flags are not the same work.
                raise of_another_version(folder, found)
            _check_data(folder, found["data"], wanted["data"])
        _remove_leftovers(folder)
        yield


def read_record(folder: pathlib.Path) -> dict[str, Any] | None:
    """What `config.json` of a run folder holds; None of a folder that is new.

    Raises:
      ValueError: a folder that holds something else, or a record that was altered.
    """
    path = folder / RECORD
    try:
        raw = path.read_bytes() if path.exists() else None
        others = (
            [entry.name for entry in folder.iterdir() if not _is_leftover(entry.name)]
            if raw is None and folder.exists()
            else []
        )
    except OSError as error:
        raise _unusable(folder, error) from None
    if raw is None:
        if others:
            raise ValueError(
                f"run_dir: {str(folder)!r} is not empty but has no config.json (it "
                f"holds {min(others)!r}), so it is not a run folder; pass another "
                "--name"
            )
        return None
    try:
        found = dict(json.loads(raw.decode("utf-8")))
        whole = found["digest"] == digest_of_record(found)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ValueError(
            f"run_dir: {str(path)!r} cannot be read as a run's configuration, or was "
            "altered; remove the folder or pass another --name"
        )
    if not all(isinstance(found.get(name), dict) for name in ("config", "data")):
        raise of_another_version(folder, found)
    return found


def check_version(folder: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Raises `ValueError` where the first two numbers of the version were others."""
    theirs = _version_of(record)
    if theirs is not None and theirs.split(".")[:2] != __version__.split(".")[:2]:
        raise of_another_version(folder, record)


def changed_versions(record: Mapping[str, Any]) -> list[str]:
    """A line for each package, and for the device, that is not that of the beginning.

    Args:
      record: of `read_record`.
    """
    begun, now = record.get("versions", {}), versions()
    return [
        f"the run was begun with {name} {begun[name]} and goes on with {now[name]}"
        for name in now
        if name in begun and begun[name] != now[name]
    ]


def _version_of(record: Mapping[str, Any]) -> str | None:
    of = record.get("versions")
    return of.get("robustjax") if isinstance(of, dict) else None


def of_another_version(folder: pathlib.Path, record: Mapping[str, Any]) -> ValueError:
    """The error for a run whose files are whole, but of other contents than ours."""
    return ValueError(
        f"run_dir: {str(folder)!r} was written by another version of robustjax "
        f"({_version_of(record) or 'unknown'}), which kept runs differently; use that "
        "version, or pass another --name"
    )


def status(folder: str | pathlib.Path) -> Status:
    """How far a run is, told by its folder alone.

    Args:
      folder: of a study's run.

    Returns:
      "new" where nothing was begun, or the folder is not there; "running" while a
      process is at work in it; "finished" where all that the run was to train is
      there whole, and so is its summary; else "interrupted": the command, given
      again, goes on, or makes anew what is damaged.

    Raises:
      ValueError: a folder that holds something else, or whose `config.json` was
        altered or is not of a study: no command goes on here.
    """
    folder = pathlib.Path(folder)
    if _is_locked(folder):
        return "running"
    record = read_record(folder)
    if record is None:
        return "new"
    if not isinstance(record.get("cells"), list):
        raise ValueError(f"run_dir: {str(folder)!r} holds no run of a study")
    try:
        found = read_cells(folder)
        whole = all(is_finished(folder, found.get(c, [])) for c in record["cells"])
    except OSError as error:
        raise _unusable(folder, error) from None
    return "finished" if whole and (folder / SUMMARY).is_file() else "interrupted"


def _is_locked(folder: pathlib.Path) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Keeps other processes out of a run folder that is there.

    Raises:
      ValueError: another process is at work in it.
    """
    # On the folder itself: a file of its own would have to be left behind.
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _lock(handle):
            raise ValueError(
                f"run_dir: {AT_WORK} in {str(folder)!r}; wait for it or pass another "
                "--name"
            )
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether nobody else has it; who only looks has it for a moment."""
    for _ in range(_LOOKS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        except OSError:
            # Some network file systems know no locks; the journal's sums remain.
            return True
    return False


def _check_same(
    folder: pathlib.Path, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    differ = first_difference(found, wanted)
    if differ:
        name, was, given = differ
        raise ValueError(
            f"run_dir: {str(folder)!r} holds a run with other flags ({name} was "
            f"{shortened(was)}, is {shortened(given)}); pass another --name"
        )


def first_difference(found: Any, wanted: Any, name: str = "") -> Any:
    """(flag, value found, value wanted) of the first flag that differs, or None."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in {**wanted, **found}:
            inner = f"{name}.{key}" if name else str(key)
            differ = first_difference(found.get(key), wanted.get(key), inner)
            if differ:
                return differ
        return None
    return None if found == wanted else (name, found, wanted)


def shortened(value: Any) -> str:
    """For a line of an error."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_data(
    folder: pathlib.Path, found: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            raise ValueError(
                f"dataset: {name} is not what the run in {str(folder)!r} was begun "
                "with; give it the data of then, or pass another --name"
            )


def _remove_leftovers(folder: pathlib.Path) -> None:
    """Removes what processes that were killed were writing; the lock is held."""
    for path in sorted(folder.rglob("*.partial"), reverse=True):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """As it will be read: JSON has no tuples."""
    return json.loads(json.dumps(value))


def _unusable(folder: pathlib.Path, error: OSError) -> ValueError:
    return ValueError(f"run_dir: cannot use {str(folder)!r}: {error.strerror}")


def _is_leftover(name: str) -> bool:
    """Of a process that was killed while writing, or of a file manager."""
    return name.endswith(".partial") or is_system_entry(name)
