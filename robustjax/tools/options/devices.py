"""Options of every verb that computes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from robustjax.tools.command.fields import option


@dataclasses.dataclass(frozen=True)
class DeviceFlags:
    """Where to compute, and what is kept."""

    group: ClassVar[str] = "Devices and caches"
    jax_platforms: str | None = option(
        None, "Where to compute: cpu, cuda or tpu; by default the best."
    )
    no_cache: bool = option(
        False,
        "Decode images again, where an earlier run kept them decoded in "
        "$ROBUSTJAX_DECODED_CACHE (by default robustjax/decoded of the user's caches).",
    )
