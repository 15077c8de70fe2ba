"""Every recipe of the registry on 1, 2 and 8 devices, in 1, 2 and 4 processes.

    python -m tests.harness.layouts --recipes=ce,elr,sop

Trains the fifty points of `tests/methods/test_recipe_conformance.py` for four epochs on
every layout and prints the largest difference of parameters and per-example rows from
one device's, relative to the largest number. All CPU; processes meet by gloo.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import numpy as np

LAYOUTS = {"1x1": (1, 1), "1x2": (1, 2), "1x8": (1, 8), "2x1": (2, 1), "4x1": (4, 1)}
"""Processes by devices of each; the first is compared with."""
_BATCH = 16
# Some recipes draw a number for every row, padding included.
_PAD_TO = 8


def train_all(folder: pathlib.Path, names: list[str]) -> None:
    """Writes what every recipe has learned, by the first process."""
    import jax
    import optax

    import robustjax as rj
    from robustjax import methods, training
    from tests.methods import test_recipe_conformance as conformance
    from tests.training import toy

    count = jax.device_count()
    for entry in conformance.ENTRIES:
        if names and entry.name not in names:
            continue
        options = conformance.OPTIONS.get(entry.name, {})
        optimizer = optax.sgd(0.05, momentum=0.9)
        if entry.name in conformance.MAKERS:
            recipe = conformance.MAKERS[entry.name](entry, optimizer, **options)
        else:
            recipe = methods.entry(entry.name, entry.family).make(
                conformance.Network(), optimizer, epochs=conformance.EPOCHS, **options
            )
        program = training.RecipeProgram(
            recipe,
            rj.ExampleSpec(toy.N, toy.C, pad_to=_PAD_TO),
            batch_size=_BATCH,
            execution=training.choose_execution(convolutional=False),
            mesh=training.data_mesh() if count > 1 else None,
        )
        inputs, labels = toy.arrays()
        data = program.make_data(inputs, labels)
        state = program.init(jax.random.split(jax.random.key(0), toy.REPEATS), inputs)
        for epoch in range(recipe.epochs):
            state, _ = program.at(epoch).epoch(state, data)
        found = training.on_host((state.params, state.loss_state.rows))
        leaves = list(jax.tree.leaves(found[0]))
        leaves += [leaf[:, : toy.N] for leaf in jax.tree.leaves(found[1])]
        if jax.process_index() == 0:
            np.savez(folder / f"{entry.family}-{entry.name}.npz", *leaves)


def run(layout: tuple[int, int], folder: pathlib.Path, recipes: str) -> None:
    """Trains all on a layout, in processes of their own."""
    processes, devices = layout
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    flag = f"--xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-m", "tests.harness.layouts", f"--recipes={recipes}"]
    running = [
        subprocess.Popen(
            [*command, f"--into={folder}", f"--place={address},{processes},{index}"],
            env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flag},
        )
        for index in range(processes)
    ]
    statuses = [process.wait() for process in running]
    if any(statuses):
        raise SystemExit(f"a process of {layout} failed")


def difference(one: pathlib.Path, other: pathlib.Path) -> float:
    """The largest, relative to the largest number where that is above 1."""
    with np.load(one) as first, np.load(other) as second:
        return max(
            float(np.abs(first[n].astype(float) - second[n].astype(float)).max())
            / max(1.0, float(np.abs(first[n].astype(float)).max()))
            for n in first.files
            if first[n].size
        )


def main() -> None:
    """Prints a line per recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", default="", help="names; by default all")
    parser.add_argument("--into", type=pathlib.Path)
    parser.add_argument("--place")
    given = parser.parse_args()
    if given.into is not None:
        address, processes, index = given.place.split(",")
        if int(processes) > 1:
            import jax

            jax.distributed.initialize(address, int(processes), int(index))
        train_all(given.into, [name for name in given.recipes.split(",") if name])
        return
    with tempfile.TemporaryDirectory() as root:
        folders = {name: pathlib.Path(root, name) for name in LAYOUTS}
        for name, folder in folders.items():
            folder.mkdir()
            run(LAYOUTS[name], folder, given.recipes)
        first, *others = folders
        print("| recipe |", " | ".join(others), "|", flush=True)
        for path in sorted(folders[first].iterdir()):
            values = [difference(path, folders[name] / path.name) for name in others]
            print(f"| {path.stem} |", " | ".join(f"{v:.1e}" for v in values), "|")


if __name__ == "__main__":
    main()
