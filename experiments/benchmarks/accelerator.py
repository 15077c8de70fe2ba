"""A few minutes of an accelerator, spent on what only one can show.

    python -m experiments.benchmarks.accelerator --pack=carried          # where tfds is
    python -m experiments.benchmarks.accelerator --minutes=9 --worse=carried/worse.csv \
        --cifar10=carried/cifar10_0.npz,carried/cifar10_1.npz     # or the first alone
    python -m experiments.benchmarks.accelerator --minutes=3 --tiny      # does it run?

Parts run in order of worth, each in a process and within a limit of its own: step times
against PyTorch; CIFAR-10N (worse) by SOP+ in bfloat16, accuracy against seconds;
k-center, Prune4ReL and diffusion at N = 50,000; TAUFE at N = 500 with ResNet-18; LfF
on Corrupted CIFAR-10 at 99 %; the selections once more on the CPU. What a part has
found is a line of `<out_dir>/rows.jsonl` the moment it ends, with device and versions;
a part that is ended early leaves what it had until then. Without a file of images, the
parts that train on them are skipped, and say so. Nothing but --pack needs tfds. With
JAX_COMPILATION_CACHE_DIR set, a second try does not compile again.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import pathlib
import subprocess
import sys
from typing import Any

from absl import app, flags

from experiments.benchmarks.accelerator_parts import Wanted, parts_of
from experiments.benchmarks.carried_images import joined, labels_of, pack, tiny
from experiments.benchmarks.timed_parts import Rows, run_parts, run_process
from robustjax.tools.inputs import load

_MINUTES = flags.DEFINE_float("minutes", 9.0, "For everything.", lower_bound=0.1)
_OUT = flags.DEFINE_string("out_dir", "runs/accelerator", "Where everything goes.")
_CIFAR10 = flags.DEFINE_list("cifar10", [], "Files of --pack, in order.")
_WORSE = flags.DEFINE_string("worse", None, "CSV of human labels, of --pack.")
_EPOCHS = flags.DEFINE_integer(
    "epochs", 30, "Of the training on CIFAR-10N; its rate falls until the last.", 1
)
_TINY = flags.DEFINE_bool("tiny", False, "Everything as small as it goes.")
_ONLY = flags.DEFINE_list("only", [], "Names of parts; by default all.")
_PACK = flags.DEFINE_string("pack", None, "Write CIFAR-10N into this folder and end.")
_PACK_MEBIBYTES = flags.DEFINE_float(
    "pack_mebibytes", 58.0, "Of a file of --pack.", lower_bound=1.0
)
_TEST_SPLIT = flags.DEFINE_string("test_split", "test", "Of --pack.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "tfds folder, for --pack.")

# A process of its own: one that has seen the device may hold its memory.
_PROBE = (
    "import json, jax; from experiments.study.run_folder import versions; "
    "print(json.dumps({'platform': jax.default_backend(), **versions()}))"
)
_PROBE_SECONDS = 120


def _device() -> dict[str, Any]:
    """Platform, device and versions.

    Raises:
      ValueError: JAX does not start.
    """
    done = subprocess.run(
        (sys.executable, "-c", _PROBE),
        capture_output=True,
        text=True,
        timeout=_PROBE_SECONDS,
        check=False,
    )
    if done.returncode:
        error = done.stderr.strip().splitlines()
        raise ValueError(f"device: JAX does not start: {error[-1] if error else ''}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _pack(folder: pathlib.Path) -> None:
    train, worse = (
        load("cifar10_n", "train", data_dir=_DATA_DIR.value, label_key=key)
        for key in (None, "worse_label")
    )
    test = load("cifar10", _TEST_SPLIT.value, data_dir=_DATA_DIR.value)
    size = _PACK_MEBIBYTES.value
    for path in pack(folder, train, worse.labels, test, size):
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


def _wanted(out: pathlib.Path, platform: str) -> Wanted:
    images = joined(_CIFAR10.value, out / "cifar10.npz") if _CIFAR10.value else None
    worse = None
    if images is not None and _WORSE.value:
        worse = labels_of(images, _WORSE.value, out / "worse.csv")
    if _TINY.value and images is None:
        images, worse = tiny(out / "tiny")
    return Wanted(
        out,
        images,
        worse,
        importlib.util.find_spec("torch") is not None,
        platform == "cpu",
        _TINY.value,
        _EPOCHS.value,
    )


def main(argv: list[str]) -> None:
    """Runs the parts, or packs their data."""
    del argv
    try:
        if _PACK.value:
            _pack(pathlib.Path(_PACK.value))
            return
        out = pathlib.Path(_OUT.value)
        out.mkdir(parents=True, exist_ok=True)
        device = _device()
        print(f"{device['device']} ({device['platform']})", flush=True)
        parts = parts_of(_wanted(out, device["platform"]))
        unknown = set(_ONLY.value) - {part.name for part in parts}
        if unknown:
            names = ", ".join(part.name for part in parts)
            raise ValueError(f"only: unknown {min(unknown)!r}; known: {names}")
        run_parts(
            [part for part in parts if not _ONLY.value or part.name in _ONLY.value],
            60 * _MINUTES.value,
            Rows(out / "rows.jsonl", {"device": device}),
            functools.partial(run_process, logs=out / "logs"),
            tell=functools.partial(print, flush=True),
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
