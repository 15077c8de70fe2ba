"""Checkpoints of arrays that two processes divide; what each of them finds, as JSON."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.study.lost_process import end_as_lost, is_lost
from robustjax import training
from robustjax.training import _checkpoint_files as files
from robustjax.training._elastic import ExampleRows

EXAMPLES, WIDTH = 1001, 16


def rows(number: int) -> np.ndarray:
    """(2, N, C) that no compression makes smaller."""
    shape = (2, EXAMPLES, WIDTH)
    return np.random.default_rng(number).normal(size=shape).astype(np.float32)


def tree(number: int, mesh: Mesh, padding: float = 0) -> dict[str, Any]:
    """Rows of examples and divided ones over a mesh, copies, a key, NumPy's."""

    def spread(values: np.ndarray, *spec: str | None) -> jax.Array:
        sharding = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.make_array_from_callback(values.shape, sharding, lambda i: values[i])

    more = -EXAMPLES % mesh.size
    padded = np.pad(rows(number), ((0, 0), (0, more), (0, 0)), constant_values=padding)
    return {
        "rows": ExampleRows(spread(padded, None, "data"), EXAMPLES),
        "divided": spread(np.arange(16) * number, "data"),
        "copies": spread(np.arange(6.0, dtype=np.float32) * number),
        "key": jax.random.key(number),
        "count": np.array([number * 2**40], np.int64),
    }


def differences(found: dict[str, Any], number: int, padding: float) -> list[str]:
    """What of a restored tree is not as it was saved, of what this process holds."""
    mesh = found["rows"].sharding.mesh
    wanted = tree(number, mesh, padding)
    wanted["rows"] = wanted["rows"].array
    bad = []
    for name, one in wanted.items():
        other = found[name]
        if name == "key":
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        if isinstance(one, np.ndarray):
            same = isinstance(other, np.ndarray) and np.array_equal(one, other)
        else:
            same = one.sharding == other.sharding and all(
                np.array_equal(a.data, b.data)
                for a, b in zip(one.addressable_shards, other.addressable_shards)
            )
        if not same:
            bad.append(name)
    return bad


def main(root: pathlib.Path) -> None:
    """Saves, restores, meets damage; then the second process dies in a save."""
    index, mesh = jax.process_index(), training.data_mesh()
    told: dict[str, Any] = {}
    folder = training.CheckpointFolder(root / "two")
    for step in (1, 2):
        folder.save(step, tree(step, mesh), {"step": step})

    def restored(path: pathlib.Path) -> list[Any]:
        said: list[str] = []
        like = tree(9, mesh, padding=7)
        try:
            found = training.CheckpointFolder(path).restore_latest(
                like, report=said.append
            )
        except training.CheckpointError as error:
            return [str(error), said]
        assert found is not None
        step, state, meta = found
        return [step, differences(state, step, 7), meta, said]

    told["own"] = restored(root / "two")
    told["of one process"] = restored(root / "one")
    damaged = root / "damaged"
    training.from_first_process(lambda: _copy_damaged(root / "two", damaged, 2))
    told["damaged"] = restored(damaged)
    training.from_first_process(lambda: _damage(damaged / "1"))
    told["all damaged"] = restored(damaged)

    def die_after(*arguments: Any) -> None:
        write(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    write = files.write
    print(json.dumps(told), flush=True)
    if index == 1:
        files.write = die_after
    try:
        folder.save(3, tree(3, mesh))
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # As launchers do.
        if is_lost(error):
            end_as_lost(str(error))
        raise


def _damage(checkpoint: pathlib.Path) -> None:
    """Takes away what the second process wrote of the rows."""
    parts = (checkpoint / "state" / "ocdbt.process_1" / "d").iterdir()
    max(parts, key=lambda path: path.stat().st_size).unlink()


def _copy_damaged(source: pathlib.Path, target: pathlib.Path, step: int) -> None:
    shutil.copytree(source, target)
    _damage(target / str(step))


if __name__ == "__main__":
    jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
    main(pathlib.Path(sys.argv[3]))
