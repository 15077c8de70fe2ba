"""The command: bad input in a line, and processes that are killed and continued."""

from __future__ import annotations

import contextlib
import csv
import json
import multiprocessing
import os
import pathlib
import runpy
import shutil
import signal
import sys
import time

import pytest

from experiments.sweeping import engines
from experiments.sweeping.config import SweepConfig
from experiments.sweeping.folder import SweepFolder, sweep_path
from experiments.sweeping.launchers import known_launchers
from tests.harness.toy_points import run_toy, toy_points

TOY = "--study=tests.harness.toy_launcher"


class Command:
    """The command in a process that is forked from one that has imported it."""

    def __init__(self, folder, *arguments, path=None):
        self._paths = [folder / name for name in ("out.txt", "err.txt")]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["experiments.sweeping.command", "tests.harness.toy_study", __name__]
        )
        self.process = context.Process(
            target=_main,
            args=([str(a) for a in arguments], path, *map(str, self._paths)),
        )
        self.process.start()

    def wait(self):
        self.process.join()
        return self.process.exitcode, *self.read()

    def read(self):
        return [path.read_text() if path.exists() else "" for path in self._paths]


def _main(arguments, path, *paths):
    # What the server has that the process is forked from is not what a test has set.
    if path is not None:
        os.environ["PATH"] = path
    for number, path in enumerate(paths, 1):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    sys.argv = ["experiments.sweep", *arguments]
    runpy.run_module("experiments.sweep", run_name="__main__", alter_sys=True)


def command(folder, *arguments, path=None):
    folder.mkdir(parents=True, exist_ok=True)
    flags = (*arguments, f"--run_dir={folder / 'runs'}")
    return Command(folder, *flags, path=path).wait()


BAD = [
    ((), "study: got none, expected one of active_learning, "),
    (
        ("--study=label_nois",),
        "study: unknown 'label_nois' (did you mean 'label_noise'",
    ),
    (("--study=no.such.module",), "study: cannot import 'no.such.module': No module"),
    (("--study=robustjax.checks",), "study: 'robustjax.checks' names 0 studies and 0"),
    ((TOY,), "grid: got none of --grid and --points, expected one"),
    ((TOY, "--grid=rate=0.1", "--points=x"), "grid: got both of --grid and --points"),
    ((TOY, "--grid="), "grid: got none, expected name=value,value; …"),
    ((TOY, "--grid=rat=0.1"), "grid: flag: unknown 'rat' (did you mean 'rate'"),
    ((TOY, "--grid=rate=x"), "grid: at rate=x: rate: got x, expected a number"),
    ((TOY, "--grid=rate=0.2,0.20"), "grid: rate=0.20 and rate=0.2 are the same run"),
    ((TOY, "--grid=rate=0.1", "--rate=y"), "rate: got y, expected a number"),
    ((TOY, "--grid=rate=0.1", "--seeds=1,1"), "seeds: got one twice"),
    ((TOY, "--grid=seed=1", "--seeds=2"), "seeds: the points have seeds of their own"),
    ((TOY, "--grid=rate=0.1", "--sed=1"), "Unknown command line flag 'sed'"),
    (
        (TOY, "--grid=rate=0.1", "--mark=rate=3"),
        "mark: got rate=3, expected one of 0.1",
    ),
    ((TOY, "--grid=rate=0.1", "--mark=size=3"), "mark: unknown 'size'; known: rate"),
    ((TOY, "--grid=rate=0.1", "--baseline=rate=3"), "baseline: got rate=3, expected"),
    ((TOY, "--grid=rate=0.1", "--over=rat"), "over: unknown 'rat'"),
    ((TOY, "--grid=rate=0.1", "--measure=lost"), "measure: unknown 'lost' (did you m"),
    (
        (TOY, "--grid=rate=0.1; methods=ce,elr", "--methods=elr"),
        "grid: got methods, which --methods gives to all points, expected it once",
    ),
    ((TOY, "--grid=rate=0.1", "--engine=lokal"), "engine: unknown 'lokal'"),
    ((TOY, "--grid=rate=0.1", "--address=a:1"), "address: got a:1 with engine=local"),
    ((TOY, "--grid=rate=0.1", "--resources=x"), "resources: got x with engine=local"),
    ((TOY, "--grid=rate=0.1", "--name=../x"), "name: got '../x', "),
    ((TOY, "--grid=rate=0.1", "--coordinator=a:1"), "coordinator: a point of a sweep"),
    ((TOY, "--grid=rate=0.1", "--jobs=x"), "jobs: got x, expected an integer"),
    (
        (TOY, "--grid=rate=0.1", "--pack=2"),
        "pack: got 2 with tests.harness.toy_launcher, which trains in other ways",
    ),
    (
        (TOY, "--grid=rate=0.1", "--pack=2", "--engine=ray"),
        "pack: got 2 with engine=ray, expected it with local",
    ),
    (("--best=last",), "best: got no --name, expected that of a sweep"),
    (("--best=last", "--name=none"), "name: there is no sweep 'none'"),
]


def test_bad_input_is_one_line(tmp_path):
    for number, (arguments, line) in enumerate(BAD):
        folder = tmp_path / str(number)
        status, out, errors = command(folder, *arguments)
        assert (status, out) == (2, ""), (arguments, errors)
        (only,) = errors.splitlines()
        assert only.startswith(f"error: {line}"), only
        assert not (folder / "runs").exists(), arguments


def test_machines_that_are_not_there(tmp_path):
    pytest.importorskip("submitit", reason="needs the extra `slurm`")
    grid = (TOY, "--grid=rate=0.1", "--engine=slurm")
    for arguments, line in (
        ((), "resources: got time=none, expected minutes per point"),
        (("--resources=time=long",), "resources: got time=long, expected minutes"),
        (("--resources=tim=1",), "resources: unknown 'tim' (did you mean 'time'?)"),
        (("--resources=time=5",), "engine: got slurm, but this machine has no sbatch"),
    ):
        status, _, errors = command(tmp_path, *grid, *arguments, path=str(tmp_path))
        assert (status, len(errors.splitlines())) == (2, 1), errors
        assert errors.startswith(f"error: {line}")
    assert not (tmp_path / "runs").exists()
    status, out, _ = command(tmp_path, *grid, "--resources=time=5", "--dry_run")
    assert status == 0
    for line in ("--array=0-0%1", "--no-requeue", "--time=5"):
        assert f"#SBATCH {line}\n" in out


def test_a_cluster_that_takes_no_jobs_ends_in_a_line(tmp_path):
    pytest.importorskip("submitit", reason="needs the extra `slurm`")
    for name in ("sbatch", "srun", "sacct"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f"#!/bin/sh\necho '{name}: error: no controller' >&2\nexit 1\n"
        )
        program.chmod(0o755)
    flags = (TOY, "--grid=rate=0.1", "--engine=slurm", "--resources=time=5")
    status, _, errors = command(tmp_path, *flags, path=str(tmp_path / "bin"))
    line = "engine: got slurm, which does not take jobs: sbatch: error: no controller"
    # SLURM's own words come first.
    said = ["sbatch: error: no controller", f"error: {line}"]
    assert (status, errors.splitlines()) == (2, said)


def test_a_ray_cluster_that_does_not_answer(tmp_path):
    pytest.importorskip("ray", reason="needs the extra `ray`")
    status, _, errors = command(
        tmp_path, TOY, "--grid=rate=0.1", "--engine=ray", "--address=127.0.0.1:1"
    )
    assert (status, len(errors.splitlines())) == (2, 1)
    assert errors.startswith(
        "error: address: got 127.0.0.1:1, expected that of a runni"
    )


def test_missing_extras_are_named(tmp_path, monkeypatch):
    for engine, module in (("ray", "ray"), ("slurm", "submitit")):
        # As for a module that is not there.
        monkeypatch.setitem(sys.modules, module, None)
        config = SweepConfig(engine=engine, resources="time=1")
        with pytest.raises(ValueError, match=rf"pip install 'robustjax\[{engine}\]'"):
            engines.make(config, tmp_path, None)


def test_a_folder_of_another_version_stops_the_sweep_before_it_runs(tmp_path):
    one, two = toy_points(tmp_path / "runs", "rate=0.2,0.5")
    run_toy(one)
    shutil.copytree(one.folder, two.folder)
    status, _, errors = command(tmp_path, TOY, "--grid=rate=0.2,0.5")
    assert status == 2
    (line,) = errors.splitlines()
    assert "holds a run with other flags (rate was 0.2, is 0.5)" in line
    shutil.rmtree(two.folder)
    (two.folder / "config.json").parent.mkdir()
    (two.folder / "config.json").write_text("{}")
    status, _, errors = command(tmp_path, TOY, "--grid=rate=0.2,0.5", "--dry_run")
    assert status == 2
    assert "cannot be read as a run's configuration" in errors


def test_every_launcher_can_be_swept(tmp_path):
    assert {"label_noise", "label_correction", "pruning"} <= set(known_launchers())
    for name in known_launchers():
        folder = tmp_path / name
        status, out, errors = command(
            folder, f"--study={name}", "--grid=repeats=1,2", "--dry_run"
        )
        assert (status, errors) == (0, ""), (name, errors)
        assert "2 points: 2 new, 0 running, 0 interrupted, 0 finished" in out, name
        assert not (folder / "runs").exists()


def finish(tmp_path, *arguments):
    """Runs the points of a grid in this process, as if a sweep had."""
    (grid,) = (a for a in arguments if a.startswith("--grid="))
    for point in toy_points(tmp_path / "runs", grid.removeprefix("--grid=")):
        run_toy(point)


def test_tables_and_choices_of_a_sweep_with_nothing_left_to_run(tmp_path):
    grid = "--grid=rate=0.2,0.5;methods=ce,gce"
    finish(tmp_path, grid)
    named = (TOY, grid, "--name=s", "--baseline=method=ce", "--mark=rate=0.5")
    status, out, errors = command(tmp_path, *named)
    assert (status, errors) == (0, "")
    assert "4 of 4 points are finished" in out
    path = tmp_path / "runs" / "sweeps" / "s"
    names = {p.name for p in path.iterdir()}
    assert names == {"sweep.json", "results.csv", "summary.csv", "sweep.png"}
    before = {name: (path / name).read_bytes() for name in names}
    assert command(tmp_path, *named)[0] == 0
    assert {name: (path / name).read_bytes() for name in names} == before
    status, out, _ = command(tmp_path, "--name=s", "--best=last", "--per=method")
    assert status == 0
    assert len(out.split("\n\n")[1].splitlines()) == 4
    record = json.loads((path / "sweep.json").read_text())
    assert record["mark"] == {"rate": "0.5"}
    for point in record["points"]:
        assert (path / point["folder"] / "config.json").is_file()
    status, _, errors = command(tmp_path, TOY, "--grid=rate=0.7", "--name=s")
    assert status == 2
    assert "points that are not among these" in errors


def pids_of(run_dir):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode().split("\0")
            if f"--run_dir={run_dir}" in words and "-S" not in words:
                found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_a_killed_sweep_takes_its_jobs_with_it_and_is_continued(tmp_path):
    run_dir = tmp_path / "runs"
    flags = (TOY, "--grid=rate=0.2,0.13,0.5", "--nofast", "--name=s", "--jobs=2")
    first = Command(tmp_path, *flags, "--epochs=300", f"--run_dir={run_dir}")
    began = time.monotonic()
    while not list(run_dir.glob("toy/*/metrics.jsonl")):
        assert time.monotonic() - began < 240, first.read()
        time.sleep(0.1)
    jobs = pids_of(run_dir)
    assert jobs
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.join()
    while pids_of(run_dir):
        assert time.monotonic() - began < 240
        time.sleep(0.1)
    # Three records are soon there; what fails is one point's own.
    status, out, errors = command(tmp_path, *flags, "--epochs=3", "--name=t")
    assert status == 1
    assert "rate: got 0.13, expected more luck" in errors
    assert errors.splitlines()[-1] == "error: 1 of 3 points failed"
    assert "2 of 3 points are finished" in out
    folder = SweepFolder.read(sweep_path(str(run_dir), "t"))
    with open(folder.path / "results.csv", newline="") as file:
        assert {row["rate"] for row in csv.DictReader(file)} == {"0.2", "0.5"}
    # Asked to stop, it asks its jobs, and says how to go on.
    third = Command(tmp_path, *flags, "--epochs=300", f"--run_dir={run_dir}")
    while not pids_of(run_dir):
        time.sleep(0.1)
    os.kill(third.process.pid, signal.SIGTERM)
    status, _, errors = third.wait()
    assert status == 143
    assert errors.splitlines()[-1].startswith("stopped by SIGTERM; run the same comman")
    assert not pids_of(run_dir)
