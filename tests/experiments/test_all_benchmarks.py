"""One command for all benchmarks: what it runs, says and refuses."""

import json
import pathlib
import subprocess

import pytest

from experiments.benchmarks import all_rows
from experiments.benchmarks.speed_rows import SPEED, Speed

ROW = Speed("one thing against another", (("toy", "ours"),), "{:.1f}x", "toy --size=3")
RECORD = {
    "baseline": "theirs",
    "milliseconds": {"theirs": [6.0, 8.0, 30.0], "ours": [3.0, 2.0, 10.0]},
    "versions": {"device": "1 x cpu"},
}


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Benchmarks that leave a file, but for those whose command says --broken."""
    seen = []

    def run(line, **_):
        seen.append(line[2:])
        if "--broken" in line:
            return subprocess.CompletedProcess(line, 1, "", "E\nNo module named 'peer'")
        (tmp_path / "toy.json").write_text(json.dumps(RECORD))
        return subprocess.CompletedProcess(line, 0, "", "")

    monkeypatch.setattr(all_rows.subprocess, "run", run)
    return seen


def test_a_row_says_ratio_spread_rounds_and_device(runs, tmp_path):
    table, failed = all_rows.measure([ROW], [ROW.command], str(tmp_path), 7)
    assert not failed
    assert table == [
        ["one thing against another", "3.0x", "2.00 to 4.00", "3", "1 x cpu"]
    ]
    module, *given = runs[0]
    assert module == "experiments.benchmarks.toy"
    assert given == ["--size=3", "--rounds=7", f"--out_dir={tmp_path}"]


def test_a_row_keeps_its_rounds(runs, tmp_path):
    row = ROW._replace(command="toy --rounds=2")
    all_rows.measure([row], [row.command], str(tmp_path), 0)
    all_rows.measure([row], [row.command], str(tmp_path), 5)
    assert [line[1:-1] for line in runs] == [["--rounds=2"], ["--rounds=5"]]


def test_what_fails_is_named_and_the_others_go_on(runs, tmp_path):
    broken = ROW._replace(command="other --broken")
    table, failed = all_rows.measure(
        [broken, ROW], [broken.command, ROW.command], str(tmp_path), 0
    )
    assert failed == ["other --broken: No module named 'peer'"]
    assert len(table) == 1
    assert len(runs) == 2


def test_names_of_benchmarks():
    every = all_rows.commands(SPEED)
    assert all_rows.chosen(["k_center"], every) == ["k_center --rounds=2"]
    with pytest.raises(ValueError, match="only: got 'toi', expected some of"):
        all_rows.chosen(["toi"], every)


def test_every_row_has_a_benchmark_with_rounds():
    folder = pathlib.Path(all_rows.__file__).parent
    for command in all_rows.commands(SPEED):
        source = (folder / f"{command.split()[0]}.py").read_text(encoding="utf-8")
        assert '"rounds"' in source, command
