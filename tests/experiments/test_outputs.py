"""Every launcher knows at once where it cannot write, and whose a run folder is.

The launchers run in one process of their own, each without the flags of the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal

import numpy as np
import pytest

from experiments.study import launch
from experiments.study.run_folder import (
    check_run_folder,
    data_digests,
    open_run_folder,
    run_folder_path,
)
from robustjax.tools.array_files import read_array, read_arrays
from tests.harness.forked import Command, python

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
    *("label_correction", "diffusion_study", "label_noise", "pruning"),
    *("active_learning", "features", "dataset_bias", "instruction_selection"),
)


def test_every_launcher_checks_its_outputs_before_it_works(tmp_path):
    (tmp_path / "file").write_text("mine")
    file = f"{tmp_path}/file"
    blocked = f"cannot use '{file}"
    cases = [(study, [f"--run_dir={file}"], f"run_dir: {blocked}") for study in STUDIES]
    cases += [
        (
            "label_correction",
            ["--features=resnet18", "--weights=w.npz", f"--feature_cache={file}",
             f"--run_dir={tmp_path}/runs"],
            f"feature_cache: {blocked}",
        ),
    ]  # fmt: skip
    cases += [
        ("benchmarks.mlp_step", [f"--out_dir={file}"], f"out_dir: {blocked}"),
        # And with good ones the work begins.
        ("label_noise", [f"--run_dir={tmp_path}/runs"], "work began"),
    ]
    before = sorted(os.listdir(tmp_path))
    runs = json.dumps([case[:2] for case in cases])
    done = python("-c", DRIVER, runs)
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


RECORD = {"config": {"epochs": 2}, "data": {"images": "1a", "labels": "2b"}}


def test_foreign_files_in_a_run_folder_do_no_harm(tmp_path):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    foreign = {".DS_Store", "Thumbs.db", "._x"}
    for name in (*foreign, "config.json.1.partial"):
        (folder / name).write_bytes(b"\xff")
    check_run_folder(folder, RECORD["config"])
    assert not (folder / "config.json").exists()
    for _ in range(2):
        with open_run_folder(folder, RECORD) as found:
            assert found == folder
        # What a killed process was writing is swept up.
        assert {path.name for path in folder.iterdir()} == {*foreign, "config.json"}
    with pytest.raises(ValueError, match=r"other flags \(epochs was 2, is 3\)"):
        check_run_folder(folder, {"epochs": 3})
    other = tmp_path / "runs" / "other"
    other.mkdir()
    (other / "notes.txt").write_text("x")
    with pytest.raises(
        ValueError, match=r"is not empty but .* \(it holds 'notes.txt'\)"
    ):
        check_run_folder(other, RECORD["config"])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"config": 3}', b"\xff"])
def test_damaged_run_folders_are_named(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match="run_dir: .*config.json' cannot be read as"):
        check_run_folder(tmp_path, RECORD["config"])


def test_an_altered_configuration_is_refused(tmp_path):
    with open_run_folder(tmp_path, RECORD):
        path = tmp_path / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"epochs": 2', '"epochs": 3'))
    for epochs in (2, 3):
        with pytest.raises(ValueError, match="config.json' .* or was altered; remove"):
            check_run_folder(tmp_path, {"epochs": epochs})
    path.write_text(text)
    check_run_folder(tmp_path, RECORD["config"])


def test_other_data_than_the_run_was_begun_with_are_refused(tmp_path):
    images, labels = np.zeros((4, 2), np.float32), np.arange(4)
    arrays = {"images": images, "labels": labels, "boxes": None}
    record = {**RECORD, "data": data_digests(arrays)}
    assert set(record["data"]) == {"images", "labels"}
    with open_run_folder(tmp_path, record):
        pass
    before = (tmp_path / "config.json").read_bytes()
    for name, changes in (
        ("labels", {"labels": labels[::-1]}),
        ("images", {"images": images.astype(np.float64)}),
        ("images", {"images": None}),
        ("boxes", {"boxes": np.ones((4, 4))}),
    ):
        changed = {**RECORD, "data": data_digests({**arrays, **changes})}
        with (
            pytest.raises(ValueError, match=f"^dataset: {name} is not what") as caught,
            open_run_folder(tmp_path, changed),
        ):
            raise AssertionError("work began")
        assert "\n" not in str(caught.value)
    with open_run_folder(tmp_path, record):
        assert (tmp_path / "config.json").read_bytes() == before


def test_names_stay_inside_the_folder_of_runs(tmp_path):
    home, outside = tmp_path / "runs" / "study", tmp_path / "outside"
    home.mkdir(parents=True)
    outside.mkdir()
    (home / "link").symlink_to(outside)
    (home / "good").mkdir()
    (home / "inner").symlink_to("good")
    root = str(tmp_path / "runs")
    for name in ("", " a", "-a", ".", "..", "~", "../a", str(outside)):
        with pytest.raises(ValueError, match="^name: got .*, expected a name that"):
            run_folder_path(root, "study", name)
    for name in ("a/../../b", "a/../b", "link", "link/a"):
        with pytest.raises(ValueError, match="^name: got .*, which leads out of"):
            run_folder_path(root, "study", name)
    for name in ("good", "new", "inner", "sweep/seed=1"):
        assert run_folder_path(root, "study", name) == home / name


# Takes a run folder, says so, and waits to be killed.
WORKER = """
import json, pathlib, sys, time
from experiments.study.run_folder import open_run_folder

with open_run_folder(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])):
    print("at work", flush=True)
    time.sleep(600)
"""


def test_two_processes_cannot_work_in_one_folder(tmp_path):
    worker = Command("-c", WORKER, str(tmp_path), json.dumps(RECORD))
    try:
        assert worker.stdout.readline() == "at work\n"
        # To look is free.
        check_run_folder(tmp_path, RECORD["config"])
        with (
            pytest.raises(ValueError, match="^run_dir: another process is") as got,
            open_run_folder(tmp_path, RECORD),
        ):
            raise AssertionError("work began")
        assert "\n" not in str(got.value)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    # The lock is gone with the process, and with the end of the block.
    for _ in range(2):
        with open_run_folder(tmp_path, RECORD):
            assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    with contextlib.suppress(KeyError), open_run_folder(tmp_path, RECORD):
        raise KeyError
    with open_run_folder(tmp_path, RECORD):
        pass


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
