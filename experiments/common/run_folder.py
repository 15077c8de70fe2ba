"""One folder per run, with everything needed to understand and continue it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
from importlib import metadata
from typing import Any

import jax

from robustjax.files import write_atomically

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


def open_run_folder(root: str, name: str, config: Any) -> pathlib.Path:
    """Creates a run's folder, or opens it to continue the same run.

    Args:
      root: such as "runs/active_label_correction".
      name: of the run.
      config: a dataclass; saved as `config.json` with the versions.

    Returns:
      The folder.

    Raises:
      ValueError: a folder that cannot be read, or that holds another configuration.
    """
    folder = pathlib.Path(root) / name
    wanted = json.loads(json.dumps(dataclasses.asdict(config)))
    record = folder / "config.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = record.read_text() if record.exists() else None
    except OSError as error:
        raise ValueError(
            f"run_dir: cannot use {str(folder)!r}: {error.strerror}"
        ) from None
    if text is None:
        # A killed process may have left a file that was half written.
        if any(not entry.name.endswith(".partial") for entry in folder.iterdir()):
            raise ValueError(
                f"run_dir: {str(folder)!r} is not empty but has no config.json, so it "
                "is not a run folder; pass another --name"
            )
        content = {"config": wanted, "versions": versions()}
        write_atomically(record, json.dumps(content, indent=2) + "\n")
        return folder
    try:
        found = json.loads(text)["config"]
    except (json.JSONDecodeError, KeyError, TypeError):
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
    return folder
