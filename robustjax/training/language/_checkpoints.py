"""Checkpoints without what is frozen, tied to the run they belong to."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import transforms
from robustjax.training._checkpoints import CheckpointFolder

_SAMPLE = 4096


def fingerprint(*parts: Any) -> str:
    """A digest of settings (by their `repr`) and arrays.

    Of a large floating array a sample is read: training changes all of it.
    """
    hasher = hashlib.sha256()
    for part in parts:
        for path, leaf in jax.tree_util.tree_leaves_with_path(part):
            hasher.update(jax.tree_util.keystr(path).encode())
            if not hasattr(leaf, "dtype"):
                hasher.update(repr(leaf).encode())
                continue
            hasher.update(f"{leaf.shape} {leaf.dtype}".encode())
            flat = leaf.reshape(-1)
            if np.dtype(leaf.dtype).kind not in "iub":
                flat = flat[:: max(1, flat.size // _SAMPLE)]
            hasher.update(np.asarray(flat).tobytes())
    return hasher.hexdigest()


def transform_program(transform: transforms.LossTransform) -> Any:
    """What a transform computes, as text and arrays: its hyperparameters show there."""
    spec = transforms.ExampleSpec(num_examples=2, num_classes=2)
    batch = {"label": jnp.zeros(2, jnp.int32), "index": jnp.arange(2)}

    def whole(state: Any, logits: jax.Array, key: jax.Array, losses: jax.Array) -> Any:
        step = jnp.int32(0)
        terms, state = transform.update(
            transforms.start(batch), state, batch, logits=logits, key=key, step=step
        )
        return terms, transform.epoch(state, losses=losses)

    arguments = transform.init(spec), jnp.zeros((2, 2)), jax.random.key(0), jnp.ones(2)
    made = jax.make_jaxpr(whole)(*arguments)
    # Functions are shown with their addresses, which differ from run to run.
    return re.sub("0x[0-9a-f]+", "", str(made.jaxpr)), made.consts


class FineTuningCheckpoints(CheckpointFolder):
    """A `CheckpointFolder` of train states; frozen weights are not written again."""

    def __init__(self, path: str | os.PathLike[str], run: str, *, keep: int = 2):
        """Opens (or will create) a folder.

        Args:
          path: the folder.
          run: `fingerprint` of everything that the final weights depend on.
          keep: how many checkpoints to keep.
        """
        super().__init__(os.fspath(path), keep=keep)
        self._run = run

    def save(self, step: int, tree: Any, meta: dict[str, Any] | None = None) -> None:
        """See `CheckpointFolder.save`."""
        slim = tree._replace(model_state={})
        super().save(step, slim, {**(meta or {}), "run": self._run})

    def restore_latest(
        self, like: Any, *, report: Callable[[str], None] | None = None
    ) -> tuple[int, Any, dict[str, Any]] | None:
        """See `CheckpointFolder.restore_latest`.

        Raises:
          ValueError: checkpoints of another run.
        """
        for step in self.steps():
            if self._meta(step).get("run") != self._run:
                raise ValueError(
                    f"checkpoints: {str(self._path)!r} holds another model, data or "
                    "settings, expected a folder of this training"
                )
        found = super().restore_latest(like._replace(model_state={}), report=report)
        if found is None:
            return None
        step, tree, meta = found
        return step, tree._replace(model_state=like.model_state), meta
