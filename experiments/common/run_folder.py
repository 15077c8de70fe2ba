"""One folder per run, with everything needed to understand and continue it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
from importlib import metadata
from typing import Any

import jax

from robustjax.files import is_system_entry, write_atomically
from robustjax.output_paths import check_output_folder

_RECORD = "config.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


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


def check_run_folder(root: str, name: str, config: Any) -> pathlib.Path:
    """Checks, before hours of loading, that `open_run_folder` will not fail.

    Args:
      root: such as "runs/active_label_correction".
      name: of the run.
      config: a dataclass.

    Returns:
      The folder, which need not be there yet.

    Raises:
      ValueError: a folder that cannot be written or read, that holds another
        configuration, or that holds files but is no run folder.
    """
    folder = pathlib.Path(root) / name
    check_output_folder("run_dir", folder)
    _found_config(folder, _as_json(config))
    return folder


def open_run_folder(root: str, name: str, config: Any) -> pathlib.Path:
    """Creates a run's folder, or opens it to continue the same run.

    Args:
      root: such as "runs/active_label_correction".
      name: of the run.
      config: a dataclass; saved as `config.json` with the versions.

    Returns:
      The folder.

    Raises:
      ValueError: see `check_run_folder`.
    """
    folder = check_run_folder(root, name, config)
    wanted = _as_json(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _found_config(folder, wanted) is None:
            content = {"config": wanted, "versions": versions()}
            write_atomically(folder / _RECORD, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise ValueError(
            f"run_dir: cannot use {str(folder)!r}: {error.strerror}"
        ) from None
    return folder


def _as_json(config: Any) -> Any:
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _found_config(folder: pathlib.Path, wanted: dict[str, Any]) -> Any:
    """The configuration of a run folder, which is `wanted`; None of a new one."""
    record = folder / _RECORD
    try:
        text = record.read_text(encoding="utf-8") if record.exists() else None
        others = (
            [entry.name for entry in folder.iterdir() if not _is_leftover(entry.name)]
            if text is None and folder.exists()
            else []
        )
    except OSError as error:
        raise ValueError(
            f"run_dir: cannot use {str(folder)!r}: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        text = ""
    if text is None:
        if others:
            raise ValueError(
                f"run_dir: {str(folder)!r} is not empty but has no config.json (it "
                f"holds {min(others)!r}), so it is not a run folder; pass another "
                "--name"
            )
        return None
    try:
        found = dict(json.loads(text)["config"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"run_dir: {str(record)!r} cannot be read as a run's configuration; remove "
            f"the folder or pass another --name"
        ) from None
    differ = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
    if differ:
        first = differ[0]
        raise ValueError(
            f"run_dir: {str(folder)!r} holds a run with other flags ({first} was "
            f"{found.get(first)}, is {wanted.get(first)}); pass another --name"
        )
    return found


def _is_leftover(name: str) -> bool:
    """Of a process that was killed while writing, or of a file manager."""
    return name.endswith(".partial") or is_system_entry(name)
