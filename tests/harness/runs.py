"""A small run of every launcher, and processes that run it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.harness import forked, one_context
from tests.harness.garbage import collect_rarely


@dataclasses.dataclass(frozen=True)
class Small:
    """A run of seconds.

    Attributes:
      launcher: the module under `experiments`.
      study: the module of its `STUDY`.
      dataset: name of the data file.
      fields: of its configuration, other than the data set.
      methods: for `--methods`, where that is no field of the configuration.
    """

    launcher: str
    study: str
    dataset: str
    fields: dict[str, Any]
    methods: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """The fields as flags."""
        given = {**self.fields, **({"methods": self.methods} if self.methods else {})}
        return [f"--{name}={_text(value)}" for name, value in given.items()]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


_CORRECTION: dict[str, Any] = {
    "noise_rate": 0.5,
    "budget": 20,
    "batch": 10,
    "repeats": 2,
    "hidden": (8, 8),
    "epochs": 2,
    "batch_size": 16,
    "options": ("alc.neighbors=5",),
}

RUNS = (
    Small(
        "label_noise",
        "experiments.studies.label_noise.study",
        "points",
        {
            "options": ("divide_mix.warmup_epochs=1", "divide_mix.num_views=1"),
            "noise": "symmetric",
            "noise_rate": 0.4,
            "network": "mlp",
            "hidden": (8,),
            "epochs": 4,
            "batch_size": 16,
            "repeats": 2,
            "parallel_repeats": 1,
            "checkpoint_every_epochs": 1,
        },
        ("ce", "elr", "divide_mix"),
    ),
    Small(
        "label_correction",
        "experiments.studies.label_correction.study",
        "points",
        {"methods": ("random", "alc"), **_CORRECTION},
    ),
    Small(
        "diffusion_study",
        "experiments.studies.label_correction.diffusion",
        "points",
        {
            "modes": ("none", "delta"),
            "spaces": ("input",),
            "sizes": (2.0,),
            **_CORRECTION,
        },
    ),
    Small(
        "pruning",
        "experiments.studies.pruning.study",
        "points",
        {
            "methods": ("uniform", "full", "prune4rel_balanced"),
            "fractions": (0.5,),
            "relabeler": "ce",
            "hidden": (8,),
            "epochs": 3,
            "warmup_epochs": 2,
            "batch_size": 16,
            "repeats": 2,
            "threshold": 0.8,
            "checkpoint_every_epochs": 1,
        },
    ),
    Small(
        "active_learning",
        "experiments.studies.active_learning.study",
        "images",
        {
            "num_in_classes": 3,
            "noise_ratio": (0.4,),
            "pool_in": 42,
            "test_count": 20,
            "per_round": 8,
            "rounds": 2,
            "network": "mlp",
            "hidden": (8,),
            "epochs": 2,
            "steps_per_epoch": 3,
            "batch_size": 8,
            "embedding_network": "mlp",
            "embedding_hidden": (6,),
            "embedding_epochs": 1,
            "embedding_batch_size": 35,
            "embedding_optimizer": "adam",
            "embedding_projection": (5, 4),
            "repeats": 2,
        },
        ("random", "mqnet"),
    ),
    Small(
        "features",
        "experiments.studies.features.study",
        "images",
        {
            "ood": ("textures",),
            "network": "mlp",
            "hidden": (8,),
            "epochs": 3,
            "batch_size": 16,
            "num_examples": (16,),
            "repeats": 2,
            "parallel_repeats": 1,
            "watch_every_epochs": 1,
            "checkpoint_every_epochs": 1,
            "ood_count": 40,
            "picture_examples": 12,
            "ood_test_count": 12,
        },
        ("standard", "taufe"),
    ),
    Small(
        "dataset_bias",
        "experiments.studies.dataset_bias.study",
        "gray",
        {
            "methods": ("vanilla", "lff", "jtt"),
            "bias": "colors",
            "aligned_ratio": 0.6,
            "noise_rate": 0.1,
            "network": "mlp",
            "hidden": (8,),
            "epochs": 3,
            "batch_size": 16,
            "repeats": 2,
            "parallel_repeats": 1,
            "checkpoint_every_epochs": 1,
        },
    ),
    Small(
        "instruction_selection",
        "experiments.studies.instruction_selection.study",
        "answers",
        {
            "methods": ("random", "longest", "fp_instruction"),
            "wrong_count": 10,
            "shares": (0.2, 0.5),
            "teacher_noise": (0.0, 1.0),
            "repeats": 2,
        },
    ),
)
"""A run of every launcher that is a study."""


def run_of(launcher: str) -> Small:
    """The run of one launcher."""
    return next(run for run in RUNS if run.launcher == launcher)


def request_of(
    small: Small, paths: dict[str, pathlib.Path], run_dir: pathlib.Path
) -> Any:
    """The same run as a `Request`, for this process."""
    from experiments.study.run import Request

    fields = {"dataset": str(paths[small.dataset]), **small.fields}
    return Request(small.methods, None, fields, str(run_dir), "run")


def write_data(folder: pathlib.Path, *, seed: int = 0) -> dict[str, pathlib.Path]:
    """Writes the data files that the runs read; returns their paths by name."""
    from robustjax import data

    folder.mkdir(parents=True, exist_ok=True)
    rng, gray_rng = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    points, images, gray = {}, {}, {}
    for split, count in (("train", 96), ("test", 48)):
        labels = np.arange(count) % 3
        inputs = rng.normal(size=(count, 6)).astype(np.float32)
        inputs[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
        points[split] = data.make_dataset(inputs, labels)
        labels = np.arange(120) % 6
        pixels = rng.integers(0, 80, (120, 8, 8, 3), np.uint8)
        pixels[np.arange(120), labels] += 150
        images[split] = data.make_dataset(pixels, labels)
        labels = np.arange(100) % 10
        pixels = gray_rng.integers(0, 80, (100, 5, 5, 1), np.uint8)
        pixels[np.arange(100), labels // 5, labels % 5] += 150
        gray[split] = data.make_dataset(pixels, labels)
    paths = {name: folder / f"{name}.npz" for name in ("points", "images", "gray")}
    data.save_npz(paths["points"], **points)
    data.save_npz(paths["images"], **images)
    data.save_npz(paths["gray"], **gray)
    paths["answers"] = folder / "answers.jsonl"
    paths["answers"].write_text(_answers(np.random.default_rng([seed, 2])))
    return paths


def _answers(rng: np.random.Generator, count: int = 60) -> str:
    """Lines in HaluEval's layout, a quarter of them marked."""
    words = np.array([f"word{number}" for number in range(30)])
    rows = [
        {
            "user_query": f"question {number} {' '.join(rng.choice(words, 4))}",
            "chatgpt_response": " ".join(rng.choice(words, number % 7 + 2)),
            "hallucination": "no" if number % 4 else "yes",
        }
        for number in range(count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


def arguments(
    small: Small, paths: dict[str, pathlib.Path], run_dir: pathlib.Path
) -> list[str]:
    """The command line of a run, without the program's name."""
    return [
        f"--dataset={paths[small.dataset]}",
        *small.flags,
        f"--run_dir={run_dir}",
        "--name=run",
    ]


def run_folder(small: Small, run_dir: pathlib.Path) -> pathlib.Path:
    """Where it leaves everything."""
    return run_dir / small.launcher / "run"


class Running:
    """`python -m MODULE …` in a process of its own, forked where JAX is imported."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        output: pathlib.Path,
        fault: Callable[..., None] | None = None,
        **options: Any,
    ):
        """Starts the process.

        Args:
          module: what runs.
          arguments: its command line.
          output: gets what it prints, with the endings `.out` and `.err`.
          fault: called with `options` in the process before the module runs.
          **options: of the fault.
        """
        output.parent.mkdir(parents=True, exist_ok=True)
        paths = [str(output.with_suffix(ending)) for ending in (".out", ".err")]
        self._errors = pathlib.Path(paths[1])
        told = (module, list(arguments), *paths, fault, options)
        self.process = forked.context().Process(target=_main, args=told)
        self.process.start()

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit status, negative for a signal; None if it is still running."""
        self.process.join(seconds)
        return self.process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if it is still running."""
        with contextlib.suppress(ProcessLookupError):
            if self.process.pid is not None and self.process.is_alive():
                os.kill(self.process.pid, number)

    @property
    def errors(self) -> list[str]:
        """The lines on standard error but those of progress bars and warnings."""
        text = self._errors.read_text(errors="replace").replace("\r", "\n")
        return [
            line
            for line in text.splitlines()
            if line.startswith(("error:", "Traceback", "stopped"))
        ]


class Launch(Running):
    """A launcher's small run."""

    def __init__(
        self,
        small: Small,
        paths: dict[str, pathlib.Path],
        run_dir: pathlib.Path,
        fault: Callable[..., None] | None = None,
        **options: Any,
    ):
        """Starts the process; its folder and what it prints are below `run_dir`."""
        super().__init__(
            f"experiments.{small.launcher}",
            arguments(small, paths, run_dir),
            run_dir / small.launcher,
            fault,
            **options,
        )


def _main(
    module: str,
    arguments: list[str],
    output: str,
    errors: str,
    fault: Callable[..., None] | None,
    options: dict[str, Any],
) -> None:
    for number, path in ((1, output), (2, errors)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    collect_rarely()
    one_context.share()
    if fault is not None:
        fault(**options)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def results(folder: pathlib.Path) -> dict[str, bytes]:
    """What must be the same whatever has happened to a run."""
    names = ("summary.csv", "repeats.csv", "examples.csv")
    return {
        name: (folder / name).read_bytes() for name in names if (folder / name).exists()
    }
