"""Checkpoints without what is frozen, tied to the run they belong to."""

from __future__ import annotations

import hashlib
import os
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


def transform_probe(transform: transforms.LossTransform) -> list[float]:
    """What a transform makes of four made-up examples: its settings show there."""
    size = 4
    batch = {"label": jnp.zeros(size, jnp.int32), "index": jnp.arange(size)}

    @jax.jit
    def numbers(state: Any, key: jax.Array) -> jax.Array:
        losses = jnp.linspace(0.3, 3.0, size)
        logits = jnp.stack([-losses, jnp.log(-jnp.expm1(-losses))], axis=-1)
        step = jnp.int32(0)
        terms, state = transform.update(
            transforms.start(batch), state, batch, logits=logits, key=key, step=step
        )
        state = transform.epoch(state, losses=losses)
        leaves = jax.tree.leaves((terms.value, terms.weight, state))
        return jnp.concatenate([x.reshape(-1).astype(jnp.float32) for x in leaves])

    state = transform.init(transforms.ExampleSpec(num_examples=size, num_classes=2))
    found: list[float] = numbers(state, jax.random.key(0)).tolist()
    return found


class FineTuningCheckpoints(CheckpointFolder):
    """A `CheckpointFolder` of train states; frozen weights are not written again."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: str,
        probe: list[float],
        *,
        keep: int = 2,
    ):
        """Opens (or will create) a folder.

        Args:
          path: the folder.
          run: `fingerprint` of everything else that the final weights depend on.
          probe: of the loss transform, by `transform_probe`.
          keep: how many checkpoints to keep.
        """
        super().__init__(os.fspath(path), keep=keep)
        self._run = run
        self._probe = probe

    def save(self, step: int, tree: Any, meta: dict[str, Any] | None = None) -> None:
        """See `CheckpointFolder.save`."""
        slim = tree._replace(model_state={})
        super().save(
            step, slim, {**(meta or {}), "run": self._run, "probe": self._probe}
        )

    def restore_latest(
        self, like: Any, *, report: Callable[[str], None] | None = None
    ) -> tuple[int, Any, dict[str, Any]] | None:
        """See `CheckpointFolder.restore_latest`.

        Raises:
          ValueError: checkpoints of another run.
        """
        # Before orbax meets arrays of other shapes; a damaged record says nothing.
        for meta in filter(None, map(self._meta, self.steps())):
            self._check(meta)
        found = super().restore_latest(like._replace(model_state={}), report=report)
        if found is None:
            return None
        step, tree, meta = found
        self._check(meta)
        return step, tree._replace(model_state=like.model_state), meta

    def _check(self, meta: dict[str, Any]) -> None:
        probe = np.array(meta.get("probe", []))
        ours = meta.get("run") == self._run and probe.size == len(self._probe)
        # Another device rounds in its own way.
        if not ours or not np.allclose(probe, self._probe, 1e-4, 1e-6, equal_nan=True):
            raise ValueError(
                f"checkpoints: {str(self._path)!r} holds another model, data or "
                "settings, expected a folder of this training"
            )
