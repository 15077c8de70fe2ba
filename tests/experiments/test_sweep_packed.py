"""Points of a sweep that train as one program: each is what it is alone."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from experiments.studies.dataset_bias.config import DatasetBiasConfig
from experiments.studies.dataset_bias.study import STUDY as BIAS_STUDY
from experiments.studies.label_noise.config import NoisyLabelsConfig
from experiments.studies.label_noise.presets import PRESETS
from experiments.studies.label_noise.study import STUDY
from experiments.study.flags import Given, as_flag, read_texts
from experiments.sweeping.folder import SweepFolder, sweep_path
from experiments.sweeping.launchers import Launcher
from experiments.sweeping.packed_process import Point, run_together
from experiments.sweeping.packs import packs_of
from experiments.sweeping.points import resolve_points, state_of
from experiments.sweeping.results import Results
from robustjax.training import StopRequest
from tests.experiments.test_dataset_bias import write_points

LAUNCHER = Launcher("experiments.label_noise", STUDY, NoisyLabelsConfig, PRESETS, ())
SMALL = {
    "epochs": 3,
    "repeats": 1,
    "hidden": (8,),
    "checkpoint_every_epochs": 1,
}
GOOD = [
    {"elr.strength": "1", "learning_rate": "0.05", "seed": "0"},
    {"elr.strength": "3", "learning_rate": "0.02", "seed": "1"},
]
BAD = {"elr.strength": "3", "learning_rate": "1e30", "seed": "0"}
DIVERGED = "error: loss: non-finite in epoch 0, "
SECONDS = 900


class After(StopRequest):
    """Asks to stop at a check."""

    def __init__(self, checks):
        super().__init__()
        self._left = checks

    def agree(self):
        self._left -= 1
        if self._left == 0:
            self.signal_name = "SIGTERM"
        return super().agree()


class Points:
    """Points in a folder, with what each needs to run."""

    def __init__(self, folder, points, **fields):
        swept = {name for point in points for name in point}
        shared = {k: v for k, v in {**SMALL, **fields}.items() if k not in swept}
        given = Given("digits", shared, str(folder / "runs"), None)
        self.folder = folder
        self.resolved = resolve_points(LAUNCHER, points, given, ("elr",))
        self.points = [
            Point(str(folder / f"{each.name}.log"), self._request(each, given))
            for each in self.resolved
        ]
        folder.mkdir(exist_ok=True)

    def _request(self, point, given):
        flags = {name: t for name, t in point.values.items() if "." not in name}
        options = [f"{name}={t}" for name, t in point.values.items() if "." in name]
        fields = {**given.fields, **read_texts(NoisyLabelsConfig, flags)}
        if options:
            fields["options"] = tuple(options)
        return LAUNCHER.request(given._replace(fields=fields), ("elr",), point.name)

    def alone(self):
        for point in self.points:
            run_together(LAUNCHER, [point], StopRequest())

    def together(self, stop=None):
        """What failed; a meeting at which everybody waits would never end."""
        found = []
        stop = stop or StopRequest()
        thread = threading.Thread(
            target=lambda: found.append(run_together(LAUNCHER, self.points, stop)),
            daemon=True,
        )
        thread.start()
        thread.join(SECONDS)
        assert found, "they wait for one another"
        return found[0]

    def log(self, number):
        with open(self.points[number].log) as file:
            return file.read()

    def tables(self):
        folder = SweepFolder.write(sweep_path(str(self.folder), "s"), self.resolved, {})
        results = Results(folder)
        results.write(folder, {}, {})
        return [folder.path / name for name in ("results.csv", "summary.csv")]


def parts(text):
    """The text without its numbers, and the numbers."""
    words = text.replace(",", " ").replace("\n", " \n ").split(" ")
    rest, numbers = [], []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            rest.append(word)
    return rest, numbers


def agree(one, other):
    (names, numbers), (others, found) = parts(one), parts(other)
    assert names == others
    np.testing.assert_allclose(numbers, found, rtol=1e-4, atol=1e-5)


def same_folder(one, other):
    """The same files and the same numbers; times and versions apart."""
    names = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    # Orbax and TensorBoard name files by what is in them, and by the time.
    own = {"checkpoints", "tensorboard"}
    names = [{n for n in found if not own & set(n.parts)} for found in names]
    assert names[0] == names[1]
    for name in ("summary.csv", "repeats.csv"):
        agree((one / name).read_text(), (other / name).read_text())
    records = [
        [json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()]
        for f in (one, other)
    ]
    assert len(records[0]) == len(records[1])
    for first, second in zip(*records):
        assert first.keys() == second.keys()
        for key in set(first) - {"seconds", "sum", "sha256"}:
            agree(json.dumps(first[key]), json.dumps(second[key]))


@pytest.fixture(scope="module", autouse=True)
def _one_device():
    """Points are packed on one device; the tests have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "device_count", lambda: 1)
        patch.delenv("XLA_FLAGS", raising=False)
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    points = Points(tmp_path_factory.mktemp("alone"), GOOD)
    for point in points.points:
        assert run_together(LAUNCHER, [point], StopRequest()) == []
    return points


def check_same(points, alone):
    for number, (one, other) in enumerate(zip(points.resolved, alone.resolved)):
        assert one.name == other.name
        assert state_of(one) == "finished"
        same_folder(one.folder, other.folder)
        # Its own bar, in its own log.
        assert "3/3" in points.log(number)
        assert "\x1b" not in points.log(number)
        assert "not packed with" not in points.log(number)
    for one, other in zip(points.tables(), alone.tables()):
        agree(one.read_text(), other.read_text())


@pytest.mark.slow
def test_points_together_leave_what_they_leave_alone(alone, tmp_path):
    points = Points(tmp_path / "packed", [*GOOD, BAD])
    # What diverges is one point's own.
    assert points.together() == [points.resolved[2].name]
    assert state_of(points.resolved[2]) == "interrupted"
    assert points.log(2).splitlines()[-1].startswith(DIVERGED)
    points.resolved.pop()
    check_same(points, alone)
    # Nothing is trained again, and nobody is waited for.
    assert points.together() == [points.points[2].request.name]


@pytest.mark.slow
def test_stopped_points_go_on_from_where_each_has_come(alone, tmp_path):
    points = Points(tmp_path / "stopped", GOOD)
    # The first to have trained an epoch is not asked to stop yet, the second is.
    failed = points.together(After(2))
    assert sorted(failed) == sorted(p.name for p in points.resolved)
    reached = [
        max(int(p.name) for p in point.folder.glob("elr/*/checkpoints/[0-9]"))
        for point in points.resolved
    ]
    assert sorted(reached) == [1, 2]
    for number in range(2):
        assert points.log(number).splitlines()[-1].startswith("stopped by SIGTERM")
    assert points.together() == []
    check_same(points, alone)


def processes_of(run_dir):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        mine = f"--run_dir={run_dir}" in words and "-S" not in words
        if mine and "experiments.sweeping.packed_process" in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_pack_that_is_killed_is_continued_to_the_same_tables(alone, tmp_path):
    run_dir, points = tmp_path / "runs", tmp_path / "points.jsonl"
    points.write_text("".join(json.dumps(point) + "\n" for point in GOOD))
    command = [
        *(sys.executable, "-m", "experiments.sweep", "--study=label_noise"),
        *("--preset=digits", "--methods=elr", f"--points={points}", "--pack=2"),
        *(as_flag(name, value) for name, value in SMALL.items()),
        *(f"--run_dir={run_dir}", "--name=s", "--jax_platforms=cpu"),
    ]
    sweep = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )

    def epochs(path):
        return path.read_text().count('"event": "epoch"')

    began = time.monotonic()
    while not any(epochs(p) for p in run_dir.glob("label_noise/*/metrics.jsonl")):
        assert sweep.poll() is None
        assert time.monotonic() - began < 2 * SECONDS
        time.sleep(0.02)
    (killed,) = processes_of(run_dir)
    os.kill(killed, signal.SIGKILL)
    out, _ = sweep.communicate(timeout=2 * SECONDS)
    assert sweep.returncode == 0, out
    assert "packed: 2 points, processes: 1" in out
    assert out.count("] died: ") == 2
    assert out.count("] finished: ") == 2
    assert "not packed with" not in out
    folder = sweep_path(str(run_dir), "s")
    for table in alone.tables():
        agree((folder / table.name).read_text(), table.read_text())


@pytest.mark.slow
def test_points_under_bias_together_are_what_they_are_alone(tmp_path):
    launcher = Launcher(
        "experiments.dataset_bias", BIAS_STUDY, DatasetBiasConfig, {}, None
    )
    fields = {
        **write_points(tmp_path),
        **{"methods": ("lff",), "epochs": 2, "repeats": 1, "hidden": (8,)},
    }

    def run(folder, *groups):
        tables = []
        for points in groups:
            requests = [
                launcher.request(
                    Given(None, {**fields, **point}, str(folder), None), (), name
                )
                for name, point in points.items()
            ]
            logs = [str(tmp_path / f"{folder.name}-{r.name}.log") for r in requests]
            own = [Point(*each) for each in zip(logs, requests)]
            assert run_together(launcher, own, StopRequest()) == []
            for log, name in zip(logs, points):
                with open(log) as file:
                    assert "not packed with" not in file.read()
                table = folder / "dataset_bias" / name / "repeats.csv"
                tables.append(table.read_text())
        return tables

    points = {
        "a": {"learning_rate": 0.1, "options": ("lff.q=0.7",)},
        "b": {"learning_rate": 0.02, "options": ("lff.q=0.5",)},
    }
    together = run(tmp_path / "together", points)
    alone = run(tmp_path / "alone", *({n: point} for n, point in points.items()))
    for one, other in zip(together, alone):
        agree(one, other)
    assert together[0] != together[1]


def test_what_is_no_number_keeps_points_apart(tmp_path):
    def apart(*points, size=8, **fields):
        own = Points(tmp_path / "apart", points, **fields).resolved
        packs, names = packs_of(own, size)
        order = [point.name for point in own]
        return [[order.index(p.name) for p in pack] for pack in packs], names

    assert apart(*GOOD, BAD) == ([[0, 1, 2]], [])
    assert apart(*GOOD, BAD, size=2) == ([[0, 1], [2]], [])
    rates = [{"noise_rate": r, "epochs": e} for r in ("0.2", "0.5") for e in ("2", "3")]
    assert apart(*rates) == ([[0, 2], [1, 3]], ["epochs"])
    both = [{"noise": "none"}, {"noise": "symmetric", "hidden": "9"}, {}]
    assert apart(*both) == ([[0], [1], [2]], ["noise", "hidden"])
    # An option that one of them does not have; the others' numbers may differ.
    options = [{"elr.decay": "0.5"}, {"elr.strength": "2"}, {"elr.decay": "0.9"}]
    assert apart(*options) == ([[0, 2], [1]], ["options"])
