"""Packages of the extra `instructions`, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any


def need(package: str, what: str) -> Any:
    """The imported package.

    Raises:
      ModuleNotFoundError: in one line, what needs it and how to get it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{what} needs {error.name}: pip install 'robustjax[instructions]'"
        ) from None
