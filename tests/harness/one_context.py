"""One MLIR context for many small programs."""

from __future__ import annotations

import threading

import jax
from jax._src.interpreters import mlir

# A context keeps every type and constant that was ever written in it.
_PROGRAMS = 100


def share() -> None:
    """Makes JAX write some programs in the same context, by thread.

    It loads all dialects into a new one for every program: a quarter of the time of an
    operation of one line that is compiled for the first time.
    """
    if jax.__version_info__[:2] != (0, 10):
        return
    made = mlir.make_ir_context
    # Compilers load more dialects into it as they need them, which threads must not do
    # side by side.
    kept = threading.local()

    def make_ir_context():
        if getattr(kept, "programs", _PROGRAMS) == _PROGRAMS:
            kept.context, kept.programs = made(), 0
        kept.programs += 1
        return kept.context

    mlir.make_ir_context = make_ir_context
