"""Every launcher knows at once where it cannot write.

The launchers run in one process of their own, each without the flags of the others.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from experiments.common import run_folder
from experiments.common.array_files import read_array, read_arrays
from experiments.study import launch

ROOT = pathlib.Path(__file__).parents[2]

# Loading, reading and training count as work. Prints what each run ends with.
DRIVER = """
import importlib, json, sys
from absl import flags
from absl.testing import flagsaver
from robustjax import data
from robustjax.training import StopRequest

def work(*args, **kwargs):
    raise AssertionError("work began")

for name in ("load", "load_npz", "load_located_npz", "compose_digits", "read_csv"):
    setattr(data, name, work)
from experiments.common import array_files
array_files.read_arrays = work

for launcher, arguments in json.loads(sys.argv[1]):
    own = flags.FLAGS.flags_by_module_dict()
    for module in [name for name in own if name.startswith("experiments")]:
        for flag in list(own[module]):
            delattr(flags.FLAGS, flag.name)
    sys.modules.pop(f"experiments.{launcher}", None)
    module = importlib.import_module(f"experiments.{launcher}")
    try:
        flags.FLAGS([launcher, *arguments])
        module.main(StopRequest())
        print(json.dumps("fine"))
    except (ValueError, AssertionError, flags.Error) as error:
        print(json.dumps(str(error)))
"""
STUDIES = (
    *("label_correction", "diffusion_study", "learn_features"),
    *("label_noise", "pruning", "active_learning"),
    "features",
)


def test_every_launcher_checks_its_outputs_before_it_works(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "ring").symlink_to("ring")
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    file, data = f"{tmp_path}/file", f"--dataset={tmp_path}/x.npy"
    blocked = f"cannot use '{file}"
    cases = [(study, [f"--run_dir={file}"], f"run_dir: {blocked}") for study in STUDIES]
    cases += [
        (
            "label_correction",
            ["--features=resnet18", "--weights=w.npz", f"--feature_cache={file}",
             f"--run_dir={tmp_path}/runs"],
            f"feature_cache: {blocked}",
        ),
        ("correct_labels", [data, f"--folder={file}"], f"folder: {blocked}"),
        (
            "label_open_set",
            [data, "--classes=owl,crow", f"--folder={file}"],
            f"folder: {blocked}",
        ),
    ]  # fmt: skip
    places = {
        "folder": "is a folder, expected a file",
        "ring": "is a symbolic link in a ring",
        "absent/a.csv": "does not exist",
        "x.npy": "which would be overwritten",
    }
    for place, message in places.items():
        out = f"{tmp_path}/{place}"
        cases += [
            ("label_issues", [data, f"--out={out}"], message),
            ("prune_data", [f"--features={tmp_path}/x.npy", "--fraction=0.5",
             "--method=k_center", f"--out={out}"], message),
            ("label_issues", [data, f"--out={tmp_path}/good.csv",
             f"--save_pred_probs={out}"], message),
        ]  # fmt: skip
    same = f"{tmp_path}/same"
    cases += [
        ("label_issues", [data, f"--out={same}", f"--save_pred_probs={same}"],
         "save_pred_probs: .*is also out"),
        ("benchmarks.mlp_step", [f"--out_dir={file}"], f"out_dir: {blocked}"),
        # And with good ones the work begins.
        ("label_issues", [data, f"--out={same}"], "work began"),
        ("label_noise", [f"--run_dir={tmp_path}/runs"], "work began"),
    ]  # fmt: skip
    before = sorted(os.listdir(tmp_path))
    runs = json.dumps([case[:2] for case in cases])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, runs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    ends = [json.loads(line) for line in done.stdout.splitlines() if line[0] == '"']
    assert len(ends) == len(cases)
    for (launcher, arguments, message), end in zip(cases, ends):
        assert all(part in end for part in message.split(".*")), (
            launcher,
            arguments,
            end,
        )
        assert "\n" not in end
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "file").read_text() == "mine"


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 2


def test_foreign_files_in_a_run_folder_do_no_harm(tmp_path):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    for name in (".DS_Store", "Thumbs.db", "._x", "config.json.1.partial"):
        (folder / name).write_bytes(b"\xff")
    run_folder.check_run_folder(str(tmp_path / "runs"), "mine", Config())
    assert not (folder / "config.json").exists()
    assert run_folder.open_run_folder(str(folder.parent), "mine", Config()) == folder
    again = run_folder.check_run_folder(str(folder.parent), "mine", Config())
    assert again == folder
    with pytest.raises(ValueError, match=r"other flags \(epochs was 2, is 3\)"):
        run_folder.check_run_folder(str(folder.parent), "mine", Config(3))
    other = tmp_path / "runs" / "other"
    other.mkdir()
    (other / "notes.txt").write_text("x")
    with pytest.raises(
        ValueError, match=r"is not empty but .* \(it holds 'notes.txt'\)"
    ):
        run_folder.check_run_folder(str(folder.parent), "other", Config())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"config": 3}', b"\xff"])
def test_damaged_run_folders_are_named(tmp_path, content):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match="run_dir: .*config.json' cannot be read as"):
        run_folder.check_run_folder(str(tmp_path), "mine", Config())


def test_files_that_fail_later_end_in_one_line(tmp_path, monkeypatch, capsys):
    def fails(stop):
        (tmp_path / "absent" / "summary.csv").write_text("x")

    monkeypatch.setattr(launch.app, "run", lambda run, flags_parser: run(["launcher"]))
    monkeypatch.setattr(launch, "enable_compilation_cache", lambda: None)
    monkeypatch.setattr(launch, "start_processes", lambda: None)
    with pytest.raises(SystemExit) as end:
        launch.launch(fails)
    assert end.value.code == 1
    message = capsys.readouterr().err
    assert message == (
        f"error: '{tmp_path}/absent/summary.csv': No such file or directory\n"
    )


def test_arrays_of_flags(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6.0, dtype=">f8").reshape(3, 2, order="F"))
    got = read_array(tmp_path / "a.npy", "features")
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, np.arange(6.0).reshape(3, 2, order="F"))
    np.save(tmp_path / "r.npy", np.zeros(3, [("x", float)]))
    with pytest.raises(ValueError, match="features: .* its array holds records of x"):
        read_arrays(tmp_path / "r.npy", "features")
