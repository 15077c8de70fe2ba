"""One training of rows that two processes read, each its own; what each found."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import jax
import numpy as np

import robustjax as rj
from robustjax import data, training
from robustjax.row_source import RowSource
from tests.training import toy

EPOCHS = 2
# Two of the four steps, the last of which is padded.
_CHUNK_BYTES = 3 * toy.REPEATS * 16 * toy.D * 4


def transform() -> rj.LossTransform:
    """Rows that are trained, and an evaluation of all examples after every epoch."""
    return rj.chain(rj.alpha_weights(0.3), rj.ce(), rj.elr())


def write(folder: pathlib.Path) -> None:
    """The toy's inputs as shards and as one file."""
    x, y = toy.arrays()
    data.write_shards(folder / "shards", [x], y[0], shard_bytes=17 * x[0].nbytes)
    np.save(folder / "x.npy", x)


class CountedRows(RowSource):
    """Rows of shards, and which of them were asked for: by numbers, and by slices."""

    def __init__(self, source: RowSource):
        """Reads nothing yet."""
        self._source = source
        self.shape, self.dtype = source.shape, source.dtype
        # Threads append at once, which is atomic.
        self.numbers: list[np.ndarray] = []
        self.slices: list[slice] = []

    def __getitem__(self, rows: Any) -> np.ndarray:
        """See `RowSource`."""
        (self.slices if isinstance(rows, slice) else self.numbers).append(rows)
        return self._source[rows]

    def read_into(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `RowSource`."""
        self.numbers.append(rows)
        self._source.read_into(rows, out)


class CountedMap(np.memmap):
    """As `CountedRows`, of a mapped file, whose rows a stream takes by `np.take`."""

    numbers: list[np.ndarray]
    slices: list[slice]

    def take(self, indices: Any, *arguments: Any, **options: Any) -> Any:
        """As NumPy's."""
        self.numbers.append(indices)
        return super().take(indices, *arguments, **options)

    def __getitem__(self, rows: Any) -> Any:
        """As NumPy's."""
        (self.slices if isinstance(rows, slice) else self.numbers).append(rows)
        return super().__getitem__(rows)


def counted_map(path: pathlib.Path) -> CountedMap:
    """A file that is mapped, and of which nothing has been asked for."""
    found: CountedMap = np.load(path, mmap_mode="r").view(CountedMap)
    found.numbers, found.slices = [], []
    return found


def times(source: Any) -> list[int]:
    """How often every row was asked for by its number; begins anew."""
    asked = np.concatenate([*source.numbers, np.zeros(0, np.int64)])
    source.numbers.clear()
    return np.bincount(asked, minlength=toy.N).tolist()


def own_part(leaf: jax.Array, axis: int = 1) -> np.ndarray:
    """What the devices of this process have of an array that is divided."""
    parts = sorted(
        leaf.addressable_shards, key=lambda part: part.index[axis].start or 0
    )
    return np.concatenate([part.data for part in parts], axis)


def trained(program: training.Program, inputs: Any) -> dict[str, Any]:
    """What a training of `EPOCHS` leaves with this process.

    Args:
      program: of the toy.
      inputs: an array, or a stream.
    """
    _, labels = toy.arrays()
    keys = jax.random.split(jax.random.key(0), toy.REPEATS)
    state, resident = program.init(keys, inputs), program.make_data(inputs, labels)
    metrics = []
    for _ in range(EPOCHS):
        state, found = program.epoch(state, resident)
        metrics.append(jax.device_get(found))
    whole, rows = (state.params, state.opt_state, metrics), state.loss_state.rows
    return {
        "whole": [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(whole)],
        "rows": [own_part(leaf).tolist() for leaf in jax.tree.leaves(rows)],
        "state": state,
    }


def told(program: training.Program, source: Any, inputs: Any) -> dict[str, Any]:
    """As `trained`, with logits, and what was asked of a source that counts."""
    found = trained(program, inputs)
    state = found.pop("state")
    if source is not None:
        found["epochs"] = times(source)
    found["logits"] = np.asarray(program.predict(state, inputs)).tolist()
    if source is not None:
        found["predict"] = times(source)
        found["first"] = [row.indices(toy.N) for row in source.slices]
    return found


def main(address: str, count: int, index: int, folder: pathlib.Path) -> None:
    """One of the processes."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, count, index)
    program = toy.program(transform(), mesh=training.data_mesh())
    x, _ = toy.arrays()
    shards: Any = data.load_shards(folder / "shards").inputs
    sources: dict[str, Any] = {
        "shards": CountedRows(shards),
        "mapped": counted_map(folder / "x.npy"),
    }
    found = {"resident": told(program, None, x)}
    for name, source in sources.items():
        stream = training.Stream(source, chunk_bytes=_CHUNK_BYTES)
        found[name] = told(program, source, stream)
    print(json.dumps(found), flush=True)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), pathlib.Path(sys.argv[4]))
