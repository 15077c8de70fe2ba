"""Published weights read from local files: a flat name -> array dictionary."""

from __future__ import annotations

import errno
import hashlib
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.files import check_readable

StateDict = dict[str, np.ndarray]

# Training scripts save the weights beside optimiser and epoch, under one of these.
_NESTS = ("state_dict", "model")


def read_state_dict(path: str | os.PathLike[str]) -> StateDict:
    """Reads a state dict.

    Args:
      path: a local file, its format told by its suffix: ".safetensors", ".npz", or
        ".pth", ".pt" and ".bin" for PyTorch's own. PyTorch files are read without
        unpickling code, and may hold the weights under "state_dict" or "model".

    Returns:
      Name -> array; floats of any width (bfloat16 included) come as float32, other
      types as they are.

    Raises:
      ValueError: an unknown suffix, a file that cannot be read, or one that holds
        anything but named arrays.
      ImportError: safetensors or PyTorch is needed and not installed.
    """
    file = pathlib.Path(path)
    checks.one_of("path", file.suffix, _READERS)
    try:
        check_readable(file)
        content = _READERS[file.suffix](file)
    except ImportError:
        if file.exists():
            raise
        # Nobody should install a package to learn that a name was mistyped.
        missing = os.strerror(errno.ENOENT)
        raise ValueError(
            f"path: cannot read {str(path)!r} as {file.suffix}: {missing}"
        ) from None
    except Exception as error:  # Damage shows in many ways inside the readers.
        raise ValueError(
            f"path: cannot read {str(path)!r} as {file.suffix}: {_first_line(error)}"
        ) from None
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not content:
        found = "nothing" if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"path: {str(path)!r} holds {found}, expected named arrays")
    return {str(name): _array(path, name, value) for name, value in content.items()}


def file_digest(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
      ValueError: a file that cannot be read.
    """
    try:
        check_readable(path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"path: cannot read {str(path)!r}: {error.strerror}") from None


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # PyTorch's own text advises to load with `weights_only=False`, which runs
    # whatever code the file holds.
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged or holds more than arrays"
    return str(error).split("\n")[0] or type(error).__name__


def _array(path: Any, name: Any, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise ValueError(
            f"path: {str(path)!r} holds {type(value).__name__} under {name!r}, "
            "expected an array"
        )
    # JAX's notion of a float includes bfloat16, NumPy's does not.
    floating = jnp.issubdtype(value.dtype, jnp.floating)
    return value.astype(np.float32) if floating else value


def _read_safetensors(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError(_needs(path, "safetensors")) from error
    return load_file(path)


def _read_npz(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    with open(path, "rb") as raw:
        if not zipfile.is_zipfile(raw):
            raise ValueError("it is no zip archive")
        raw.seek(0)
        with np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


def _read_torch(path: pathlib.Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(_needs(path, "torch")) from error

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            value = value.detach()
            return (value.float() if value.is_floating_point() else value).numpy()
        if isinstance(value, Mapping):
            return {key: plain(entry) for key, entry in value.items()}
        return value

    return plain(torch.load(path, map_location="cpu", weights_only=True))


def _needs(path: pathlib.Path, package: str) -> str:
    return (
        f"path: reading {path.name!r} needs {package}; "
        "pip install 'robustjax[parity]', or convert it to .npz"
    )


_READERS: dict[str, Callable[[pathlib.Path], Any]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".bin": _read_torch,
}
