"""Arrays from `.npy` and `.npz` files that are named by flags."""

from __future__ import annotations

import pathlib
import zipfile

import numpy as np


def read_array(path: str | pathlib.Path, name: str) -> np.ndarray:
    """Reads an array from a file.

    Args:
      path: an `.npy` file, or an `.npz` file that holds an array called `name`, or
        one array only.
      name: what to call it in an error, and in the file.

    Raises:
      ValueError: a file that cannot be read or holds no such array, or a number
        instead of an array.
    """
    try:
        with open(path, "rb") as raw:
            loaded = np.load(raw, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                array = loaded
            elif name in loaded.files or len(loaded.files) == 1:
                array = loaded[name if name in loaded.files else loaded.files[0]]
            else:
                raise LookupError(", ".join(loaded.files) or "nothing")
    except LookupError as error:
        raise ValueError(
            f"{name}: {str(path)!r} lacks {name}; it holds {error.args[0]}"
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "it holds no plain arrays"
        raise ValueError(
            f"{name}: cannot read {str(path)!r} as .npy or .npz: {reason}"
        ) from None
    if array.ndim == 0:
        raise ValueError(f"{name}: got a single value, expected an array")
    return array
