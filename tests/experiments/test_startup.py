"""How many programs a study compiles: every one is something to wait for."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from experiments import benchmarks

COUNTER = pathlib.Path(benchmarks.__file__).parent / "counted_programs.py"


def programs_of(tmp_path, *command):
    record = tmp_path / "programs.json"
    arguments = [str(COUNTER), str(record), *command, f"--run_dir={tmp_path}"]
    found = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return [name for name, _ in json.loads(record.read_text())["programs"]]


@pytest.mark.slow
def test_label_correction_compiles_no_more_than_it_must(tmp_path):
    names = programs_of(
        tmp_path,
        "experiments.label_correction",
        "--preset=digits",
        "--methods=random,entropy,alc",
        *("--repeats=2", "--hidden=8", "--epochs=1", "--budget=20", "--batch=10"),
    )
    # 25 when this was written: two kinds of training and three selections.
    assert len(names) <= 30, names
    assert names.count("jit(_drawn)") == 1, "networks are drawn by one program"
    assert names.count("jit(_scan_epoch)") == 2
