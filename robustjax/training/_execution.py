"""Where the choice of how to run a model on this machine is made."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax

from robustjax import checks

Loop = Literal["scan", "steps"]
"""An epoch as one program, or a program per step; see `choose_execution`."""

Convolution = Literal["native", "patches"]
"""XLA's convolution, or matrix products of patches; see `choose_execution`."""

LOOPS: tuple[Loop, ...] = ("scan", "steps")
CONVOLUTIONS: tuple[Convolution, ...] = ("native", "patches")


class Execution(NamedTuple):
    """How an epoch is run; every choice gives the same results up to rounding.

    Attributes:
      loop: "scan" compiles the epoch into one program; "steps" dispatches compiled
        steps one by one, without waiting for them.
      convolution: "native" uses XLA's convolution; "patches" writes it as patch
        extraction and matrix products.
      reason: one sentence for the log.
    """

    loop: Loop
    convolution: Convolution
    reason: str


def choose_execution(
    *,
    convolutional: bool,
    backend: str | None = None,
    loop: Loop | None = None,
    convolution: Convolution | None = None,
) -> Execution:
    """Picks the fastest way to run an epoch, by backend and kind of model.

    On CPU a native convolution inside a `scan` is about ten times slower than
    outside, and several times slower than a matrix product outside; written as
    matrix products it is fast in both places.

    Args:
      convolutional: whether the model convolves.
      backend: "cpu", "gpu" or "tpu"; by default the current one.
      loop: "scan" or "steps" to override the choice.
      convolution: "native" or "patches" to override the choice.

    Raises:
      ValueError: an unknown loop or convolution.
    """
    backend = backend or jax.default_backend()
    slow_convolution = backend == "cpu" and convolutional
    if loop is not None:
        checks.one_of("loop", loop, LOOPS)
    if convolution is not None:
        checks.one_of("convolution", convolution, CONVOLUTIONS)
    chosen_convolution: Convolution = convolution or (
        "patches" if slow_convolution else "native"
    )
    native_on_cpu = slow_convolution and chosen_convolution == "native"
    chosen_loop: Loop = loop or ("steps" if native_on_cpu else "scan")
    if loop or convolution:
        reason = "as asked for"
    elif slow_convolution:
        reason = "on CPU, convolutions as matrix products are fast inside a scan"
    else:
        reason = f"an epoch is one program on {backend}"
    return Execution(chosen_loop, chosen_convolution, reason)
