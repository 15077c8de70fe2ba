"""The command itself: help, errors, endings, and what it takes to start."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from typing import get_args

import pytest

from robustjax import methods, scores, selection
from robustjax.data import INSTRUCTION_LAYOUTS
from robustjax.methods import instructions
from robustjax.tools.command import parser, run
from robustjax.tools.command.fields import flags_of
from robustjax.tools.command.verbs import VERBS
from robustjax.tools.options import (
    correct,
    find_bias,
    find_issues,
    keep,
    label,
    select_instructions,
)
from robustjax.training import InterruptedRunError
from tests.harness.tool_runs import run_verb


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_the_options_of_a_verb_alone(verb, capsys):
    assert run([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: robustjax {verb} [OPTIONS]\n\n")
    for flag in flags_of(VERBS[verb].config_class):
        option = flag.name.replace("_", "-")
        assert f"  --{option}" in shown or f"  --[no-]{option}" in shown
    assert max(map(len, shown.splitlines())) <= 88
    assert VERBS[verb].text.strip() in shown


def test_help_lists_the_verbs(capsys):
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in VERBS)
    assert run(["--version"]) == 0
    assert run([]) == 2


def test_help_and_bad_options_need_no_jax():
    code = (
        "import sys; from robustjax.tools.command import run;"
        "run(['find-issues', '--help']); run(['keep', '--fraction=x']);"
        "print(*{'jax', 'numpy', 'flax'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "error: --fraction: got x, expected a number\n\n"


def test_choices_are_those_of_the_library():
    assert tuple(scores.QUALITY_METHODS) == find_issues.QUALITY_METHODS
    assert tuple(scores.FILTERS) == find_issues.FILTERS
    assert tuple(scores.CONFLICT_SCORES) == find_bias.SCORES
    assert tuple(scores.CONFLICT_RULES) == find_bias.RULES
    assert tuple(scores.CONFLICT_SCOPES) == find_bias.SCOPES
    assert tuple(selection.PRUNING_METHODS) == keep.METHODS
    assert tuple(INSTRUCTION_LAYOUTS) == select_instructions.LAYOUTS
    assert get_args(instructions.Form) == select_instructions.FORMS
    assert get_args(instructions.Constraint) == select_instructions.CONSTRAINTS
    for module, entries in (
        (correct, methods.entries("label_correction")),
        (label, methods.entries("active_learning", "strategy")),
        (
            select_instructions,
            # What needs gradients needs a model that is trained.
            [e for e in methods.entries("instructions") if "gradients" not in e.needs],
        ),
    ):
        assert tuple(entry.name for entry in entries) == module.METHODS


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["find-isues"], "unknown verb find-isues; did you mean find-issues?"),
        (["keep", "--fractoin=1"], "unknown option --fractoin; did you mean --frac"),
        (["correct", "--label_column=x"], "unknown option --label_column; did you"),
        (["keep", "it"], "Got unexpected extra argument (it)"),
        (["keep", "--fraction"], "Option '--fraction' requires an argument."),
        (["keep", "--seed=-1"], "--seed: got -1, expected an integer >= 0"),
        (["keep", "--method=k_centre"], "--method: unknown 'k_centre' (did you mean"),
        (["find-issues", "--hidden=8,x"], "--hidden: got 8,x, expected a comma-sep"),
        (["find-issues"], "--dataset: got nothing, expected --dataset=…"),
        (["keep", "--fraction=2", "--out=x"], "--fraction: got 2.0, expected a"),
        (["keep", "--fraction=1", "--out=/no/x"], "--out: the folder of '/no/x' does"),
        (["find-issues", "--dataset=/no.csv", "--out=x"], "--dataset: "),
    ],
)
def test_errors_are_one_line_that_names_the_option(arguments, line, capsys, tmp_path):
    os.chdir(tmp_path)
    assert run(arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {line}")
    assert errors.count("\n") == 1


def test_what_is_read_from_a_data_set_is_not_called_an_option(tmp_path, capsys):
    (tmp_path / "table.csv").write_text("a,label\n1,\n2,x\n")
    arguments = ["find-issues", f"--dataset={tmp_path}/table.csv", "--out=x.csv"]
    assert run(arguments) == 2
    assert not capsys.readouterr().err.startswith("error: --labels")


def test_a_stopped_verb_says_how_to_go_on(monkeypatch):
    def stopped(config, stop):
        raise InterruptedRunError("stopped by SIGTERM")

    monkeypatch.setattr("robustjax.tools.verbs.keep.main", stopped)
    done = run_verb("keep")
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == "stopped by SIGTERM; run the same command again to continue\n"

    def pressed(config, stop):
        os.kill(os.getpid(), signal.SIGINT)
        stop.check()

    monkeypatch.setattr("robustjax.tools.verbs.keep.main", pressed)
    done = run_verb("keep")
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.startswith("stopped by SIGINT; ")


def test_what_is_not_installed_is_named(monkeypatch):
    def missing(verb):
        raise ModuleNotFoundError("No module named 'flax'", name="flax")

    monkeypatch.setattr("robustjax.tools.command.verbs.Verb.load", missing)
    done = run_verb("keep")
    assert done.returncode == 2
    assert done.stderr == (
        "error: this needs flax, which is not installed; install the extra: pip "
        "install 'robustjax[tools]'\n"
    )


def test_help_survives_a_reader_that_leaves():
    command = f"{sys.executable} -m robustjax find-issues --help | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Usage: robustjax find-issues [OPTIONS]\n"
    assert done.stderr == ""


def test_a_verb_is_declared_once():
    for verb in VERBS.values():
        first = next(iter(inspect.signature(verb.load()).parameters.values()))
        assert first.name == "config"
        assert verb.config_class.__module__.endswith(f"options.{verb.module}")
    assert parser.as_option("label_column") == "--label-column"
