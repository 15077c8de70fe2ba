"""The few minutes of an accelerator: who runs how long, and what is kept of it."""

import dataclasses
import json
import pathlib
import re
import sys
import time

import numpy as np
import pytest

from experiments.benchmarks.accelerator_parts import Wanted, parts_of
from experiments.benchmarks.carried_images import (
    WORSE,
    joined,
    labels_of,
    pack,
    tiny,
)
from experiments.benchmarks.timed_parts import (
    Outcome,
    Part,
    Rows,
    run_parts,
    run_process,
)
from experiments.studies.dataset_bias.config import DatasetBiasConfig
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.label_noise.config import NoisyLabelsConfig
from robustjax import data

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


class Bench:
    """Fake parts under a fake clock."""

    def __init__(self, takes, path):
        self.now, self.takes, self.limits = 100.0, takes, {}
        self.path = path

    def run(self, part, limit):
        self.limits[part.name] = limit
        wanted = self.takes[part.name]
        self.now += min(wanted, limit)
        if wanted < 0:
            return Outcome("failed", "exit code 1")
        return Outcome("finished" if wanted <= limit else "out of time")

    def measure(self, parts, seconds):
        rows = Rows(self.path, {"device": "fake"})
        quiet = {"clock": lambda: self.now, "tell": lambda line: None}
        run_parts(parts, seconds, rows, self.run, **quiet)
        return read(self.path)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def ended(rows):
    return {row["part"]: row["status"] for row in rows if row["status"] != "begun"}


def test_shares_are_of_what_is_left_and_early_ends_help_the_others(tmp_path):
    bench = Bench({"a": 10, "b": 500, "c": 5}, tmp_path / "rows.jsonl")
    parts = [Part("a", share=2), Part("b", share=1), Part("c", share=1)]
    rows = bench.measure(parts, 400)
    # a: half of 400; b: half of the 390 that a has left; c: all that is left then.
    assert bench.limits == {"a": 200, "b": 195, "c": 195}
    assert ended(rows) == {"a": "finished", "b": "out of time", "c": "finished"}
    assert [row["part"] for row in rows] == ["a", "a", "b", "b", "c", "c"]
    assert all(row["device"] == "fake" for row in rows)


def test_parts_that_cannot_run_cost_nothing_and_say_why(tmp_path):
    bench = Bench({"b": 50}, tmp_path / "rows.jsonl")
    parts = [Part("a", share=9, why_not="no file"), Part("b"), Part("c", why_not="x")]
    rows = bench.measure(parts, 60)
    assert bench.limits == {"b": 60}
    assert ended(rows) == {"a": "skipped", "b": "finished", "c": "skipped"}
    assert rows[0]["detail"] == "no file"


def test_what_is_least_worth_gives_way_when_time_is_short(tmp_path):
    bench = Bench({"a": 99, "b": 99, "c": 99}, tmp_path / "rows.jsonl")
    parts = [Part(name, least=25) for name in "abc"]
    rows = bench.measure(parts, 60)
    # A third of 60 is less than the first part wants; the last one finds 10 s.
    assert bench.limits == {"a": 25, "b": 25}
    assert ended(rows) == {"a": "out of time", "b": "out of time", "c": "skipped"}
    assert rows[-1]["detail"] == "10 s are left, it wants 25"


def test_a_part_that_fails_or_leaves_nothing_readable_stops_no_other(tmp_path):
    def broken():
        raise ValueError("half a file")

    bench = Bench({"a": -1, "b": 1, "c": 1}, tmp_path / "rows.jsonl")
    parts = [Part("a"), Part("b", collect=broken), Part("c", collect=lambda: {"x": 1})]
    rows = bench.measure(parts, 60)
    assert ended(rows) == {"a": "failed", "b": "failed", "c": "finished"}
    last = {row["part"]: row for row in rows}
    assert last["b"]["detail"] == "half a file"
    assert last["c"]["result"] == {"x": 1}


def test_rows_are_on_disk_before_the_next_part_begins(tmp_path):
    path, seen = tmp_path / "rows.jsonl", []
    parts = [Part(name, collect=lambda: {"done": True}) for name in "ab"]

    def run(part, limit):
        seen.append([row["status"] for row in read(path)])
        return Outcome("finished")

    run_parts(parts, 60, Rows(path, {}), run, tell=lambda line: None)
    assert seen == [["begun"], ["begun", "finished", "begun"]]
    with pytest.raises(ValueError, match="parts: got .*each name once"):
        run_parts([Part("a"), Part("a")], 60, Rows(path, {}), run)


@pytest.mark.parametrize(
    ("code", "status", "detail"),
    [
        ("print('fine')", "finished", ""),
        ("print('why'); raise SystemExit(3)", "failed", "exit code 3: why"),
        ("import time; time.sleep(60)", "out of time", ""),
        (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "time.sleep(60)",
            "out of time",
            "",
        ),
    ],
)
def test_processes_end_within_their_limit(tmp_path, code, status, detail):
    part = Part("p", (sys.executable, "-c", code))
    limit = 1.0 if status == "out of time" else 60.0
    start = time.monotonic()
    got = run_process(part, limit, logs=tmp_path)
    assert got == Outcome(status, detail)
    assert time.monotonic() - start < limit + 2


def test_what_a_part_starts_ends_with_it(tmp_path):
    child = (
        "import subprocess, sys, time; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    run_process(Part("p", (sys.executable, "-c", child)), 2.0, logs=tmp_path)
    pid = int((tmp_path / "p.log").read_text())
    state = pathlib.Path(f"/proc/{pid}/stat")
    for _ in range(50):
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the child lives on")


def wanted(tmp_path, **changes):
    images, worse = tiny(tmp_path / "tiny")
    found = Wanted(tmp_path, images, worse, True, False, True, 1)
    return found._replace(**changes)


def test_parts_say_what_they_lack(tmp_path):
    whole = {part.name: part.why_not for part in parts_of(wanted(tmp_path))}
    assert not any(whole.values())
    assert list(whole)[:2] == ["resnet_step", "cifar10_n_worse"]
    bare = parts_of(wanted(tmp_path, images=None, worse=None, on_cpu=True))
    lacking = {part.name for part in bare if part.why_not}
    assert lacking == {
        "cifar10_n_worse",
        "taufe_500",
        "corrupted_cifar10_99",
        "selection_cpu",
    }
    (one,) = (p for p in parts_of(wanted(tmp_path, worse=None)) if p.why_not)
    assert (one.name, "human labels" in one.why_not) == ("cifar10_n_worse", True)


def test_commands_have_flags_that_exist(tmp_path):
    """A wrong flag would cost an accelerator's first minutes."""
    configs = {
        "label_noise": NoisyLabelsConfig,
        "features": FeatureDebiasingConfig,
        "dataset_bias": DatasetBiasConfig,
    }
    checked = 0
    for part in parts_of(wanted(tmp_path)) + parts_of(wanted(tmp_path, tiny=False)):
        module = part.command[2].removeprefix("experiments.")
        if module in configs:
            known = {field.name for field in dataclasses.fields(configs[module])}
            known |= {"run_dir", "name", "preset", "methods"}
        else:
            path = EXPERIMENTS / f"{module.replace('.', '/')}.py"
            known = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', path.read_text()))
            known.add("out_dir")
        given = {flag[2:].partition("=")[0] for flag in part.command[3:]}
        assert given <= known, (part.name, given - known)
        checked += len(given)
    assert checked > 60


@pytest.mark.parametrize("mebibytes", [0.2, 0.5, 10.0])
def test_carried_images_come_back_as_they_were(tmp_path, mebibytes, rng):
    def some(size):
        images = rng.integers(0, 256, (size, 8, 8, 3)).astype(np.uint8)
        return data.make_dataset(images, np.arange(size) % 10)

    train, test = some(2500), some(500)
    worse = (train.labels + 1) % 10
    paths = pack(tmp_path / "packed", train, worse, test, mebibytes)
    assert all(path.stat().st_size < (mebibytes + 0.01) * 2**20 for path in paths)
    assert (len(paths) > 1) == (mebibytes < 1)
    whole = joined([str(path) for path in paths], tmp_path / "whole.npz")
    got = data.load(str(whole), "train"), data.load(str(whole), "test")
    np.testing.assert_array_equal(got[0].inputs, train.inputs)
    np.testing.assert_array_equal(got[0].labels, train.labels)
    np.testing.assert_array_equal(got[1].inputs, test.inputs)
    labels = data.read_csv(tmp_path / "packed" / WORSE, name="worse")
    np.testing.assert_array_equal([int(row["label"]) for row in labels], worse)
    # The first file will do by itself, with its own of the labels.
    first, csv = data.load(str(paths[0]), "train"), tmp_path / "packed" / WORSE
    assert len(data.load(str(paths[0]), "test")) == len(test)
    own = labels_of(paths[0], str(csv), tmp_path / "own.csv")
    labels = data.read_csv(own, name="own")
    assert [int(row["label"]) for row in labels] == worse[: len(first)].tolist()
    assert [row["id"] for row in labels] == [str(n) for n in range(len(first))]
    own.write_text("id,label\n0,1\n")
    with pytest.raises(ValueError, match="worse: .* has no row for .*first: id 1"):
        labels_of(paths[0], str(own), tmp_path / "x.csv")
    with pytest.raises(ValueError, match="worse: got .*expected a CSV file"):
        labels_of(paths[0], str(tmp_path / "none"), tmp_path / "x.csv")
    with pytest.raises(ValueError, match="cifar10: got .*expected an .npz file"):
        joined([str(tmp_path / "none.npz")], tmp_path / "x.npz")
    with pytest.raises(ValueError, match="pack_mebibytes: got 0.01, expected more"):
        pack(tmp_path, train, worse, test, 0.01)
