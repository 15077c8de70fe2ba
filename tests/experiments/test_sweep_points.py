"""From a grid to points that are resolved, named and checked; nothing is run."""

from __future__ import annotations

import json

import jax
import pytest

from experiments.study.run_folder import locked
from experiments.sweeping.grid import read_points, read_values
from experiments.sweeping.points import (
    BadPointsError,
    delete,
    state_of,
)
from robustjax import __version__
from robustjax.files import digest_of_record
from robustjax.training import InterruptedRunError, StopRequest
from tests.harness.toy_points import run_toy, toy_points


def test_an_option_is_swept_only_where_its_method_runs(tmp_path):
    points = toy_points(
        tmp_path, "rate=0.2,0.5; methods=ce,elr,ce:elr; elr.strength=1,3"
    )
    shown = [str(point) for point in points]
    assert len(points) == 2 * (1 + 2 + 2)
    assert shown[:4] == [
        "rate=0.2 methods=ce",
        "rate=0.2 methods=elr elr.strength=1",
        "rate=0.2 methods=elr elr.strength=3",
        "rate=0.2 methods=ce,elr elr.strength=1",
    ]
    assert "--methods=ce,elr" in points[3].arguments
    labels = toy_points(tmp_path, "methods=elr,long=elr; long.strength=1,3")
    assert [str(point) for point in labels] == [
        "methods=elr",
        "methods=long=elr long.strength=1",
        "methods=long=elr long.strength=3",
    ]
    assert "--options=elr.strength=1" in points[3].arguments


def test_names_follow_from_what_a_run_is(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("first")
    first = toy_points(tmp_path, "rate=0.2,0.5; seed=0", file=str(path))
    # In another order, another way of writing numbers, given and swept exchanged.
    again = toy_points(tmp_path, "rate=0.50,0.2,0.7", seed=0, file=str(path))
    assert first[0].name == again[1].name
    assert first[1].name == again[0].name
    others = [
        toy_points(tmp_path, "rate=0.2", file=str(path), preset="toy"),
        toy_points(tmp_path, "rate=0.2", file=str(path), methods=("elr",)),
        toy_points(tmp_path, "rate=0.2; seed=1", file=str(path)),
    ]
    path.write_text("second")
    others.append(toy_points(tmp_path, "rate=0.2; seed=0", file=str(path)))
    names = {point.name for (point,) in others} | {p.name for p in first}
    assert len(names) == 6
    assert first[0].folder == tmp_path / "toy" / first[0].name


def test_flags_are_given_on_as_they_were_read(tmp_path):
    (point,) = toy_points(
        tmp_path, "sizes=2:3; preset=toy", fast=False, rate=0.1 + 0.2, repeats=2
    )
    assert point.arguments == (
        "-m", "tests.harness.toy_launcher", "--preset=toy", "--methods=ce",
        "--nofast", "--rate=0.30000000000000004", "--repeats=2", "--sizes=2,3",
        f"--run_dir={tmp_path}", f"--name={point.name}",
    )  # fmt: skip
    assert point.config["epochs"] == 2


@pytest.mark.parametrize(
    ("grid", "line"),
    [
        ("", "grid: got none, expected name=value,value; …"),
        (" ; ", "grid: got none"),
        ("rate", "grid: got 'rate', expected name=value,value"),
        ("rate=", "grid: got 'rate=', expected"),
        ("rate=0.1,", "grid: got 'rate=0.1,', expected"),
        ("rate=0.1;rate=0.2", "grid: got rate twice"),
        ("rate=0.1,0.1", "grid: got rate=0.1 twice"),
        ("rat=0.1", r"grid: flag: unknown 'rat' \(did you mean 'rate'\?\)"),
        ("rate=few", "grid: at rate=few: rate: got few, expected a number"),
        ("rate=2", r"grid: at rate=2: rate: got 2.0, expected a number in \[0, 1\]"),
        ("epochs=1.5", "epochs: got 1.5, expected an integer"),
        ("epochs=0", "epochs: got 0, expected an integer >= 1"),
        ("fast=perhaps", "fast: got perhaps, expected true or false"),
        ("methods=nonesuch", "methods: unknown 'nonesuch'"),
        ("preset=nonesuch", "preset: unknown 'nonesuch'"),
        ("options=ce.x=1", "grid: got options, expected method.name=value"),
        (
            "elr.strength=1",
            "grid: elr.strength is an option of 'elr', which runs at",
        ),
        ("methods=elr;elr.strenth=1", "elr has no 'strenth'"),
        ("methods=elr;elr.strength=x", "options: got 'elr.strength=x', expected"),
        ("rate=0.2,0.20", "rate=0.20 and rate=0.2 are the same run, with the folder"),
    ],
)
def test_bad_grids_are_one_line(grid, line, tmp_path):
    with pytest.raises(ValueError, match=line) as error:
        toy_points(tmp_path, grid)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("grid", "given", "line"),
    [
        ("rate=0.2,0.5", {"rate": 0.9}, "grid: got rate, which --rate gives to all"),
        ("preset=toy", {"preset": "toy"}, "grid: got preset, which --preset gives"),
        (
            "elr.strength=1,3",
            {"methods": ("elr",), "options": ("elr.decay=0.5", "elr.strength=7")},
            "grid: got elr.strength, which --options gives to all points, expected it",
        ),
    ],
)
def test_what_is_swept_is_not_given_as_well(grid, given, line, tmp_path):
    with pytest.raises(ValueError, match=line):
        toy_points(tmp_path, grid, **given)


def test_every_bad_point_has_a_line(tmp_path):
    with pytest.raises(BadPointsError) as error:
        toy_points(tmp_path, "rate=0.2,7,few; sizes=1,2")
    assert len(error.value.lines) == 4
    assert str(error.value) == error.value.lines[-1]
    assert error.value.lines[0].startswith("grid: at rate=7 sizes=1: rate: got 7.0")


def test_points_from_a_file(tmp_path):
    path = tmp_path / "points.jsonl"
    path.write_text('{"rate": 0.2, "sizes": [1, 2]}\n\n{"fast": true, "epochs": 2}\n')
    assert read_points(str(path)) == [
        {"rate": "0.2", "sizes": "1,2"},
        {"fast": "true", "epochs": "2"},
    ]
    for content, line in (
        (b"\n", "holds none"),
        (b"{}\n[1]\n", "line 2 of .* is not a JSON object"),
        (b'{"rate": null}\n', "line 1 of"),
        (b"\xff\xfe", "it is not UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=line):
            read_points(str(path))
    with pytest.raises(ValueError, match="points: cannot read .*: No such file"):
        read_points(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="mark: got 'x', expected name=value"):
        read_values("mark", "a=1; x")


def test_the_state_of_a_point_is_what_its_folder_says(tmp_path):
    one, two = toy_points(tmp_path, "rate=0.2,0.5", methods=("ce", "gce"))
    assert [state_of(one), state_of(two)] == ["new", "new"]
    assert state_of(one) != "running"
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    with pytest.raises(InterruptedRunError):
        run_toy(one, stop)
    assert state_of(one) == "interrupted"
    with locked(one.folder):
        assert state_of(one) == "running"
        assert not delete(one)
    assert state_of(one) != "running"
    run_toy(one)
    assert state_of(one) == "finished"
    assert delete(one)
    assert state_of(one) == "new"


def change_version(point, **changes):
    path = point.folder / "config.json"
    record = json.loads(path.read_text())
    record["versions"] |= changes
    path.write_text(json.dumps(record | {"digest": digest_of_record(record)}))


def test_a_run_goes_on_with_what_it_was_begun_with_or_says_so(tmp_path, capsys):
    (point,) = toy_points(tmp_path, "rate=0.2", methods=("ce", "gce"))
    stop = StopRequest()
    stop.signal_name = "SIGTERM"
    with pytest.raises(InterruptedRunError):
        run_toy(point, stop)
    assert "warning" not in capsys.readouterr().err
    change_version(point, robustjax="0.0.9")
    with pytest.raises(ValueError, match=r"another version of robustjax \(0\.0\.9"):
        run_toy(point)
    change_version(point, robustjax=__version__, jax="0.0.1")
    run_toy(point)
    line = "warning: the run was begun with jax 0.0.1 and goes on with "
    assert capsys.readouterr().err.splitlines() == [line + jax.__version__]
    # What is finished goes on with nothing.
    run_toy(point)
    assert "warning" not in capsys.readouterr().err


def test_folders_that_cannot_be_a_points_are_refused(tmp_path):
    one, two = toy_points(tmp_path, "rate=0.2,0.5")
    run_toy(one)
    one.folder.rename(two.folder)
    with pytest.raises(ValueError, match="holds a run with other flags"):
        state_of(two)
    two.folder.rename(one.folder)
    change_version(one, robustjax="0.0.9")
    with pytest.raises(ValueError, match=r"another version of robustjax \(0\.0\.9"):
        state_of(one)
    path = one.folder / "config.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match="cannot be read as a run's configuration"):
        state_of(one)
    two.folder.mkdir()
    (two.folder / "notes.txt").touch()
    with pytest.raises(ValueError, match="is no(t a)? run folder|not empty"):
        state_of(two)
