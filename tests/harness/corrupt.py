"""Damages every file of small runs, runs them again, and looks at what comes of it.

    python -m tests.harness.corrupt
    python -m tests.harness.corrupt --damages=16

After damage a run is refused in one line, or it leaves what it had left before.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from tests.harness.faults import die_in_write
from tests.harness.runs import RUNS, Launch, Small, results, run_folder, write_data

DAMAGES = ("truncate", "flip", "delete", "empty", "permute")


def damage(path: pathlib.Path, kind: str, rng: random.Random) -> bool:
    """Damages a file; tells whether there was anything to damage."""
    raw = path.read_bytes()
    if kind == "delete":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncate":
        # Also at the end of a line, where nothing looks torn.
        lines = raw.splitlines(keepends=True)
        whole = rng.random() < 0.5 and len(lines) > 1
        path.write_bytes(
            b"".join(lines[: len(lines) // 2]) if whole else raw[: len(raw) // 2]
        )
    elif kind == "flip":
        if not raw:
            return False
        place = rng.randrange(len(raw))
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    else:
        lines = raw.splitlines(keepends=True)
        shuffled = lines[:]
        rng.shuffle(shuffled)
        if shuffled == lines:
            return False
        path.write_bytes(b"".join(shuffled))
    return True


def targets(
    folder: pathlib.Path, rng: random.Random, most: int
) -> Iterator[pathlib.Path]:
    """Files of a run folder: those at its top, and some of the many below."""
    top = sorted(p for p in folder.iterdir() if p.is_file())
    below = sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and p.parent != folder and "tensorboard" not in p.parts
    )
    yield from (p.relative_to(folder) for p in top)
    yield from sorted(
        p.relative_to(folder) for p in rng.sample(below, min(most, len(below)))
    )


def turns(
    found: Sequence[pathlib.Path], most: int | None
) -> list[tuple[pathlib.Path, str]]:
    """(file, damage): every file once, then again with the next damage, and so on."""
    everything = [
        (target, DAMAGES[(number + shift) % len(DAMAGES)])
        for shift in range(len(DAMAGES))
        for number, target in enumerate(found)
    ]
    return everything[:most]


def outcome_of(
    small: Small,
    paths: dict[str, pathlib.Path],
    run_dir: pathlib.Path,
    wanted: dict[str, bytes],
) -> str:
    """What comes of running a damaged folder: "recovered", "refused", or an error."""
    launch = Launch(small, paths, run_dir)
    status = launch.wait()
    lines = launch.errors
    if status == 0:
        found = results(run_folder(small, run_dir))
        return "recovered" if found == wanted else "ANOTHER RESULT"
    if status in (1, 2) and len(lines) == 1 and lines[0].startswith("error:"):
        return "refused"
    return f"STATUS {status}: {lines[:2]}"


def other_data(
    paths: dict[str, pathlib.Path], folder: pathlib.Path
) -> Iterator[tuple[str, dict[str, pathlib.Path]]]:
    """Data files of the same names with other contents: (what was done, paths)."""
    for what in ("labels permuted", "one input changed", "one test label changed"):
        changed = {}
        for name, path in paths.items():
            if path.suffix != ".npz":
                # Of answers there is only one kind of change, at the place of each.
                lines = path.read_text().splitlines()
                place = len(what) % len(lines)
                lines[place] = lines[place].replace("word", "term")
                changed[name] = folder / what.replace(" ", "_") / path.name
                changed[name].parent.mkdir(parents=True, exist_ok=True)
                changed[name].write_text("\n".join(lines))
                continue
            with np.load(path) as file:
                arrays = dict(file)
            if what == "labels permuted":
                arrays["train_labels"] = arrays["train_labels"][::-1].copy()
            elif what == "one input changed":
                inputs = arrays["train_inputs"].copy()
                inputs.reshape(-1)[7] += 1
                arrays["train_inputs"] = inputs
            else:
                labels = arrays["test_labels"].copy()
                labels[0] = (labels[0] + 1) % 3
                arrays["test_labels"] = labels
            changed[name] = folder / what.replace(" ", "_") / path.name
            changed[name].parent.mkdir(parents=True, exist_ok=True)
            np.savez(changed[name], **arrays)
        yield what, changed


def main(arguments: list[str] | None = None) -> int:
    """Damages everything; returns how often something else came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=4, help="below the top, per run")
    parser.add_argument("--damages", type=int, help="per run folder; by default all")
    parser.add_argument("--launchers", default=",".join(r.launcher for r in RUNS))
    parser.add_argument("--folder", default=None)
    options = parser.parse_args(arguments)
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="corrupt-"))
    paths, rng = write_data(folder / "data"), random.Random(options.seed)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    wrong = 0

    def note(small: Small, what: str, outcome: str) -> None:
        nonlocal wrong
        fine = outcome in ("recovered", "refused")
        wrong += not fine
        counts[small.launcher, outcome if fine else "WRONG"] += 1
        print(f"{small.launcher:18} {what:60} {outcome}", flush=True)

    for small in (r for r in RUNS if r.launcher in options.launchers.split(",")):
        whole, half = folder / "whole", folder / "half"
        if Launch(small, paths, whole).wait() != 0:
            raise RuntimeError(f"{small.launcher} did not run")
        wanted = results(run_folder(small, whole))
        # Dies at its fourth checkpoint: some cells are finished, one is begun.
        Launch(small, paths, half, die_in_write, what="checkpoint", number=4).wait()
        for state in (whole, half):
            base = run_folder(small, state)
            found = list(targets(base, rng, options.files))
            rng.shuffle(found)
            for target, kind in turns(found, options.damages):
                run_dir = folder / "trial"
                shutil.rmtree(run_dir, ignore_errors=True)
                shutil.copytree(base, run_folder(small, run_dir))
                if damage(run_folder(small, run_dir) / target, kind, rng):
                    what = f"{state.name}, {kind} {target}"
                    note(small, what, outcome_of(small, paths, run_dir, wanted))
        for what, changed in other_data(paths, folder / "changed"):
            # The same name: what was there is what the run was begun with.
            run_dir = folder / "trial"
            shutil.rmtree(run_dir, ignore_errors=True)
            shutil.copytree(run_folder(small, half), run_folder(small, run_dir))
            kept = paths[small.dataset].read_bytes()
            paths[small.dataset].write_bytes(changed[small.dataset].read_bytes())
            note(small, f"half, {what}", outcome_of(small, paths, run_dir, wanted))
            paths[small.dataset].write_bytes(kept)
        for kind in DAMAGES:
            run_dir, kept = folder / "trial", paths[small.dataset].read_bytes()
            shutil.rmtree(run_dir, ignore_errors=True)
            shutil.copytree(run_folder(small, half), run_folder(small, run_dir))
            damage(paths[small.dataset], kind, rng)
            what = f"half, {kind} {paths[small.dataset].name}"
            note(small, what, outcome_of(small, paths, run_dir, wanted))
            paths[small.dataset].write_bytes(kept)
    for (launcher, outcome), count in sorted(counts.items()):
        print(f"{launcher:18} {outcome:10} {count}")
    print(f"{sum(counts.values())} damages, {wrong} went wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
