"""Every verb knows at once where it cannot write, before it reads anything."""

from __future__ import annotations

import os

import numpy as np

from robustjax import data
from robustjax.tools.verbs import find_bias, find_issues, keep
from tests.harness.tool_runs import endings


def test_every_verb_checks_its_outputs_before_it_works(tmp_path, monkeypatch):
    def work(*args, **kwargs):
        raise ValueError("work began")

    for name in ("load", "load_npz", "read_csv"):
        monkeypatch.setattr(data, name, work)
    monkeypatch.setattr(keep, "read_rows", work)
    for module in (find_issues, find_bias):
        monkeypatch.setattr(module, "load_labeled", work)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "ring").symlink_to("ring")
    np.save(tmp_path / "x.npy", np.zeros((4, 2)))
    file, x = tmp_path / "file", tmp_path / "x.npy"
    blocked = f"cannot use '{file}"
    pool = {"dataset": x, "classes": "owl,crow", "folder": file}
    cases = [
        ("correct", {"dataset": x, "folder": file}, f"folder: {blocked}"),
        ("find-bias", {"dataset": x, "out": file}, f"out: {blocked}"),
        ("label", pool, f"folder: {blocked}"),
        ("learn-features", {"out": tmp_path / "folder"}, "out: "),
    ]
    places = {
        "folder": "is a folder, expected a file",
        "ring": "is a symbolic link in a ring",
        "absent/a.csv": "does not exist",
        "x.npy": "which would be overwritten",
    }
    chosen = {"features": x, "fraction": 0.5, "method": "k_center"}
    good = {"dataset": x, "out": tmp_path / "good.csv"}
    for place, message in places.items():
        out = tmp_path / place
        cases += [
            ("find-issues", {"dataset": x, "out": out}, message),
            ("keep", chosen | {"out": out}, message),
            ("find-issues", good | {"save_probabilities": out}, message),
        ]
    same = tmp_path / "same"
    cases += [
        (
            "find-issues",
            {"dataset": x, "out": same, "save_probabilities": same},
            "is also out",
        ),
        # And with good ones the work begins.
        ("find-issues", {"dataset": x, "out": same}, "work began"),
        ("keep", chosen | {"out": same}, "work began"),
    ]
    before = sorted(os.listdir(tmp_path))
    for verb, fields, message in cases:
        (end,) = endings(verb, [fields])
        assert message in end, (verb, fields, end)
        assert "\n" not in end
    assert sorted(os.listdir(tmp_path)) == before
    assert file.read_text() == "mine"
