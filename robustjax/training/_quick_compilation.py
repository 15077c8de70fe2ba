"""Programs that run once: compiling them costs more than running them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import jax

# LLVM's third level unrolls and vectorises what is then run a single time; fusions
# that are emitted by MLIR, and parts compiled in parallel, gain nothing either. A level
# of 0 would do without fused multiply-adds, and give other last bits.
_QUICK: dict[str, bool | int] = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_parallel_codegen_split_count": 1,
    "xla_cpu_use_fusion_emitters": False,
}


def quick_options() -> dict[str, bool | int]:
    """XLA's options for a program that is run once; none where somebody chose theirs.

    On CPU alone: elsewhere most of a compilation is not LLVM's.
    """
    if jax.default_backend() != "cpu":
        return {}
    chosen = os.environ.get("XLA_FLAGS", "")
    return {} if any(name in chosen for name in _QUICK) else dict(_QUICK)


def jit_run_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit`, compiled in a third of the time or less, for draws and the like.

    Elementwise work gives the same bits as ever; a matrix product that is fused with
    other work may differ in the last one. An option that XLA does not know is left
    out.

    Args:
      function: of arrays.
    """
    plain = jax.jit(function)
    quick: Callable[..., Any] | None = None
    options: dict[str, bool | int] = {}

    def compiled() -> Callable[..., Any]:
        return jax.jit(function, compiler_options=options) if options else plain

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal quick, options
        # A program within another one is compiled as that one is.
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(arguments)):
            return plain(*arguments)
        # When it is called, for asking after the backend starts it.
        if quick is None:
            options = quick_options()
            quick = compiled()
        while True:
            try:
                return quick(*arguments)
            except jax.errors.JaxRuntimeError as error:
                if not options:
                    raise
                known = {n: v for n, v in options.items() if n not in str(error)}
                # What fails for another reason fails without any option, too.
                options = known if len(known) < len(options) else {}
                quick = compiled()

    return call
