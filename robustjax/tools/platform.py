"""Where JAX computes."""

from __future__ import annotations

import os

import jax


def name_platform(platforms: str | None) -> None:
    """Tells JAX where to compute, before it has asked for devices; None: the best."""
    if platforms is not None:
        jax.config.update("jax_platforms", platforms)


def check_platform(platforms: str | None) -> None:
    """Asks for devices.

    Args:
      platforms: as given to `name_platform`.

    Raises:
      ValueError: a platform that is not here, naming the option or the environment
        variable.
    """
    name = "JAX_PLATFORMS" if platforms is None else "jax_platforms"
    wanted = platforms or os.environ.get("JAX_PLATFORMS")
    try:
        jax.devices()
    # Of a platform that it left out, JAX itself says nothing but an assertion.
    except (RuntimeError, AssertionError) as error:
        if not wanted:
            raise
        reason = (str(error).splitlines() or ["it is not here"])[0]
        raise ValueError(
            f"{name}: got {wanted}, expected a platform of this machine: {reason}"
        ) from None
