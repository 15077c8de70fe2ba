"""What only an accelerator can show, as parts in order of worth.

Each is a command that can be given by itself, too: a benchmark, or a study at the
published scale as far as the time allows.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from typing import Any, NamedTuple

from experiments.benchmarks.timed_parts import Part
from experiments.study.records import EPOCH, read_cells

# What is as small as it goes need not be fast.
_QUICKLY_COMPILED = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
_NO_IMAGES = "no images: give --cifar10 (see --pack)"


class Wanted(NamedTuple):
    """What the parts are made for.

    Attributes:
      out: the folder of everything that they leave.
      images: file of CIFAR-10, or None.
      worse: CSV of its human labels, or None.
      has_torch: PyTorch is there to be compared with.
      on_cpu: there is no accelerator.
      tiny: everything as small as it goes, to see that it runs.
      epochs: of the training under label noise.
    """

    out: pathlib.Path
    images: pathlib.Path | None
    worse: pathlib.Path | None
    has_torch: bool
    on_cpu: bool
    tiny: bool
    epochs: int


def parts_of(wanted: Wanted) -> list[Part]:
    """All parts, those that cannot run with the reason."""
    parts = [
        _step(wanted),
        _label_noise(wanted),
        _selection(wanted, "selection", {}),
        _features(wanted),
        _dataset_bias(wanted),
        _selection(wanted, "selection_cpu", {"JAX_PLATFORMS": "cpu"}),
    ]
    if not wanted.tiny:
        return parts
    return [
        dataclasses.replace(
            part, share=1.0, environment={**part.environment, **_QUICKLY_COMPILED}
        )
        for part in parts
    ]


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"experiments.{name}", *arguments)


def _step(wanted: Wanted) -> Part:
    sizes: tuple[str, ...] = ("--rounds=5",)
    if wanted.tiny:
        sizes = ("--rounds=1", "--steps=1", "--batch_size=4")
    out = wanted.out / "benchmarks"
    return Part(
        "resnet_step" if wanted.has_torch else "resnet_step_without_torch",
        _module("benchmarks.resnet_step", f"--out_dir={out}", *sizes),
        share=1.0,
        least=20,
        collect=lambda: _benchmarks(out, "resnet_step*"),
    )


def _selection(wanted: Wanted, name: str, environment: dict[str, str]) -> Part:
    sizes: tuple[str, ...] = ()
    if wanted.tiny:
        sizes = ("--examples=400", "--dimensions=16", "--queries=5")
    out = wanted.out / name
    same = name == "selection_cpu" and wanted.on_cpu
    return Part(
        name,
        _module("benchmarks.selection_at_scale", f"--out_dir={out}", *sizes),
        share=1.5,
        least=15,
        why_not="it is what `selection` has run: there is no accelerator"
        if same
        else "",
        environment=environment,
        collect=lambda: _benchmarks(out, "*"),
    )


def _study(
    wanted: Wanted, study: str, name: str, share: float, *flags: str, why_not: str = ""
) -> Part:
    runs = wanted.out / "runs"
    command = _module(study, f"--run_dir={runs}", f"--name={name}", *flags)
    return Part(
        name,
        command,
        share=share,
        least=30,
        why_not=why_not,
        collect=lambda: _curves(runs / study / name),
    )


def _label_noise(wanted: Wanted) -> Part:
    why_not = "" if wanted.images else _NO_IMAGES
    if wanted.images and not wanted.worse:
        why_not = "no human labels: give --worse (see --pack)"
    network = ("--network=preact_resnet18", "--augment=crop_flip", "--dtype=bfloat16")
    if wanted.tiny:
        network = ("--network=small_cnn", "--channels=4", "--dtype=bfloat16")
    return _study(
        wanted,
        "label_noise",
        "cifar10_n_worse",
        3.0,
        f"--dataset={wanted.images}",
        "--noise=file",
        f"--noisy_labels={wanted.worse}",
        "--methods=sop_plus",
        "--options=sop_plus.lr_u=10,sop_plus.lr_v=10",
        *network,
        f"--epochs={2 if wanted.tiny else wanted.epochs}",
        "--learning_rate=0.02",
        "--schedule=cosine",
        "--weight_decay=5e-4",
        "--repeats=1",
        "--watch_examples=0",
        "--checkpoint_every_epochs=0",
        why_not=why_not,
    )


def _features(wanted: Wanted) -> Part:
    network = ("--network=resnet18", "--augment=crop_flip", "--epochs=100")
    if wanted.tiny:
        network = ("--network=small_cnn", "--channels=4", "--epochs=1")
    count = 64 if wanted.tiny else 500
    return _study(
        wanted,
        "features",
        "taufe_500",
        1.5,
        f"--dataset={wanted.images}",
        "--methods=standard,taufe",
        f"--num_examples={count}",
        "--learning_rate=0.1",
        "--repeats=1",
        "--watch_every_epochs=1" if wanted.tiny else "--watch_every_epochs=25",
        "--checkpoint_every_epochs=0",
        *network,
        why_not="" if wanted.images else _NO_IMAGES,
    )


def _dataset_bias(wanted: Wanted) -> Part:
    network: tuple[str, ...] = ("--dtype=bfloat16",)
    if wanted.tiny:
        network = ("--network=small_cnn", "--channels=4", "--epochs=1")
        # Of 26 examples of a class 1 % is none.
        network += ("--aligned_ratio=0.9",)
    return _study(
        wanted,
        "dataset_bias",
        "corrupted_cifar10_99",
        1.5,
        "--preset=cifar10_type1_99",
        f"--dataset={wanted.images}",
        "--methods=vanilla,lff",
        "--repeats=1",
        "--watch_every_epochs=1" if wanted.tiny else "--watch_every_epochs=20",
        "--watch_examples=0",
        "--checkpoint_every_epochs=0",
        *network,
        why_not="" if wanted.images else _NO_IMAGES,
    )


def _benchmarks(folder: pathlib.Path, pattern: str) -> dict[str, Any]:
    """The medians of the benchmarks that have written their file."""
    found = {}
    for path in sorted(folder.glob(f"{pattern}.json")):
        record = json.loads(path.read_text())
        found[path.stem] = {
            "median_milliseconds": record["median_milliseconds"],
            "speed_against_baseline": record["speed_against_baseline"],
            "versions": record["versions"],
        }
    return found


def _curves(folder: pathlib.Path) -> dict[str, Any]:
    """What a study has measured so far, by cell: epoch, seconds so far, shares.

    The time is that of the epochs with what was measured after them; that of the first
    one has the compilation in it.
    """
    found: dict[str, Any] = {}
    for cell, records in read_cells(folder).items():
        spent, points = 0.0, []
        for record in (r for r in records if r["event"] == EPOCH):
            spent += record.get("seconds", 0.0)
            measured = record.get("of_repeats")
            if measured:
                point = {key: values[0] for key, values in measured.items()}
                points.append(
                    {"epoch": record["epoch"] + 1, "seconds": round(spent, 2), **point}
                )
        if points:
            found[cell] = points
    return found
