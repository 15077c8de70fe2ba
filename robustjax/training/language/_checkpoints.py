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


def transform_probe(
    transform: transforms.LossTransform, epochs: int, steps: int
) -> list[float]:
    """What a transform makes of four made-up examples: its settings show there.

    What begins in a later epoch, or follows a schedule, shows in the first or the last
    step of one of the epochs that the training has: all of its steps are gone through.

    Args:
      transform: of the losses.
      epochs: of the training.
      steps: of an epoch.
    """
    size = 4
    batch = {"label": jnp.zeros(size, jnp.int32), "index": jnp.arange(size)}

    losses = jnp.linspace(0.3, 3.0, size)
    logits = jnp.stack([-losses, jnp.log(-jnp.expm1(-losses))], axis=-1)

    def update(state: Any, step: jax.Array) -> tuple[Any, Any]:
        key = jax.random.fold_in(jax.random.key(0), step)
        terms, state = transform.update(
            transforms.start(batch), state, batch, logits=logits, key=key, step=step
        )
        return state, (terms.value, terms.weight)

    @jax.jit
    def epoch(state: Any, number: jax.Array) -> tuple[Any, jax.Array]:
        state, made = jax.lax.scan(update, state, steps * number + jnp.arange(steps))
        state = transform.epoch(state, losses=losses)
        ends = jax.tree.map(lambda x: (x[0], x[-1]), made)
        leaves = jax.tree.leaves((ends, state))
        numbers = [x.reshape(-1).astype(jnp.float32) for x in leaves]
        return state, jnp.concatenate(numbers)

    state = transform.init(transforms.ExampleSpec(num_examples=size, num_classes=2))
    found: list[float] = []
    for number in range(epochs):
        state, numbers = epoch(state, jnp.int32(number))
        found += numbers.tolist()
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
