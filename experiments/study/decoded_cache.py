"""The flag that turns off the cache of decoded images."""

from __future__ import annotations

import os

from absl import flags

from robustjax.tools.decoded_cache import VARIABLE


def define_no_cache() -> None:
    """Defines the flag, once, for a launcher that reads data sets."""
    if "no_cache" not in flags.FLAGS:
        flags.DEFINE_bool(
            "no_cache",
            False,
            "Decode images again, where an earlier run kept them decoded in "
            f"${VARIABLE} (by default robustjax/decoded of the user's caches).",
        )


def heed_no_cache() -> None:
    """Makes the flag an empty variable, which processes of this one see, too."""
    if "no_cache" in flags.FLAGS and flags.FLAGS["no_cache"].value:
        os.environ[VARIABLE] = ""
