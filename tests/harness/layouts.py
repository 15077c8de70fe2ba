"""Every recipe of the registry on 1, 2 and 8 devices, in 1, 2 and 4 processes.

    python -m tests.harness.layouts --recipes=ce,elr,sop

Trains the fifty points of `tests/methods/test_recipe_conformance.py` (of a recipe that
needs images, fifty images) on every layout, padded as its devices ask for, and prints
the largest difference of parameters and per-example rows from one device's, relative to
the largest number. The last column was saved half-way on eight devices of two
processes, and went on on two devices of one. All CPU; processes meet by gloo.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from tests.harness.several_processes import free_address
from tests.printed_tables.cells import RESULTS


class Layout(NamedTuple):
    """Where a training runs.

    Attributes:
      processes: how many.
      devices: of each.
      saves: whether it leaves its state from half-way.
      resumes: whether it trains a second time, from what was saved.
    """

    processes: int
    devices: int
    saves: bool = False
    resumes: bool = False


LAYOUTS = {
    "1x1": Layout(1, 1),
    "2x4": Layout(2, 4, saves=True),
    "1x2": Layout(1, 2, resumes=True),
    "1x8": Layout(1, 8),
    "4x2": Layout(4, 2),
}
"""By processes and devices of each; the first is compared with."""
COLUMNS = ("1x2", "1x8", "2x4", "4x2", "2x4 to 1x2")
LARGEST = 1e-5
KEPT = RESULTS / "layouts" / "differences.csv"
# A last batch of two would be normalised by the two: rounding then grows a hundredfold.
_BATCH = 32
# Nearly all of the time is LLVM's; what it leaves out is the same on every layout.
_QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
)
# What XLA does not know ends the process.
if metadata.version("jax").startswith("0.10."):
    _QUICK += " --xla_cpu_use_fusion_emitters=false"


def _problem(entry: Any, optimizer: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """A recipe with inputs and labels (R, N) to train it on."""
    from robustjax import methods, models
    from tests.methods import test_recipe_conformance as conformance
    from tests.methods.bias import test_bias_swap
    from tests.training import toy

    inputs, labels = toy.arrays()
    images = np.random.default_rng(0).random((toy.N, 14, 14, 3)).astype(np.float32)
    if entry.name == "bias_swap":
        recipe = entry.make(
            test_bias_swap.MODEL,
            optimizer,
            epochs=conformance.EPOCHS,
            networks=test_bias_swap.NETS,
            patches=test_bias_swap.PLAN,
            swap_epochs=1,
            # Adam moves a weight whose gradient is nearly all rounding by a part of a
            # step: one of the generator's was 1e-4 apart at 2e-3, all others 5e-7.
            swap_learning_rate=2e-4,
        )
        return recipe, images, labels
    options = conformance.OPTIONS.get(entry.name, {})
    if entry.name == "hex":
        # An image of one row has no texture: its norm would divide rounding errors.
        model = models.MLP(toy.C, (8,))
        recipe = entry.make(model, optimizer, epochs=conformance.EPOCHS, **options)
        return recipe, images, labels
    if entry.name in conformance.MAKERS:
        recipe = conformance.MAKERS[entry.name](entry, optimizer, **options)
    else:
        recipe = methods.entry(entry.name, entry.family).make(
            conformance.Network(), optimizer, epochs=conformance.EPOCHS, **options
        )
    return recipe, inputs, labels


def train_one(
    entry: Any, layout: Layout, saved: pathlib.Path
) -> Iterator[list[np.ndarray]]:
    """What a recipe has learned: parameters and rows of examples, of all repeats."""
    import jax
    import optax

    import robustjax as rj
    from robustjax import training
    from tests.training import toy

    recipe, inputs, labels = _problem(entry, optax.sgd(0.05, momentum=0.9))
    count = jax.device_count()
    program = training.RecipeProgram(
        recipe,
        rj.ExampleSpec(toy.N, toy.C, pad_to=count),
        batch_size=_BATCH,
        execution=training.choose_execution(convolutional=False),
        mesh=training.data_mesh() if count > 1 else None,
    )
    data = program.make_data(inputs, labels)
    half, examples = recipe.epochs // 2, program.row_spec.num_examples

    def learned(checkpoints: training.CheckpointFolder | None) -> list[np.ndarray]:
        keys = jax.random.split(jax.random.key(0), toy.REPEATS)
        state = training.fit(
            program,
            program.init(keys, inputs),
            data,
            epochs=recipe.epochs,
            checkpoints=checkpoints,
            checkpoint_every_epochs=half,
        )
        rows = training.on_host(state.loss_state.rows)
        leaves = list(jax.tree.leaves(training.on_host(state.params)))
        return leaves + [leaf[:, :examples] for leaf in jax.tree.leaves(rows)]

    yield learned(training.CheckpointFolder(saved) if layout.saves else None)
    if layout.resumes:
        shutil.rmtree(saved / str(recipe.epochs))
        checkpoints = training.CheckpointFolder(saved)
        assert checkpoints.steps() == [half]
        yield learned(checkpoints)


def train_all(root: pathlib.Path, name: str, names: list[str]) -> None:
    """Writes what every recipe has learned, by the first process."""
    import jax

    from robustjax import methods

    for entry in methods.entries(role="recipe"):
        if names and entry.name not in names:
            continue
        recipe = f"{entry.family}-{entry.name}"
        found = train_one(entry, LAYOUTS[name], root / "saved" / recipe)
        try:
            for column, leaves in zip((name, f"2x4 to {name}"), found):
                if jax.process_index() == 0:
                    np.savez(root / column / f"{recipe}.npz", *leaves)
        except Exception:
            # Of all processes alike: the others do not wait for this one.
            traceback.print_exc()


def run(name: str, root: pathlib.Path, recipes: str) -> None:
    """Trains all on a layout, in processes of their own."""
    layout = LAYOUTS[name]
    address = free_address()
    count = f"--xla_force_host_platform_device_count={layout.devices}"
    command = [sys.executable, "-m", "tests.harness.layouts", f"--recipes={recipes}"]
    running = [
        subprocess.Popen(
            [*command, f"--root={root}", f"--place={name};{address};{index}"],
            env={
                **os.environ,
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": f"{count} {_QUICK}",
            },
        )
        for index in range(layout.processes)
    ]
    statuses = [process.wait() for process in running]
    if any(statuses):
        raise SystemExit(f"a process of {name} failed")


def difference(one: pathlib.Path, other: pathlib.Path) -> float:
    """The largest, relative to the largest number where that is above 1."""
    if not other.exists():
        return float("inf")
    with np.load(one) as first, np.load(other) as second:
        return max(
            float(np.abs(first[n].astype(float) - second[n].astype(float)).max())
            / max(1.0, float(np.abs(first[n].astype(float)).max()))
            for n in first.files
            if first[n].size
        )


def keep(found: dict[str, list[float]], path: pathlib.Path) -> None:
    """Writes the differences of recipes, beside those that are there of others."""
    rows = {}
    if path.exists():
        with open(path, newline="") as file:
            rows = {row["recipe"]: row for row in csv.DictReader(file)}
    for recipe, values in found.items():
        cells = {name: f"{value:.1e}" for name, value in zip(COLUMNS, values)}
        rows[recipe] = {"recipe": recipe, **cells}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["recipe", *COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[recipe] for recipe in sorted(rows))


def main() -> None:
    """Prints a line per recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", default="", help="names; by default all")
    parser.add_argument("--out", type=pathlib.Path, default=KEPT, help="a CSV file")
    parser.add_argument("--root", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.place:
        name, address, index = given.place.split(";")
        layout = LAYOUTS[name]
        if layout.processes > 1:
            import jax

            jax.distributed.initialize(address, layout.processes, int(index))
        names = [each for each in given.recipes.split(",") if each]
        train_all(given.root, name, names)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        first = next(iter(LAYOUTS))
        for name in (first, *COLUMNS):
            (root / name).mkdir()
        for name in LAYOUTS:
            run(name, root, given.recipes)
        found = {}
        print("| recipe |", " | ".join(COLUMNS), "|", flush=True)
        for path in sorted((root / first).iterdir()):
            values = [difference(path, root / name / path.name) for name in COLUMNS]
            found[path.stem] = values
            print(f"| {path.stem} |", " | ".join(f"{v:.1e}" for v in values), "|")
    keep(found, given.out)
    bad = [each for each, values in found.items() if max(values) > LARGEST]
    sys.exit(f"more than {LARGEST} apart: {', '.join(bad)}" if bad else 0)


if __name__ == "__main__":
    main()
