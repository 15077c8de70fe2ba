"""Where launchers keep images that were decoded once."""

from __future__ import annotations

import os
import pathlib

from absl import flags

from robustjax.cache_folder import cache_folder

_VARIABLE = "ROBUSTJAX_DECODED_CACHE"

flags.DEFINE_bool(
    "no_cache",
    False,
    "Decode images again, where an earlier run kept them decoded in "
    f"${_VARIABLE} (by default robustjax/decoded of the user's caches).",
)


def decoded_folder() -> pathlib.Path | None:
    """The folder for `data.load`; None for no cache.

    An empty `ROBUSTJAX_DECODED_CACHE` is the same as the flag.
    """
    given = os.environ.get(_VARIABLE)
    if given == "" or ("no_cache" in flags.FLAGS and flags.FLAGS["no_cache"].value):
        return None
    return pathlib.Path(given) if given else cache_folder("decoded")
