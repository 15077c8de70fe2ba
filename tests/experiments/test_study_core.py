"""The study core: deviations, tables, plots, and a journal that is not believed."""

from __future__ import annotations

import csv
import json
import tracemalloc

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest

from experiments.study.example_table import ExampleTable
from experiments.study.journal import Journal
from experiments.study.numbers import (
    Measure,
    deviation,
    in_cell,
    mean,
)
from experiments.study.plot import Line, Panel, draw
from experiments.study.records import FILE, KEPT, read_cells
from experiments.study.run_folder import open_run_folder
from experiments.study.settings import join_results
from experiments.study.table import Table
from robustjax.tools.tables import in_file
from robustjax.training import write_csv

# The sample deviation of 0.5 and 0.7 is 0.2 / sqrt(2), the population's 0.1.
TWO, SAMPLE = np.array([0.5, 0.7]), 0.2 / np.sqrt(2)
MEASURES = (
    Measure("last", "last"),
    Measure("norm", "norm", is_share=False),
    Measure("msp_*", "detection", in_summary=False),
)
RECORD = {
    "study": "tried",
    "title": "a title",
    "config": {"seed": 0},
    "data": {},
    "facts": {},
    "cells": ["ce", "elr"],
    "measures": [
        {"key": m.key, "title": m.title, "is_share": m.is_share}
        | {"in_summary": m.in_summary}
        for m in MEASURES
    ],
}


@pytest.fixture
def folder(tmp_path):
    with open_run_folder(tmp_path / "run", RECORD) as path:
        yield path


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_some(folder):
    """Two methods at two numbers of labels, the repeats of one in two parts."""
    with Journal(folder, tensorboard=False) as journal:
        ce, elr = journal.cell("ce"), journal.cell("elr")
        for labels in (10, 5):
            columns = {"method": "ce", "labels": labels}
            ce.result(columns, {"last": [0.7], "norm": [3.0]}, repeats=[1])
            values = {"last": [0.5], "norm": [np.nan], "msp_auroc": [0.25]}
            ce.result(columns, values, repeats=[0])
            elr.result(
                {"method": "elr", "labels": labels},
                {"last": np.array([0.6, 0.9])},
                repeats=[0, 1],
                epochs=7,
            )
        ce.finish()
        elr.finish()
    return Table.read(folder)


def test_deviation_is_of_a_sample(rng):
    assert deviation(TWO) == pytest.approx(SAMPLE)
    values = rng.normal(size=(5, 3))
    np.testing.assert_allclose(deviation(values), np.std(values, axis=0, ddof=1))
    np.testing.assert_allclose(mean(values), np.mean(values, axis=0))
    values[1:, 0] = np.nan
    values[2, 1] = np.nan
    got = deviation(values)
    assert np.isnan(got[0]), "one repeat alone has no deviation"
    assert got[1] == pytest.approx(np.nanstd(values[:, 1], ddof=1))
    assert mean(values)[1] == pytest.approx(np.nanmean(values[:, 1]))
    assert np.isnan(mean(np.full(2, np.nan)))
    assert in_file(deviation(TWO[:1])) == ""
    for value, text in (
        (SAMPLE, "0.141421"),
        (0.0, "0.0000"),
        (98.7654321, "98.7654"),
        (12345.6789, "12345.6789"),
        (-0.00123456789, "-0.00123457"),
        (1.23456789e-7, "1.23457e-07"),
        (np.float32(np.inf), ""),
    ):
        assert in_file(value) == text
        assert not text or float(text) == pytest.approx(value, rel=1e-5)
    assert in_cell(TWO, MEASURES[0]) == "60.0 ±14.1"
    assert in_cell(TWO[:1], MEASURES[0]) == "50.0"
    assert in_cell(np.full(2, np.nan), MEASURES[0]) == "-"
    # Of a mean over fewer repeats than were run, people see over how many.
    assert in_cell(np.array([0.5, np.nan]), MEASURES[0]) == "50.0 (1 of 2)"
    assert in_cell(np.append(TWO, np.nan), MEASURES[0]) == "60.0 ±14.1 (2 of 3)"


def test_files_follow_from_the_records(folder):
    write_some(folder).write_files()
    summary = rows_of(folder / "summary.csv")
    assert [(r["method"], r["labels"]) for r in summary] == [
        ("ce", "10"),
        ("ce", "5"),
        ("elr", "10"),
        ("elr", "5"),
    ]
    assert summary[0]["last_mean"] == "60.0000"
    assert summary[0]["last_std"] == "14.1421"
    # What one repeat alone has measured has no deviation.
    assert (summary[0]["norm_mean"], summary[0]["norm_std"]) == ("3.00000", "")
    assert summary[0]["norm_repeats"] == "1"
    assert "last_repeats" not in summary[0]
    assert "msp_auroc_mean" not in summary[0]
    assert summary[2]["epochs"] == "7"
    assert {r["repeats"] for r in summary} == {"2"}
    each = [
        r for r in rows_of(folder / "repeats.csv")
        if (r["method"], r["labels"]) == ("ce", "10")
    ]  # fmt: skip
    assert [(r["measure"], r["repeat"], r["value"]) for r in each] == [
        ("last", "0", "50"),
        ("last", "1", "70"),
        ("norm", "1", "3"),
        ("msp_auroc", "0", "25"),
    ]


def test_tables_lines_and_paired_differences(folder):
    table = write_some(folder)
    x, values = table.line("last", "labels", method="ce")
    assert x.tolist() == [10, 5]
    np.testing.assert_allclose(values, [[0.5, 0.5], [0.7, 0.7]])
    text = table.text("last", "method", "labels").splitlines()
    assert text[0].split() == ["last", "5", "10"]
    assert text[2].split() == ["ce", "60.0", "±14.1", "60.0", "±14.1"]
    (first, difference), _ = table.against({"method": "ce"}, "last")
    assert first.columns == {"method": "elr", "labels": 10}
    np.testing.assert_allclose(difference, [0.1, 0.2])
    # A base that was not measured so has nothing to be compared with.
    assert not list(table.against({"method": "elr"}, "norm"))
    assert table.one(method="ce", labels=3) is None
    with pytest.raises(ValueError, match="are of 2 settings"):
        table.one(method="ce")


def test_what_repeats_differ_in_is_no_constant(folder):
    with Journal(folder, tensorboard=False) as journal:
        for repeat, count in enumerate((30, 28, 30)):
            cell = journal.cell(f"cell_{repeat}")
            constants = {"examples": count, "epochs": 7}
            if repeat:
                constants["kept"] = 3
            cell.result({"a": 1}, {"last": [0.5]}, repeats=[repeat], **constants)
        cells = {f"cell_{n}": journal.cell(f"cell_{n}").records for n in range(3)}
    (setting,) = join_results(cells)
    assert setting.constants == {"examples": "28 … 30", "epochs": 7, "kept": 3}


def test_a_repeat_that_comes_twice_is_refused(folder):
    with Journal(folder, tensorboard=False) as journal:
        cell = journal.cell("ce")
        for _ in range(2):
            cell.result({"method": "ce"}, {"last": [1.0]}, repeats=[0])
        with pytest.raises(ValueError, match=r"'last' has shape \(\), expected \(1,\)"):
            cell.result({"method": "ce"}, {"last": 1.0}, repeats=[0])
    with pytest.raises(ValueError, match="has a repeat twice"):
        Table.read(folder)


def test_curves_join_the_groups_of_a_method(folder):
    with Journal(folder, tensorboard=False) as journal:
        for name, repeats in (("ce", 2), ("elr", 1)):
            cell = journal.cell(name)
            for epoch in range(3):
                watched = {} if epoch == 1 else {"test": [0.1 * epoch] * repeats}
                cell.write(
                    "epoch",
                    method="both",
                    repeats=repeats,
                    epoch=epoch,
                    of_repeats=watched,
                    seconds=float(epoch),
                )
    table = Table.read(folder)
    curve = table.curve("test", method="both")
    assert curve.epochs.tolist() == [1, 3]
    np.testing.assert_allclose(curve.values, [[0.0, 0.2]] * 3)
    assert table.curve("test", method="other") is None
    assert table.speeds() == [
        {"method": "both", "minutes": "0.10", "seconds_late": "1"}
    ]


def test_examples_join_what_cells_keep(folder):
    ids = np.array(["a", "b"])
    with Journal(folder, tensorboard=False) as journal:
        for name in ("ce", "elr"):
            cell = journal.cell(name)
            for repeat in (0, 1):
                keys = {"repeat": repeat}
                cell.keep("", ids, keys, given=np.array([1, repeat]))
                cell.keep(name, ids, keys, weight=np.array([0.5, np.nan]))
            with pytest.raises(ValueError, match=r"'weight' has shape \(1,\)"):
                cell.keep(name, ids, keys, weight=np.ones(1))
    Table.read(folder).write_files()
    rows = rows_of(folder / "examples.csv")
    assert rows[3] == {
        "repeat": "1", "id": "b", "given": "1", "ce.weight": "", "elr.weight": ""
    }  # fmt: skip
    assert [r["id"] for r in rows] == ["a", "b", "a", "b"]


def test_places_in_an_order_have_all_their_digits(folder):
    order = np.array([1234567.0, 1234568.0, np.nan, 0.12345678, 1e20])
    with Journal(folder, tensorboard=False) as journal:
        journal.cell("ce").keep("ce", np.arange(5), {"repeat": 0}, order=order)
    Table.read(folder).write_files()
    found = [row["ce.order"] for row in rows_of(folder / "examples.csv")]
    assert found == ["1234567", "1234568", "", "0.123457", "1e+20"]


def test_examples_of_other_ids_and_repeats_leave_cells_empty(folder):
    with Journal(folder, tensorboard=False) as journal:
        ce, elr = journal.cell("ce"), journal.cell("elr")
        ce.keep("", np.array(["a", "b"]), {"repeat": 1}, given=np.array([1, 2]))
        ce.keep("", np.array(["a", "b"]), {"repeat": 0}, given=np.array([3, 4]))
        elr.keep("elr", np.array(["c", "b"]), {"repeat": 1}, weight=np.array([0.5, 2]))
        elr.keep("elr", np.array([], str), {"repeat": 0}, weight=np.zeros(0))
    table = Table.read(folder)
    table.write_files()
    rows = [tuple(row.values()) for row in rows_of(folder / "examples.csv")]
    assert rows == [
        ("1", "a", "1", ""),
        ("1", "b", "2", "2"),
        ("1", "c", "", "0.5"),
        ("0", "a", "3", ""),
        ("0", "b", "4", ""),
    ]
    assert [keys for _, keys, _ in table.examples(repeat=0)] == [{"repeat": 0}] * 2
    (folder / "ce" / "examples_1.npz").write_bytes(b"not what was written")
    with pytest.raises(ValueError, match=r"examples_1\.npz' is missing or was altered"):
        table.write_files()


@pytest.mark.slow
def test_of_many_examples_a_repeat_is_in_memory_at_a_time(folder):
    count, repeats = 20_000, 8
    ids = np.arange(count)
    with Journal(folder, tensorboard=False) as journal:
        for repeat in range(repeats):
            keys = {"repeat": repeat}
            values = np.random.default_rng(repeat).random((4, count))
            journal.cell("ce").keep("", ids, keys, **dict(zip("abcd", values)))
    table = Table.read(folder)
    peaks = []
    for chosen in ([0], range(repeats)):
        kept = [r for r in table.records(KEPT) if r["keys"]["repeat"] in chosen]
        tracemalloc.start()
        examples = ExampleTable(folder, kept, table._read)
        write_csv(folder / "examples.csv", examples.rows(), examples.columns)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], "eight repeats need little more than one"
    assert peaks[0] < 300 * count
    lines = (folder / "examples.csv").read_bytes().count(b"\n")
    assert lines == 1 + repeats * count


@pytest.fixture
def bands(monkeypatch):
    """The half widths of all bands and bars that were drawn."""
    found = []
    axes = matplotlib.axes.Axes
    fill, bar = axes.fill_between, axes.errorbar

    def fill_between(self, x, low, high, **options):
        found.append((np.asarray(high) - np.asarray(low)) / 2)
        return fill(self, x, low, high, **options)

    def errorbar(self, x, y, error, **options):
        found.append(np.asarray(error, float))
        return bar(self, x, y, error, **options)

    monkeypatch.setattr(axes, "fill_between", fill_between)
    monkeypatch.setattr(axes, "errorbar", errorbar)
    return found


@pytest.mark.parametrize("bars", [False, True])
def test_bands_and_bars_are_sample_deviations(tmp_path, bands, bars):
    for values, wanted in ((TWO, SAMPLE), (TWO[:1], np.nan)):
        bands.clear()
        line = Line("ce", [1, 2], np.stack([values, values], axis=1))
        draw(tmp_path / "x.png", [Panel([line], "x", bars=bars)], "title")
        (found,) = bands
        np.testing.assert_allclose(found, [wanted, wanted])
        assert (tmp_path / "x.png").stat().st_size > 1000


def lines_of(folder):
    return (folder / FILE).read_bytes().splitlines(keepends=True)


def test_a_record_that_was_altered_deleted_or_moved_ends_its_cell(folder):
    with Journal(folder, tensorboard=False) as journal:
        for number in range(4):
            for name in ("ce", "elr"):
                journal.cell(name).write("epoch", epoch=number, loss=0.5)
    whole = lines_of(folder)
    altered = whole[2].replace(b"0.5", b"0.6")
    for damaged, left in (
        ([*whole[:2], altered, *whole[3:]], 1),
        ([*whole[:2], *whole[3:]], 1),
        ([whole[0], whole[1], whole[4], whole[3], whole[2], *whole[5:]], 1),
        ([*whole[:2], b"\xff\xfe garbage\n", *whole[3:]], 1),
        ([*whole[:6], whole[6][:20]], 3),
    ):
        (folder / FILE).write_bytes(b"".join(damaged))
        cells = read_cells(folder)
        assert [r["epoch"] for r in cells["ce"]] == list(range(left))
        assert all(r["loss"] == 0.5 for r in cells["ce"])
        # The other cell is believed as far as its own lines go.
        assert len(cells["elr"]) >= 3
    (folder / FILE).write_bytes(b"".join([*whole[:2], altered, *whole[3:]]))
    said = []
    assert len(read_cells(folder, report=said.append)["ce"]) == 1
    (line,) = said
    assert "line 3" in line
    assert "of ce only what stands before it counts" in line


def test_a_checkpoint_counts_only_with_the_records_before_it(folder):
    like = {"x": jnp.zeros(2), "key": jax.random.key(0)}
    with Journal(folder, tensorboard=False) as journal:
        cell = journal.cell("ce")
        for step in (1, 2):
            cell.write("epoch", epoch=step - 1)
            cell.checkpoints.save(step, {**like, "x": jnp.full(2, float(step))})
        cell.write("epoch", epoch=2)
    whole = lines_of(folder)
    with Journal(folder, tensorboard=False) as journal:
        step, tree, _ = journal.cell("ce").checkpoints.restore_latest(like)
        assert (step, tree["x"].tolist()) == (2, [2.0, 2.0])
        assert len(journal.cell("ce").records) == 2, "the third epoch is taken back"
    # Without its second record, the second checkpoint does not count.
    (folder / FILE).write_bytes(whole[0])
    with Journal(folder, tensorboard=False) as journal:
        cell = journal.cell("ce")
        assert cell.checkpoints.steps() == [1]
        assert cell.checkpoints.restore_latest(like)[0] == 1
    (folder / FILE).unlink()
    with Journal(folder, tensorboard=False) as journal:
        cell = journal.cell("ce")
        assert cell.checkpoints.restore_latest(like) is None
        assert not cell.finished


def test_an_attached_file_that_was_altered_is_made_anew(folder, capsys):
    with Journal(folder, tensorboard=False) as journal:
        cell = journal.cell("ce")
        cell.write("epoch", epoch=0)
        cell.attach("surface", "surface.npz", b"content")
        cell.finish()
    path = folder / "ce" / "surface.npz"
    for damage in (lambda: path.write_bytes(b"contend"), path.unlink):
        damage()
        with Journal(folder, tensorboard=False) as journal:
            cell = journal.cell("ce")
            assert not cell.finished
            assert len(cell.records) == 1
            cell.attach("surface", "surface.npz", b"content")
            cell.finish()
        assert "surface.npz" in capsys.readouterr().out
    assert json.loads(lines_of(folder)[-1])["event"] == "finished"
