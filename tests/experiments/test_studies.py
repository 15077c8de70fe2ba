"""What every study owes its users; `tests.harness` tries more of it."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import random
import shutil

import pytest

from experiments.study.run import run_study
from experiments.study.table import Table
from robustjax.training import InterruptedRunError, StopRequest
from tests.harness.corrupt import damage
from tests.harness.faults import die_in_write
from tests.harness.kill import Whole, trial
from tests.harness.launchers_over_processes import (
    ROUNDING,
    TABLES,
    difference,
    launch,
)
from tests.harness.runs import (
    RUNS,
    Launch,
    request_of,
    results,
    run_folder,
    run_of,
    write_data,
)
from tests.harness.stops import AfterChecks


def run(small, paths, run_dir, stop=None):
    study = importlib.import_module(small.study).STUDY
    run_study(study, request_of(small, paths, run_dir), stop or StopRequest())
    return run_folder(small, run_dir)


@pytest.fixture(scope="module", params=RUNS, ids=lambda small: small.launcher)
def whole(request, tmp_path_factory):
    """(a study, its data, the folder of a finished run)."""
    folder = tmp_path_factory.mktemp(request.param.launcher)
    paths = write_data(folder / "data")
    return request.param, paths, run(request.param, paths, folder / "whole")


def _report(small, folder):
    return importlib.import_module(small.study).STUDY.report(Table.read(folder))


def _is_sentence(line):
    """No row of a table, whose columns have two blanks between them."""
    return "  " not in line.strip() and len(line.split()) >= 5


def test_a_table_is_no_sentence():
    assert not _is_sentence("ce    57.3 ±4.4     60.4 ±0.0      48.7 ±5.6")
    assert not _is_sentence("----  ---------")


@pytest.mark.slow
def test_a_run_leaves_what_it_says(whole):
    small, _, folder = whole
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json",
        "metrics.jsonl",
        "summary.csv",
        "repeats.csv",
        "examples.csv",
        "speed.csv",
    }
    assert any(name.endswith(".png") for name in names)
    assert _is_sentence(_report(small, folder).rstrip().splitlines()[-1])
    assert not list(folder.rglob("*.partial"))
    table = Table.read(folder)
    assert table.record["study"] == folder.parent.name == small.launcher
    with open(folder / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table.settings) > 0
    for row, setting in zip(rows, table.settings):
        for key, values in setting.values.items():
            if row.get(f"{key}_mean"):
                scale = table.measures[key].scale
                mean = values[values == values].mean()
                assert float(row[f"{key}_mean"]) == pytest.approx(
                    scale * mean, abs=1e-4
                )
        assert len(setting.repeats) == int(row["repeats"]) == 2


def test_a_finished_run_stays_as_it_is(whole):
    small, paths, folder = whole
    kept = ("config.json", "metrics.jsonl")
    before = results(folder), {n: (folder / n).stat().st_mtime_ns for n in kept}
    run(small, paths, folder.parents[1])
    after = results(folder), {n: (folder / n).stat().st_mtime_ns for n in kept}
    assert before == after


@pytest.mark.slow
def test_a_stopped_run_continues_to_the_same_bytes(whole, tmp_path):
    small, paths, folder = whole
    with pytest.raises(InterruptedRunError):
        run(small, paths, tmp_path, AfterChecks(3))
    assert results(run(small, paths, tmp_path)) == results(folder)


@pytest.mark.slow
def test_damage_is_mended_or_refused(whole, tmp_path):
    small, paths, folder = whole
    mine = run_folder(small, tmp_path / "damaged")
    shutil.copytree(folder, mine)
    # Whole lines are gone, and one file with what was decided about examples.
    assert damage(mine / "metrics.jsonl", "truncate", random.Random(1))
    assert damage(min(mine.rglob("examples_0.npz")), "delete", random.Random(0))
    assert results(run(small, paths, tmp_path / "damaged")) == results(folder)
    config = folder / "config.json"
    altered = config.read_text().replace('"is_share": true', '"is_share": false')
    mine = run_folder(small, tmp_path / "altered")
    shutil.copytree(folder, mine)
    (mine / "config.json").write_text(altered)
    with pytest.raises(ValueError, match="run_dir: .*was altered"):
        run(small, paths, tmp_path / "altered")


# All launchers are `python -m tests.harness.launchers_over_processes`; these read what
# several devices hold in parts: rows of examples, and states begun elsewhere.
@pytest.mark.slow
@pytest.mark.parametrize(
    "whole",
    [run_of(name) for name in ("label_correction", "features", "dataset_bias")],
    indirect=True,
    ids=lambda small: small.launcher,
)
def test_two_processes_leave_the_tables_of_one(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    small, paths, folder = whole
    assert launch(small, paths, tmp_path, 2) == ""
    two = run_folder(small, tmp_path)
    for name in TABLES:
        assert difference(folder / name, two / name, **ROUNDING) == "", name


def test_other_data_under_the_same_name_are_refused(whole, tmp_path):
    small, paths, folder = whole
    changed = write_data(tmp_path / "data", seed=1)[small.dataset]
    kept = paths[small.dataset].read_bytes()
    paths[small.dataset].write_bytes(changed.read_bytes())
    before = results(folder)
    try:
        with pytest.raises(ValueError, match="dataset: .* is not what the run in"):
            run(small, paths, folder.parents[1])
    finally:
        paths[small.dataset].write_bytes(kept)
    assert results(folder) == before


def test_other_flags_in_the_same_folder_are_refused(whole):
    small, paths, folder = whole
    study = importlib.import_module(small.study).STUDY
    request = request_of(small, paths, folder.parents[1])
    other = {**request.given, "seed": 7}
    with pytest.raises(ValueError, match=r"seed was 0, is 7"):
        run_study(
            study,
            type(request)(request.methods, None, other, request.run_dir, request.name),
            StopRequest(),
        )


@pytest.mark.slow
def test_killed_processes_continue_to_the_same_bytes(tmp_path):
    # All launchers and kinds are `python -m tests.harness.kill`; this is the one method
    # that keeps something from round to round.
    small = run_of("label_correction")
    small = dataclasses.replace(small, fields={**small.fields, "methods": ("alc",)})
    whole, rng, once = Whole(tmp_path), random.Random(0), {"attempts": 1, "writes": 2}
    outcomes = {
        kind: trial(small, kind, whole, tmp_path / f"trial_{kind}", rng, **once)
        for kind in ("journal", "checkpoint", "SIGINT")
    }
    assert all(outcome.fine for outcome in outcomes.values()), outcomes
    # All of them write that often.
    assert outcomes["journal"].what == outcomes["checkpoint"].what == "ended", outcomes


def test_two_processes_in_one_folder_are_one_too_many(tmp_path):
    from experiments.study.run_folder import open_run_folder

    small, paths = run_of("label_noise"), write_data(tmp_path / "data")
    launch = Launch(small, paths, tmp_path, die_in_write, what="journal", number=3)
    assert launch.wait() == -9, "killed, and its lock with it"
    folder = run_folder(small, tmp_path)
    table = Table.read(folder)
    with open_run_folder(folder, table.record):
        assert Launch(small, paths, tmp_path).wait() == 2
    errors = (tmp_path / "label_noise.err").read_text()
    assert "run_dir: another process is at work in" in errors
    assert "Traceback" not in errors
