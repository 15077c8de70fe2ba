"""Kills commands that go on where they were, runs them again, and compares.

    python -m tests.harness.kill_tools --trials=40

`correct` and `label` are asked and answered until every example is, by somebody who
knows the right classes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np

from robustjax import data
from tests.harness.kill import Outcome, end, try_all
from tests.harness.runs import Launch, Running, run_folder, run_of, write_data

KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "log", "checkpoint", "file")
# What a command is waited for that was asked to stop.
_PATIENCE_SECONDS = 300.0
_SMALL = ("--hidden=8", "--batch-size=8", "--epochs=3")


class WrongError(Exception):
    """A command did not end, or not go on, as it must."""


@dataclasses.dataclass
class Session:
    """Runs commands to their ends, of which some are ended before and run again.

    Attributes:
      folder: for what they print.
      kind: of the ends; "" for none.
      rng: of the moments.
      seconds: that a command takes, by its place; learned where nothing is ended.
      moments: where commands were ended.
    """

    folder: pathlib.Path
    kind: str = ""
    rng: random.Random = dataclasses.field(default_factory=random.Random)
    seconds: list[float] = dataclasses.field(default_factory=list)
    moments: list[str] = dataclasses.field(default_factory=list)
    _place: int = 0

    def run(self, module: str, *arguments: str) -> None:
        """Runs a command, again where it was ended.

        Raises:
          WrongError: it ends in another way than it must.
        """
        begin = functools.partial(Running, module, arguments, self.folder / "said")
        if self.kind:
            seconds, place = self.seconds[self._place], self._place
            self._place += 1
            ended = end(begin, self.kind, self.rng, seconds, _PATIENCE_SECONDS, 4)
            if ended.status != 0:
                self.moments.append(f"command {place + 1} {ended.moment}")
            if ended.wrong:
                raise WrongError(ended.wrong)
        started = time.monotonic()
        running = begin()
        status = running.wait()
        if not self.kind:
            self.seconds.append(time.monotonic() - started)
        if status != 0:
            raise WrongError(f"status {status}: {running.errors}")


Play = Callable[[Session, pathlib.Path, pathlib.Path], dict[str, bytes]]
"""Runs the commands of a tool; gets a session, the data, and a folder of its own."""


def learn_features(
    session: Session, inputs: pathlib.Path, folder: pathlib.Path
) -> dict[str, bytes]:
    """Learns features of images."""
    session.run(
        *("robustjax", "learn-features", f"--dataset={inputs / 'images.npz'}"),
        *(f"--out={folder / 'features.npz'}", "--channels=4", "--projection=4"),
        *("--epochs=6", "--batch-size=16"),
    )
    return _files(folder)


def correct(
    session: Session, inputs: pathlib.Path, folder: pathlib.Path, *more: str
) -> dict[str, bytes]:
    """Corrects labels, of which one in four is wrong."""
    command = ("correct", f"--dataset={inputs / 'noisy.npz'}", "--batch=20", *more)
    return _answered(session, inputs, folder, command)


def correct_by_alc(
    session: Session, inputs: pathlib.Path, folder: pathlib.Path
) -> dict[str, bytes]:
    """The same by a method that keeps something from round to round."""
    by_alc = ("--method=alc", "--options=alc.neighbors=5")
    return correct(session, inputs, folder, *by_alc)


def label(
    session: Session, inputs: pathlib.Path, folder: pathlib.Path
) -> dict[str, bytes]:
    """Labels a pool of images with a foreign class, by MQNet on embeddings."""
    pool = ("label", f"--dataset={inputs / 'pool.npz'}", "--classes=a,b", "--batch=24")
    network = ("--network=mlp", "--steps-per-epoch=3", "--embedding-network=mlp")
    embedding = (
        *("--embedding-hidden=6", "--embedding-epochs=2", "--embedding-batch-size=16"),
        *("--embedding-projection=5,4", "--embedding-optimizer=adam"),
    )
    return _answered(session, inputs, folder, (*pool, *network, *embedding))


def report(
    session: Session, inputs: pathlib.Path, folder: pathlib.Path
) -> dict[str, bytes]:
    """Makes the report of a run."""
    run = run_folder(run_of("label_correction"), inputs)
    session.run("experiments.report", str(run), f"--output={folder / 'report'}")
    return _files(folder)


TOOLS: dict[str, Play] = {
    "learn-features": learn_features,
    "correct": correct,
    "correct by ALC": correct_by_alc,
    "label": label,
    "report": report,
}


def _answered(
    session: Session,
    inputs: pathlib.Path,
    folder: pathlib.Path,
    command: Sequence[str],
) -> dict[str, bytes]:
    """Asks and answers until nothing is left to ask; what is in the folder then."""
    truth = json.loads((inputs / f"{command[0]}.json").read_text())
    place = folder / "exchange"
    asked: dict[int, list[dict[str, str]]] = {}
    while True:
        session.run("robustjax", *command, *_SMALL, f"--folder={place}")
        answered = {row["id"] for rows in asked.values() for row in rows}
        with open(place / "to_label.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        if len(answered) == len(truth):
            break
        if not rows or answered & {row["id"] for row in rows}:
            raise WrongError(f"asked again: {answered & {row['id'] for row in rows}}")
        asked[len(asked)] = rows
        with open(place / "labeled.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "new_label": truth[row["id"]]} for row in rows)
    questions = json.dumps(asked).encode()
    return {"questions": questions, "labels.csv": (place / "labels.csv").read_bytes()}


def _files(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("said.")
    }


def write_inputs(folder: pathlib.Path) -> None:
    """Writes what the tools read, and who would answer how."""
    paths = write_data(folder)
    if Launch(run_of("label_correction"), paths, folder).wait() != 0:
        raise RuntimeError("label_correction did not run")
    rng = np.random.default_rng(0)
    for name, count, names in (
        ("correct", 40, ("a", "b", "c")),
        ("label", 48, ("a", "b", "ood")),
    ):
        true = np.arange(count) % 3
        ids = [f"{name} {row}" for row in range(count)]
        truth = dict(zip(ids, (names[each] for each in true.tolist())))
        (folder / f"{name}.json").write_text(json.dumps(truth))
        if name == "correct":
            labels = np.where(np.arange(count) % 4, true, (true + 1) % 3)
            points = rng.normal(size=(count, 4)) + 4 * np.eye(3, 4)[true]
            noisy = data.make_dataset(
                points.astype(np.float32), labels, ids=ids, class_names=names
            )
            data.save_npz(folder / "noisy.npz", train=noisy)
        else:
            images = rng.integers(0, 80, (count, 8, 8, 3), np.uint8)
            images[np.arange(count), true] += 150
            np.savez(folder / "pool.npz", inputs=images, ids=np.array(ids))


def main(arguments: list[str] | None = None) -> int:
    """Runs the trials; returns how many went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--folder", default=None)
    options = parser.parse_args(arguments)
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="kill-tools-"))
    chosen, rng = options.tools.split(","), random.Random(options.seed)
    kinds = options.kinds.split(",")
    write_inputs(folder / "inputs")
    whole: dict[str, tuple[dict[str, bytes], list[float]]] = {}

    def attempt(name: str, kind: str, number: int) -> Outcome:
        if name not in whole:
            # The second one has nothing to compile.
            for again in ("first", "whole"):
                place = folder / again / name.replace(" ", "_")
                session = Session(place)
                found = TOOLS[name](session, folder / "inputs", place)
                whole[name] = found, session.seconds
        wanted, seconds = whole[name]
        place = folder / f"trial_{number}"
        return _trial(name, kind, wanted, seconds, folder, place, rng)

    return try_all(options.trials, chosen, kinds, attempt, "commands")


def _trial(
    name: str,
    kind: str,
    wanted: dict[str, bytes],
    seconds: list[float],
    folder: pathlib.Path,
    place: pathlib.Path,
    rng: random.Random,
) -> Outcome:
    session = Session(place, kind, rng, seconds)
    try:
        found = TOOLS[name](session, folder / "inputs", place)
    except WrongError as error:
        return Outcome(str(error), tuple(session.moments))
    different = [n for n in {**wanted, **found} if wanted.get(n) != found.get(n)]
    if different:
        what = f"other results: {', '.join(different)}"
        return Outcome(what, tuple(session.moments))
    shutil.rmtree(place)
    return Outcome("ended" if session.moments else "too late", tuple(session.moments))


if __name__ == "__main__":
    sys.exit(min(main(), 1))
