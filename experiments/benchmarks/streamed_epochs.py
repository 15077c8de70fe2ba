"""Epochs whose inputs are streamed, against inputs on the device.

    python -m experiments.benchmarks.streamed_epochs
    python -m experiments.benchmarks.streamed_epochs --clock=cpu
    python -m experiments.benchmarks.streamed_epochs --gigabytes=4 --limit_gigabytes=3

The first command times both in turns, on a set that memory holds, for a network that is
cheap to train and one that is not: inputs on the device, streamed from shards, from one
`.npy` file that is mapped and from an array in memory; and, as the least that streams
can cost, the same reading and copying to the device without any training. Where other
programs keep the machine busy, `--clock=cpu` counts the work of all threads instead of
time: nothing is hidden by what runs beside it. An epoch has several chunks, since a set
of one chunk is read before its first step, and sets beyond memory have hundreds.

The third command writes a set of so many GiB and trains an epoch on it, in a process
that the system allows fewer GiB of memory (its address space, as `ulimit -v` does):
streamed, and then resident, which must fail there.
"""

from __future__ import annotations

import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.programs import epochs_of, mlp_program
from experiments.benchmarks.timing import CLOCKS, OUT_DIR, interleaved, report
from robustjax import data, transforms
from robustjax.training import Stream

_GIGABYTES = flags.DEFINE_float("gigabytes", 0, "Of a set beyond memory; 0: time.")
_LIMIT = flags.DEFINE_float("limit_gigabytes", 3, "Of memory, for that set.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Timed rounds.")
_CLOCK = flags.DEFINE_enum("clock", "wall", list(CLOCKS), "Time, or threads' work.")
_FOLDER = flags.DEFINE_string("folder", None, "Where shards go, for a while.")
_CHILD = flags.DEFINE_enum("child", None, ["streamed", "resident"], "Of this script.")

_WIDTH, _CLASSES, _BATCH, _BLOCK = 1024, 10, 256, 2**14
_NETWORKS = {"small": (64,), "large": (1024, 1024)}
_TIMED_EXAMPLES = {"small": 2**16, "large": 2**14}


def _blocks(examples: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    block = rng.normal(size=(_BLOCK, _WIDTH)).astype(np.float32)
    for first in range(0, examples, _BLOCK):
        yield block[: examples - first] + np.float32(first / examples)


def _labels(examples: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, _CLASSES, examples).astype(np.int32)


def _epochs(inputs: np.ndarray | Stream, hidden: tuple[int, ...]) -> Callable[[], None]:
    examples = len(inputs)
    tx = transforms.chain(transforms.ce(), transforms.elr())
    program = mlp_program(tx, examples, _CLASSES, hidden, _BATCH)
    return epochs_of(program, inputs, _labels(examples))


def _only_reads(stream: Stream) -> Callable[[], None]:
    """What an epoch reads and copies to the device, a chunk after the other."""
    order = np.random.default_rng(2).permutation(len(stream)).astype(np.int32)
    steps = order.reshape(1, -1, _BATCH)
    size = stream.chunk_bytes // (4 * _WIDTH * _BATCH)

    def run() -> None:
        for first in range(0, steps.shape[1], size):
            chunk = stream.take(steps[:, first : first + size], len(stream))
            jax.block_until_ready(jax.device_put(chunk))

    return run


def _time(folder: pathlib.Path) -> None:
    most = max(_TIMED_EXAMPLES.values())
    data.write_shards(folder / "set", _blocks(most), _labels(most))
    clock = CLOCKS[_CLOCK.value]
    for name, hidden in _NETWORKS.items():
        examples = _TIMED_EXAMPLES[name]
        every = data.load_shards(folder / "set")
        rows = data.take(every, np.arange(examples)).inputs
        array = np.asarray(rows)
        np.save(folder / "one.npy", array)
        mapped = np.load(folder / "one.npy", mmap_mode="r")
        cases = {
            "resident": _epochs(array, hidden),
            "from shards": _epochs(Stream(rows), hidden),
            "from a mapped file": _epochs(Stream(mapped), hidden),
            "from memory": _epochs(Stream(array), hidden),
            "shards, only read": _only_reads(Stream(rows)),
            "mapped file, only read": _only_reads(Stream(mapped)),
            "memory, only read": _only_reads(Stream(array)),
        }
        times = interleaved(cases, _ROUNDS.value, warmup=2, clock=clock)
        report(
            f"streamed_epochs_{name}_{_CLOCK.value}",
            times,
            "resident",
            OUT_DIR.value,
            units=examples // _BATCH,
        )


def _beyond_memory(folder: pathlib.Path) -> None:
    examples = int(_GIGABYTES.value * 2**30 / (4 * _WIDTH))
    data.write_shards(folder / "set", _blocks(examples), _labels(examples))
    for kind in ("streamed", "resident"):
        command = [sys.executable, "-m", "experiments.benchmarks.streamed_epochs"]
        flags_ = [f"--child={kind}", f"--folder={folder}"]
        limit = f"--limit_gigabytes={_LIMIT.value}"
        ran = subprocess.run(
            [*command, *flags_, limit], capture_output=True, text=True, check=False
        )
        last = (ran.stdout or ran.stderr).strip().splitlines()[-1:]
        print(f"{kind}: status {ran.returncode}; {''.join(last)}", flush=True)


def _peak_kilobytes() -> int:
    """The most memory that this program held, of which a child inherits nothing.

    `ru_maxrss` starts from what the process held that wrote the set.
    """
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1])


def _train_within(folder: pathlib.Path) -> None:
    limit = int(_LIMIT.value * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rows = data.load_shards(folder / "set").inputs
    streamed = _CHILD.value == "streamed"
    run = _epochs(Stream(rows) if streamed else np.asarray(rows), _NETWORKS["small"])
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    peak = _peak_kilobytes() / 2**20
    print(
        f"{len(rows):,} examples, {len(rows) * 4 * _WIDTH / 2**30:.2f} GiB, in "
        f"{seconds:.0f} s; at most {peak:.2f} GiB resident, {_LIMIT.value:g} GiB "
        f"allowed; {jax.default_backend()}"
    )


def main(argv: list[str]) -> None:
    """Times, or trains beyond memory."""
    del argv
    if _CHILD.value:
        _train_within(pathlib.Path(_FOLDER.value or "."))
        return
    with tempfile.TemporaryDirectory(dir=_FOLDER.value) as folder:
        (_beyond_memory if _GIGABYTES.value else _time)(pathlib.Path(folder))


if __name__ == "__main__":
    app.run(main)
