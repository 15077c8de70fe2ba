"""Arrays from `.npy` and `.npz` files that are named by flags."""

from __future__ import annotations

import pathlib

import numpy as np

from robustjax.data import read_arrays as read_arrays


def lacks(path: str | pathlib.Path, name: str, arrays: dict[str, np.ndarray]) -> str:
    """What to say of a file without the wanted array."""
    held = ", ".join(arrays) or "nothing"
    return f"{name}: {str(path)!r} lacks {name}; it holds {held}"


def probabilities_in(
    path: str | pathlib.Path, arrays: dict[str, np.ndarray]
) -> np.ndarray:
    """The probabilities of a file for `--probabilities`.

    Args:
      path: of the file, for the error.
      arrays: what it holds; `pred_probs`, as other libraries call it, or
        `probabilities`.

    Raises:
      ValueError: it holds neither.
    """
    for name in ("pred_probs", "probabilities"):
        if name in arrays:
            return arrays[name]
    raise ValueError(
        f"probabilities: {str(path)!r} lacks pred_probs; it holds "
        f"{', '.join(arrays) or 'nothing'}"
    )


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
    arrays = read_arrays(path, name)
    if name not in arrays and len(arrays) != 1:
        raise ValueError(lacks(path, name, arrays))
    array = arrays[name] if name in arrays else next(iter(arrays.values()))
    if array.ndim == 0:
        raise ValueError(f"{name}: got a single value, expected an array")
    return array
