"""The report: what it shows, that it shows it as text, and what it refuses."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from experiments.reporting import grids, plots
from experiments.reporting.examples import examples_behind
from experiments.reporting.page import write_report
from experiments.reporting.pictures import Album
from experiments.reporting.runs import read_run
from experiments.reporting.sections import read_folders, sections_of
from experiments.reporting.sweeps import read_sweep
from experiments.study.launch import ending
from experiments.study.numbers import Measure
from experiments.study.plot import Line, Panel
from experiments.study.records import FILE
from experiments.study.run import Request
from experiments.study.settings import Setting
from experiments.study.table import Table
from robustjax import data
from robustjax.files import digest_of_record
from tests.experiments.report_folders import (
    METHODS,
    PIPES,
    SCRIPT,
    write_run,
    write_sweep,
)

pytest.importorskip("jinja2", reason="Jinja2 is not installed (extra `report`)")
ROOT = pathlib.Path(__file__).parents[2]
RECORD = {
    "title": "t",
    "facts": {},
    "cells": [],
    "measures": [{"key": "last", "title": "last"}],
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def run_folder(home):
    return write_run(home)


@pytest.fixture(scope="module")
def written(home, run_folder):
    half = write_run(home, finish=False, name="half")
    lines = write_report([str(run_folder), str(half)], str(home / "out"))
    return lines, (home / "out.html").read_text(), (home / "out.md").read_text()


def texts(grid):
    return [[cell.text for cell in row] for row in grid.rows]


def test_tables_and_paired_differences(run_folder):
    table = read_run(run_folder).table
    found = grids.results(table)
    assert list(found.header) == ["method", "epochs", f"last {SCRIPT}", "repeats"]
    assert texts(found) == [
        ["ce", "3", "29.0 ±1.4", "2"],
        [SCRIPT, "3", "8.5 ±0.7", "2"],
        [PIPES, "3", "55.0 (1 of 2)", "2"],
    ]
    assert found.is_number == [False, True, True, True]
    assert found.rows[1][2].number == pytest.approx(0.085)
    differences = grids.differences(table, None)
    # Of the third, one repeat was measured: one pair, and no deviation.
    assert texts(differences) == [
        [SCRIPT, "-20.5 ±0.7", "2"],
        [PIPES, "+25.0 (1 of 2)", "1"],
    ]
    (first, *_) = texts(grids.differences(table, SCRIPT))
    assert first == ["ce", "+20.5 ±0.7", "2"]


def test_measures_of_one_title_are_columns_of_their_own(run_folder):
    table = read_run(run_folder).table
    for key, title in (("best", "accuracy"), ("last", "accuracy"), ("few", "epochs")):
        table.measures[key] = Measure(key, title)
    for number, setting in enumerate(table.settings):
        setting.values["best"] = np.array([0.9, 0.7]) - number / 10
        setting.values["few"] = np.array([0.5, 0.5])
    found = grids.results(table)
    titles = ["accuracy (last)", "accuracy (best)", "epochs (few)"]
    assert list(found.header) == ["method", "epochs", *titles, "repeats"]
    assert texts(found)[0][2:] == ["29.0 ±1.4", "80.0 ±14.1", "50.0 ±0.0", "2"]
    (first, *_) = texts(grids.differences(table, None))
    assert first == [SCRIPT, "-20.5 ±0.7", "-10.0 ±0.0", "0.0 ±0.0", "2"]


def test_flags_that_differ_are_told_apart(run_folder):
    shared, own = grids.flags(read_run(run_folder).flags)
    assert ["--noise", SCRIPT] in texts(shared)
    assert list(own.header) == ["flag", *METHODS]
    assert texts(own) == [["--rate", "yes", "no", "no"]]


def test_everything_is_shown_as_text(written):
    _, html, markdown = written
    assert html.count("<script>") == 1, "its own"
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 20
    assert "<b>*d*" not in html
    assert "<script" not in markdown.replace(f"'--noise={SCRIPT}'", "")
    import markdown_it

    rendered = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table")
    page = rendered.render(markdown)
    assert "<script" not in page
    assert "<b>" not in page
    assert "<em>" not in page
    assert 'href="http' not in page
    # Pipes of a name divide no cell.
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    wide = [row for row in rows if "55.0" in row]
    assert len(wide) == 1
    assert wide[0].count("<td") == 4
    assert "a|b `c` &lt;b&gt;*d*&lt;/b&gt; &quot;&amp;amp;&quot; $x$ [e]" in wide[0]


def test_the_page_needs_no_network_and_says_what_it_is(written):
    lines, html, markdown = written
    links = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len(links) > 10
    assert all(link.startswith(("data:image/", "#folder-")) for link in links)
    assert "default-src 'none'" in html
    assert '<html lang="en">' in html
    assert html.count("<img ") == len(re.findall(r'<img [^>]*alt="[^"]', html))
    for text in (html, markdown):
        assert "half" in text
        assert "1 of 3 parts are finished" in text
        assert "jax " in text
        assert "python -m experiments.tried" in text
    assert lines[0] == "tried/half is unfinished: 1 of 3 parts are finished"


def test_the_same_folders_give_the_same_bytes(home, run_folder):
    for name in ("first", "second"):
        write_report([str(run_folder), str(run_folder)], str(home / name))
    assert (home / "first.html").read_bytes() == (home / "second.html").read_bytes()
    (plot,) = sorted((home / "first_files").iterdir())
    assert plot.read_bytes() == (home / "second_files" / plot.name).read_bytes()
    assert f"<first_files/{plot.name}>" in (home / "first.md").read_text()


def test_plots_are_vectors_in_the_readers_ink():
    lines = [Line(f"{SCRIPT}\x07$", [1, 2], np.array([[1.0, 2.0], [2.0, 2.0]]))]
    svg = plots.svg_of([Panel(lines * 2, "x", "y <&> $")])
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "prefers-color-scheme:dark" in svg
    assert "currentColor" in svg
    assert "<script" not in svg
    assert len(svg) < 60_000
    assert svg == plots.svg_of([Panel(lines * 2, "x", "y <&> $")])


def test_panels_and_lines_tell_settings_apart():
    table = Table(pathlib.Path(), RECORD, {})
    values = {"last": np.array([0.5, 0.7])}

    def lines(*columns):
        table.settings = [Setting(each, values, (0, 1), {}) for each in columns]
        ((_, panels),) = plots._along_settings(table)
        return {p.title: [(x.label, list(x.x)) for x in p.lines] for p in panels}

    two = [{"method": m, "n": n} for m in ("ce", "elr") for n in (5, 1, 3)]
    assert lines(*two) == {"": [("ce", [1, 3, 5]), ("elr", [1, 3, 5])]}
    # Two numbers: panels where lines are methods, lines where there is one method.
    many = [{**each, "noise_rate": r} for each in two for r in (0.2, 0.5)]
    assert list(lines(*many)) == ["noise rate 0.2", "noise rate 0.5"]
    one = lines(*(each for each in many if each["method"] == "ce"))
    labels = [f"ce, noise rate {r}" for r in (0.2, 0.5)]
    assert one == {"": [(label, [1, 3, 5]) for label in labels]}
    # What only one method has is said with its name; what has no axis is level.
    own = [
        {"method": "elr", "n": n, "elr.strength": s} for n in (1, 2, 3) for s in (1, 3)
    ]
    assert lines({"method": "ce"}, *own) == {
        "": [
            ("ce", []),
            ("elr, elr.strength 1", [1, 2, 3]),
            ("elr, elr.strength 3", [1, 2, 3]),
        ]
    }


def test_examples_are_those_that_the_journal_kept(run_folder):
    (behind, *others) = examples_behind(read_run(run_folder).table, 3)
    assert len(others) == 2
    found = {g.title.partition(":")[0]: g for g in behind.groups}
    # Labels 0 … 5 are wrong; 0 is predicted as labelled, and 10 wrongly.
    assert {name: g.count for name, g in found.items()} == {
        "Flagged": 6,
        "Wrongly flagged": 1,
        "Missed": 1,
    }
    assert found["Flagged"].ids.tolist() == [f"{SCRIPT}{i}" for i in (1, 2, 3)]
    assert found["Wrongly flagged"].ids.tolist() == [f"{SCRIPT}10"]
    assert found["Missed"].ids.tolist() == [f"{SCRIPT}0"]
    assert examples_behind(read_run(run_folder).table, 0) == []


def test_pictures_are_those_of_the_run_or_none(tmp_path):
    folder = write_run(tmp_path)
    run = read_run(folder)
    album = Album(run)
    assert album.reason == ""
    (first, *_) = examples_behind(run.table, 3)[0].groups
    example = album.examples(first)[0]
    assert example.picture.startswith("data:image/png;base64,")
    assert example.facts["labelled"] == PIPES
    assert example.facts["right"] == SCRIPT
    # Other images under the same name.
    path = str(tmp_path / "images.npz")
    sets = {split: data.load(path, split) for split in ("train", "test")}
    sets["train"].inputs[0, 0, 0] ^= 1
    data.save_npz(tmp_path / "images.npz", **sets)
    other = Album(run)
    assert "is not known to be what the run trained on" in other.reason
    assert other.examples(first)[0].picture is None
    assert other.examples(first)[0].facts["labelled"] == "2"
    (tmp_path / "images.npz").unlink()
    assert "images.npz" in Album(run).reason


def test_a_sweep_is_read_from_its_tables_and_runs(tmp_path):
    home = write_sweep(tmp_path)
    sweep = read_sweep(home)
    states = [point.state for point in sweep.points]
    assert states == ["finished", "finished", "missing"]
    of_sweep, *of_runs = sections_of(
        read_folders([str(home)]), baseline=None, examples=2, points=1
    )
    assert [section.name for section in of_runs] == ["tried/one"]
    assert of_sweep.title == "A sweep of tried over 3 points"
    assert of_sweep.facts[0] == ("Baseline", "method=ce")
    assert of_sweep.unfinished == "2 of 3 points are finished"
    ((_, (table,)),) = of_sweep.tables
    head = ["noise_rate", "noise", "method", "repeats", f"last {SCRIPT}"]
    assert list(table.header) == [*head, "difference", "pairs"]
    assert texts(table)[1] == ["0.2", SCRIPT, SCRIPT, "2", "8.5 ±0.7", "+9.5", "2"]
    (plot,) = of_sweep.plots
    assert "ce 29" in plot.alt
    assert "noise rate" in plot.title
    with pytest.raises(ValueError, match="baseline: unknown 'el'"):
        write_report([str(home)], str(tmp_path / "sweep"), baseline="el")
    write_report([str(home)], str(tmp_path / "sweep"))
    assert "2 of 3 points" in (tmp_path / "sweep.html").read_text()
    # As many points, but not those that are there.
    assert not sweep.outdated
    results = home / "results.csv"
    results.write_text(results.read_text().replace("two", "gone"))
    assert read_sweep(home).outdated


def test_the_command_is_what_one_types():
    request = Request(
        ("ce", "elr"),
        None,
        {"noise_rate": 0.5, "hidden": (8, 4), "nesterov": True, "normalize": False},
        "runs",
        "a b",
    )
    assert shlex.split(request.command("label_noise")) == [
        *("python", "-m", "experiments.label_noise", "--methods=ce,elr"),
        *("--noise_rate=0.5", "--hidden=8,4", "--nesterov", "--nonormalize"),
        "--name=a b",
    ]


def empty(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def change_record(folder, **changes):
    path = folder / "config.json"
    record = {**json.loads(path.read_text()), **changes}
    record = {key: value for key, value in record.items() if value is not None}
    path.write_text(json.dumps({**record, "digest": digest_of_record(record)}))


def change_journal(folder, old, new):
    path = folder / FILE
    path.write_text(path.read_text().replace(old, new, 1))


def alter_examples(folder):
    path = next(folder.rglob("examples_0.npz"))
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {
    "missing": (lambda f: (empty(f), f.rmdir()), "does not exist, expected a run"),
    "empty": (empty, "holds no config.json"),
    "no run": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "a record that was altered": (
        lambda f: (f / "config.json").write_text("{}"),
        "cannot be read as a run's configuration, or was altered",
    ),
    "another version": (
        lambda f: change_record(f, measures=None, versions={"robustjax": "0.0.9"}),
        "was written by another version of robustjax (0.0.9)",
    ),
    "another version that can be read": (
        lambda f: change_record(f, versions={"robustjax": "0.0.9"}),
        "was written by another version of robustjax (0.0.9)",
    ),
    "a line that was altered": (
        lambda f: change_journal(f, "0.28", "0.29"),
        "not as it was written",
    ),
    "a line that is none": (
        lambda f: change_journal(f, '"finished"', "finished"),
        "cannot be read",
    ),
    "examples that were altered": (alter_examples, "examples_0.npz"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
def test_a_bad_folder_is_one_line_that_names_it(what, tmp_path):
    damage, message = DAMAGES[what]
    good, bad = write_run(tmp_path), write_run(tmp_path, name="bad")
    damage(bad)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        write_report([str(good), str(bad)], str(tmp_path / "out"))
    assert str(bad) in str(caught.value)
    line, status = ending(caught.value)
    assert status == 2
    assert "\n" not in line
    assert not (tmp_path / "out.html").exists()


def test_a_damaged_sweep_names_what_is_damaged(tmp_path):
    home = write_sweep(tmp_path)
    change_journal(tmp_path / "tried" / "two", "0.28", "0.29")
    with pytest.raises(ValueError, match=r"tried/two/metrics.jsonl' is not as it was"):
        read_folders([str(home)])
    path = home / "sweep.json"
    path.write_text(path.read_text().replace("0.10", "0.11"))
    with pytest.raises(ValueError, match=r"sweep.json' cannot be read as a sweep"):
        read_folders([str(home)])


def test_a_journal_that_a_kill_has_torn_is_unfinished(tmp_path):
    folder = write_run(tmp_path)
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:-20])
    (line, _) = write_report([str(folder)], str(tmp_path / "out"))
    assert line == "tried/run is unfinished: 2 of 3 parts are finished"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folders": ()}, "folder: got none, expected at least one"),
        ({"output": "/nowhere/at/all"}, "output: the folder of"),
        ({"formats": ("pdf",)}, "format: unknown 'pdf'"),
        ({"formats": ()}, "format: got none"),
        ({"baseline": "el"}, "baseline: unknown 'el'"),
    ],
)
def test_a_bad_argument_is_named(options, message, run_folder, tmp_path):
    given = {"folders": [str(run_folder)], "output": str(tmp_path / "out"), **options}
    with pytest.raises(ValueError, match=re.escape(message)):
        write_report(**given)


@pytest.mark.slow
def test_the_launcher_takes_paths(run_folder, tmp_path):
    flags = ("--baseline=ce", "--format=html", "--examples=2")
    command = [sys.executable, "-m", "experiments.report", str(run_folder), *flags]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "written: report.html\n"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
