"""Where tools and launchers keep images that were decoded once."""

from __future__ import annotations

import os
import pathlib

from robustjax.cache_folder import cache_folder

VARIABLE = "ROBUSTJAX_DECODED_CACHE"
"""Environment variable: the folder, or empty for none."""


def decoded_folder() -> pathlib.Path | None:
    """The folder for `data.load`; None for no cache."""
    given = os.environ.get(VARIABLE)
    if given == "":
        return None
    return pathlib.Path(given) if given else cache_folder("decoded")
