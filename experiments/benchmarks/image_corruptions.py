"""Image corruptions against the package `imagecorruptions`, image by image.

    python -m experiments.benchmarks.image_corruptions --peer_python=old/bin/python
    python -m experiments.benchmarks.image_corruptions --only=jpeg,fog --severity=3

Both change the same images. Its process is told by `--peer_python` which interpreter to
use, one that has imagecorruptions 1.1 and the packages of its time (with scikit-image
0.24 and NumPy 1.26 it runs, see `imagecorruptions_peer`). "one core" is robustjax held
to a single one, as the package works; without that it uses all. The package has the
parameters of ImageNet-C, we have those of CIFAR-10-C: the work is alike, not the same,
where kernels and repetitions differ (motion, zoom, glass and defocus blur, snow). Its
frost is read from files, ours is computed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks import imagecorruptions_peer
from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import checks, corruption, data

_IMAGES = flags.DEFINE_integer("images", 500, "N.", lower_bound=1)
_SEVERITY = flags.DEFINE_integer("severity", 5, "1 … 5.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds.", lower_bound=1)
_ONLY = flags.DEFINE_list("only", [], "Corruptions to time; by default all.")
_PEER = flags.DEFINE_string(
    "peer_python", sys.executable, "The interpreter that has imagecorruptions."
)
_DATASET = flags.DEFINE_string("dataset", "cifar10", "Where the images are from.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "The tfds folder.")

_THEIR_NAMES = {"jpeg": "jpeg_compression"}


@contextlib.contextmanager
def _peer(images: np.ndarray) -> Iterator[tuple[str, Callable[[str], None]]]:
    """The package's versions, and a function that lets it change all images."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "images.npy")
        np.save(path, images)
        process = subprocess.Popen(
            [_PEER.value, str(imagecorruptions_peer.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(line: str) -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(line + "\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            if not answer:
                raise RuntimeError("imagecorruptions stopped; its error is above")
            return answer

        try:
            yield (
                ask(str(path)),
                lambda name: (ask(f"{name} {_SEVERITY.value}"), None)[1],
            )
        finally:
            process.stdin.close()
            process.wait()


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Holds this thread, and those that it starts, to one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _compare(
    name: str, images: np.ndarray, versions: str, theirs: Callable[[str], None]
) -> None:
    """Times one corruption in turns and writes its file."""
    key = jax.random.key(0)

    def ours() -> None:
        corruption.corrupt_images(images, name, _SEVERITY.value, key)

    def ours_on_one_core() -> None:
        with _one_core():
            ours()

    cases: dict[str, Callable[[], None]] = {
        versions: functools.partial(theirs, _THEIR_NAMES.get(name, name)),
        "robustjax, one core": ours_on_one_core,
        "robustjax": ours,
    }
    times = interleaved(cases, _ROUNDS.value)
    folder = pathlib.Path(OUT_DIR.value) / "image_corruptions"
    report(name, times, versions, folder, units=len(images))


def main(argv: list[str]) -> None:
    """Times every corruption that both have."""
    del argv
    for name in _ONLY.value:
        checks.one_of("only", name, corruption.IMAGE_CORRUPTIONS)
    split = f"test[:{_IMAGES.value}]"
    images = data.load(_DATASET.value, split, data_dir=_DATA_DIR.value).inputs
    print(f"{images.shape} images, severity {_SEVERITY.value}")
    with _peer(images) as (versions, theirs):
        for name in _ONLY.value or corruption.IMAGE_CORRUPTIONS:
            _compare(name, images, versions, theirs)


if __name__ == "__main__":
    app.run(main)
