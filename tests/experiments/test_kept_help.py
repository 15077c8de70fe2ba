"""Help that is shown without importing what it is about."""

from __future__ import annotations

import subprocess
import sys

import pytest

from experiments.study import kept_help

LAUNCHER = "experiments.pruning"
COMMAND = ["python", "-m", LAUNCHER, "--help"]


@pytest.fixture(autouse=True)
def _own_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_it_is_shown_before_anything_is_imported():
    kept_help.keep_help(LAUNCHER, ["--help"], "Known text.")
    command = [sys.executable, "-X", "importtime", *COMMAND[1:]]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "Known text.\n"
    assert "runpy" in found.stderr
    assert " jax" not in found.stderr


def test_other_arguments_have_their_own_help(capsys):
    kept_help.keep_help(LAUNCHER, ["--help"], "Known text.")
    kept_help.show_kept_help([*COMMAND[:3], "--study=features", "--help"])
    kept_help.show_kept_help([*COMMAND[:3], "--epochs=2"])
    kept_help.show_kept_help([*COMMAND[:3], "--", "--help"])
    kept_help.show_kept_help(["python", "--help"])
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit):
        kept_help.show_kept_help(COMMAND)
    assert capsys.readouterr().out == "Known text.\n"


def test_a_change_of_the_source_makes_it_unknown(monkeypatch, tmp_path, capsys):
    source = tmp_path / "source"
    (source / "robustjax").mkdir(parents=True)
    module = source / "robustjax" / "some.py"
    module.write_text("x = 1\n")
    monkeypatch.setattr(kept_help, "_ROOT", source)
    kept_help.keep_help(LAUNCHER, ["--help"], "Known text.")
    module.write_text("x = 10\n")
    kept_help.show_kept_help(COMMAND)
    kept_help.keep_help(LAUNCHER, ["--help"], "New text.")
    assert len(list((tmp_path / "robustjax" / "help").iterdir())) == 1
    assert capsys.readouterr().out == ""


def test_a_folder_of_others_is_not_believed(tmp_path, capsys):
    kept_help.keep_help(LAUNCHER, ["--help"], "Known text.")
    (tmp_path / "robustjax" / "help").chmod(0o777)
    kept_help.show_kept_help(COMMAND)
    assert capsys.readouterr().out == ""
