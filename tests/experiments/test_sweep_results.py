"""Tables, differences, pictures and choices of a sweep, from its folders alone."""

from __future__ import annotations

import csv
import dataclasses
import importlib

import matplotlib.axes
import numpy as np
import pytest

from experiments.reporting.sweeps import read_sweep
from experiments.sweeping import pictures
from experiments.sweeping import results as results_module
from experiments.sweeping.choose import best
from experiments.sweeping.folder import SweepFolder, sweep_path
from experiments.sweeping.pictures import draw_sweep
from experiments.sweeping.results import Results
from tests.harness.toy_points import run_toy, toy_points

GRID = "rate=0.2,0.50; methods=ce,elr; elr.strength=1,3; elr.decay=0.5,0.7; seed=0,1"


def swept(run_dir, grid, **fields):
    points = toy_points(run_dir, grid, **fields)
    for point in points:
        run_toy(point)
    about = {"swept": [part.partition("=")[0].strip() for part in grid.split(";")]}
    folder = SweepFolder.write(sweep_path(str(run_dir), "s"), points, about)
    return SweepFolder.read(folder.path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return swept(tmp_path_factory.mktemp("sweep"), GRID, repeats=2)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def values_of(rows, **columns):
    return {
        (r["seed"], r["repeat"]): float(r["value"])
        for r in rows
        if all(r[name] == value for name, value in columns.items())
    }


def test_the_tables_are_tidy(folder):
    results = Results(folder)
    base, mark = {"method": "ce"}, {"elr.strength": "3.0", "elr.decay": "0.7"}
    results.write(folder, base, mark)
    rows = rows_of(folder.path / "results.csv")
    assert list(rows[0]) == [
        *("point", "rate", "elr.strength", "elr.decay", "seed"),
        *("method", "size", "repeat", "measure", "value"),
    ]
    # 2 rates, ce or elr with 2 x 2 options, 2 seeds, 2 repeats, 2 measures.
    assert len(rows) == 2 * (1 + 4) * 2 * 2 * 2
    wanted = {"measure": "last", "rate": "0.50"}
    ce = values_of(rows, **wanted, method="ce")
    elr = values_of(
        rows, **wanted, method="elr", **{"elr.strength": "3", "elr.decay": "0.7"}
    )
    assert list(ce) == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1")]
    summary = rows_of(folder.path / "summary.csv")
    assert len(summary) == 2 * 5 * 2
    marked = [r for r in summary if r["marked"]]
    assert {(r["elr.strength"], r["elr.decay"]) for r in marked} == {("3", "0.7")}
    (row,) = (r for r in marked if r["rate"] == "0.50" and r["measure"] == "last")
    each = np.array(list(elr.values()))
    differences = np.array([elr[place] - ce[place] for place in elr])
    assert float(row["mean"]) == pytest.approx(each.mean(), abs=1e-4)
    assert float(row["std"]) == pytest.approx(each.std(ddof=1), abs=1e-4)
    assert float(row["difference_mean"]) == pytest.approx(differences.mean(), abs=1e-4)
    assert float(row["difference_std"]) == pytest.approx(
        differences.std(ddof=1), abs=1e-4
    )
    assert (row["repeats"], row["difference_repeats"]) == ("4", "4")
    for row in (r for r in summary if r["method"] == "ce"):
        assert (row["elr.strength"], row["difference_mean"]) == ("", "")
    text = results.text(results.chosen("last", {"rate": "0.5"}), base, mark)
    assert len(text.splitlines()) == 2 + 5
    assert sum(line.rstrip().count(" *") for line in text.splitlines()) == 1


def test_a_baseline_that_could_be_several_is_refused(folder):
    results = Results(folder)
    for base, line in (
        ({"method": "elr"}, "expected elr.decay, too"),
        ({"method": "sop"}, "no finished point has method=sop"),
    ):
        with pytest.raises(ValueError, match=f"baseline: .*{line}"):
            results.summary(base, {})
    # A paper's setting as the baseline: ce is compared with it as well.
    paper = {"method": "elr", "elr.strength": "3", "elr.decay": "0.7"}
    rows = results.summary(paper, {})
    compared = [r for r in rows if r["difference_repeats"]]
    assert {r["method"] for r in compared} == {"ce", "elr"}
    assert len(compared) == len(rows) - 4


def test_points_of_other_data_are_not_compared_in_silence(tmp_path):
    results = Results(swept(tmp_path, "methods=ce,elr; seed=0,1; rate=0.2,0.5"))
    assert results.warnings({"method": "ce"}) == []

    def hold(name, of):
        """Another digest where a point has these values."""
        for member in results.finished:
            other = of.items() <= member.values.items()
            data = results.tables[member.name].record["data"]
            data[name] = f"{member.values['seed']} {other}"

    hold("test labels", {"rate": "0.5"})
    assert results.warnings({"method": "ce"}) == []
    (line,) = results.warnings({"rate": "0.2"})
    assert "has other test labels than point-" in line
    hold("given labels", {"methods": "elr"})
    (line,) = results.warnings({"method": "ce"})
    assert "has other given labels than point-" in line
    # What is swept may well change what is trained on.
    hold("test labels", {"rate": "none"})
    hold("given labels", {"rate": "0.5"})
    assert results.warnings({"rate": "0.2"}) == results.warnings({}) == []
    # Without a baseline, what differs in methods alone stands side by side.
    hold("given labels", {"methods": "elr"})
    (line,) = results.warnings({})
    assert "has other given labels than point-" in line


def test_means_over_other_numbers_of_repeats_say_so(tmp_path, monkeypatch):
    points = toy_points(tmp_path, "rate=0.2,0.5; seed=0,1", repeats=2)
    folder = SweepFolder.write(sweep_path(str(tmp_path), "s"), points, {})
    for point in points[:-1]:
        run_toy(point)
    results = Results(folder)
    found = results.chosen("last", {})
    lines = results.text(found, {}, {}).splitlines()
    assert lines[0].split()[-2:] == ["repeats", "last"]
    assert [line.split()[-3] for line in lines[2:]] == ["4", "2"]
    text = best(results, "last", "last", ("rate",), {})
    assert "3 of 4 points are finished, compared over 2 to 4 repeats" in text
    assert [line.split()[-4] for line in text.splitlines()[4:]] == ["4", "2"]
    titles = []
    monkeypatch.setattr(pictures, "draw", lambda *given: titles.append(given[-1]))
    draw_sweep(tmp_path / "a.png", results, found, ("rate",), {}, "title")
    assert titles == ["title\nmeans over 2 to 4 repeats"]
    run_toy(points[-1])
    results = Results(folder)
    assert "repeats" not in results.text(results.chosen("last", {}), {}, {})
    assert "compared" not in best(results, "last", "last", (), {})


def test_tables_of_another_baseline_do_not_stay(tmp_path):
    points = toy_points(tmp_path, "methods=ce,elr")
    path = sweep_path(str(tmp_path), "s")
    for point in points:
        run_toy(point)
    asked = {"baseline": {"method": "ce"}}
    folder = SweepFolder.write(path, points, asked)
    Results(folder).write(folder, asked["baseline"], {})
    SweepFolder.write(path, points, {**asked, "grid": "another text"})
    assert read_sweep(path).summary
    # A sweep that is killed here has no tables, and not those of the old question.
    SweepFolder.write(path, points, {"baseline": {"method": "elr"}})
    found = read_sweep(path)
    assert (found.summary, found.each, found.outdated) == ([], [], True)


def test_tables_that_a_kill_left_half_written_are_outdated(tmp_path, monkeypatch):
    points = toy_points(tmp_path, "rate=0.2,0.5")
    folder = SweepFolder.write(sweep_path(str(tmp_path), "s"), points, {})
    run_toy(points[0])
    Results(folder).write(folder, {}, {})
    assert not read_sweep(folder.path).outdated
    run_toy(points[1])

    def ended(*arguments):
        raise KeyboardInterrupt

    real = iter((results_module.write_csv, ended))
    monkeypatch.setattr(results_module, "write_csv", lambda *a: next(real)(*a))
    with pytest.raises(KeyboardInterrupt):
        Results(folder).write(folder, {}, {})
    assert read_sweep(folder.path).outdated


def test_only_what_is_finished_is_in_the_tables(tmp_path):
    points = toy_points(tmp_path, "rate=0.2,0.5")
    folder = SweepFolder.write(sweep_path(str(tmp_path), "s"), points, {})
    Results(folder).write(folder, {"method": "ce"}, {})
    assert (folder.path / "results.csv").read_bytes() == b"\n"
    run_toy(points[1])
    results = Results(folder)
    assert {row["rate"] for row in results.rows} == {"0.5"}
    with pytest.raises(ValueError, match="measure: no finished point has 'lst'; they"):
        results.chosen("lst", {})
    with pytest.raises(ValueError, match="where: no finished point has rate=0.2"):
        results.chosen("last", {"rate": "0.2"})
    # A study of several tasks has measures that these points do not have.
    assert results.first_measured(["test_iou", "last", "best_on_test"]) == "last"
    assert results.first_measured(["lost_*", "las*"]) == "last"
    assert results.first_measured(["lost"]) == "lost"


def test_columns_of_the_study_win_over_flags_of_their_name(tmp_path):
    folder = swept(tmp_path, "sizes=1,1:2; methods=ce,ce:elr")
    results = Results(folder)
    assert {row["methods"] for row in results.rows} == {"ce", "ce,elr"}
    # What was followed is shown at its end, which may be each point's own, unless it
    # is asked for.
    ends = {(r.columns["sizes"], r.columns["size"]) for r in results.chosen("last", {})}
    assert ends == {("1", "1"), ("1,2", "2")}
    assert best(results, "last", "last", (), {}).rsplit(maxsplit=1)[-1] == "6"
    found = results.chosen("last", {"size": "1"})
    assert {r.columns["size"] for r in found} == {"1"}
    assert len(found) == 2 * 3


def test_a_swept_flag_with_a_column_of_its_name_is_shown_at_all_its_values(
    tmp_path, drawn
):
    folder = swept(tmp_path, "seed=0; rate=0.2,0.5")
    for member, size in zip(folder.members, ("1", "2")):
        member.values["size"] = size
    results = Results(folder)
    found = results.chosen("last", {})
    assert {r.columns["flag size"] for r in found} == {"1", "2"}
    for result in found:
        result.columns["size"] = result.columns["flag size"]
        result.columns["rate"] = "0.2"
    draw_sweep(tmp_path / "a.png", results, found, ("size",), {}, "title")
    assert [list(x) for x, *_ in drawn["errorbar"]] == [[1.0, 2.0]]


def test_points_of_the_same_columns_are_refused(tmp_path):
    folder = swept(tmp_path, "rate=0.2,0.5")
    for member in folder.members:
        member.values["rate"] = "0.2"
    with pytest.raises(ValueError, match=r"have the same values in .*rate=0\.2"):
        Results(folder)


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: images, patches, texts, lines and titles."""
    names = ("imshow", "add_patch", "text", "errorbar", "set_title")
    found = {name: [] for name in names}
    for name, calls in found.items():
        real = getattr(matplotlib.axes.Axes, name)

        def spy(self, *arguments, _real=real, _calls=calls, **options):
            _calls.append(arguments)
            return _real(self, *arguments, **options)

        monkeypatch.setattr(matplotlib.axes.Axes, name, spy)
    return found


def test_heat_maps_with_what_is_marked(folder, tmp_path, drawn):
    results = Results(folder)
    found = results.chosen("last", {})
    path = tmp_path / "map.png"
    over = ("elr.strength", "elr.decay")
    draw_sweep(path, results, found, over, dict(zip(over, ("3", "0.7"))), "title")
    assert path.stat().st_size > 10_000
    assert len(drawn["imshow"]) == 2
    for (values,), rate in zip(drawn["imshow"], ("0.2", "0.50")):
        for x, strength in enumerate(("1", "3")):
            for y, decay in enumerate(("0.5", "0.7")):
                columns = {"rate": rate, "elr.strength": strength, "elr.decay": decay}
                (result,) = (r for r in found if r.has({**columns, "method": "elr"}))
                assert values[y, x] == pytest.approx(result.array.mean())
    outlined = {(round(p.get_x()), round(p.get_y())) for (p,) in drawn["add_patch"]
                if p.get_edgecolor()[0] == 1.0}  # fmt: skip
    assert outlined >= {(1, 1)}
    texts = {t for *_, t in drawn["text"] if isinstance(t, str)}
    assert all("±" in t for t in texts if t)


def test_what_a_heat_map_stands_beside_is_told_by_its_column(folder, tmp_path, drawn):
    results = Results(folder)
    found = results.chosen("last", {"elr.decay": "0.7"})
    found += results.chosen("last", {"method": "ce"})
    draw_sweep(tmp_path / "a.png", results, found, ("rate", "elr.strength"), {}, "t")
    ((title,),) = drawn["set_title"]
    assert [line.partition(":")[0] for line in title.splitlines()] == [
        "elr", "ce, rate=0.2", "ce, rate=0.50"
    ]  # fmt: skip


def test_curves_over_one_column(folder, tmp_path, drawn):
    results = Results(folder)
    found = results.chosen("last", {"elr.decay": "0.7"})
    draw_sweep(tmp_path / "a.png", results, found, ("rate",), {"rate": "0.5"}, "title")
    assert [list(x) for x, *_ in drawn["errorbar"]] == [[0.2, 0.5]] * 2
    (words,) = {r.columns["method"] for r in found}
    assert words == "elr"


def test_points_with_ends_of_their_own_are_one_curve(tmp_path, drawn):
    folder = swept(tmp_path, "sizes=1,1:2:3; rate=0.2,0.5")
    results = Results(folder)
    found = results.chosen("last", {})
    assert {r.columns["size"] for r in found} == {"1", "3"}
    draw_sweep(tmp_path / "a.png", results, found, ("rate",), {}, "title")
    assert [list(x) for x, *_ in drawn["errorbar"]] == [[0.2, 0.5]] * 2
    draw_sweep(tmp_path / "b.png", results, found, ("sizes",), {}, "title")
    assert [list(x) for x, *_ in drawn["errorbar"][2:]] == [[0.0, 1.0]] * 2


def test_an_option_beside_its_default_is_a_line_of_its_own(tmp_path, drawn):
    points = [
        *toy_points(tmp_path, "rate=0.2,0.5", ("elr",)),
        *toy_points(tmp_path, "rate=0.2,0.5; elr.strength=1", ("elr",)),
    ]
    for point in points:
        run_toy(point)
    results = Results(SweepFolder.write(sweep_path(str(tmp_path), "s"), points, {}))
    found = results.chosen("last", {})
    draw_sweep(tmp_path / "a.png", results, found, ("rate",), {}, "title")
    assert [list(x) for x, *_ in drawn["errorbar"]] == [[0.2, 0.5]] * 2


def test_words_are_drawn_in_order(tmp_path, drawn):
    folder = swept(tmp_path, "methods=gce,ce; fast=true,false", seconds=0.0)
    results = Results(folder)
    found = results.chosen("last", {})
    draw_sweep(tmp_path / "a.png", results, found, ("fast",), {}, "title")
    assert [list(x) for x, *_ in drawn["errorbar"]] == [[0.0, 1.0]] * 2


def test_the_best_point_and_what_chose_it(folder):
    results = Results(folder)
    text = best(results, "last", "last", ("rate", "method"), {})
    rule, _, header, _, *lines = text.splitlines()
    assert rule.startswith("last: chosen by what is reported")
    assert header.split()[-2:] == ["last", "of"]
    assert [line.split()[-1] for line in lines] == ["1", "4", "1", "4"]
    elr = results.chosen("last", {"rate": "0.5", "method": "elr"})
    top = max(elr, key=lambda r: r.array.mean())
    assert lines[3].split()[:3] == ["0.50", top.columns["elr.strength"],
                                    top.columns["elr.decay"]]  # fmt: skip
    # Held-out labels choose without a look at the test set: the lower rate.
    text = best(results, "last", "noisy_validation", ("method",), {})
    assert "held-out noisy labels" in text
    assert [line.split()[0] for line in text.splitlines()[4:]] == ["0.2", "0.2"]
    assert "70.0" in text
    bound = best(results, "best_on_test", "best_on_test", (), {})
    assert bound.startswith("best_on_test: a bound, not a result")


def test_which_measures_are_best_where_they_are_lowest():
    found = {}
    for study in ("active_learning", "instruction_selection", "label_noise"):
        report = importlib.import_module(f"experiments.studies.{study}.report")
        found[study] = {m.key for m in report.MEASURES if m.lowest_is_best}
    # What the next query is worth, and answers rightly preferred, are to be high.
    assert found == {
        "active_learning": {"spent"},
        "instruction_selection": {
            *("kept", "among_kept", "lift", "p_fewer", "radius", "wrong_ll"),
        },
        "label_noise": {"noisy_memorized"},
    }


def test_the_best_of_what_should_be_small_is_the_lowest(folder):
    results = Results(folder)
    for table in results.tables.values():
        small = dataclasses.replace(table.measures["last"], lowest_is_best=True)
        table.measures["last"] = small
    text = best(results, "last", "last", (), {})
    means = [r.array.mean() for r in results.chosen("last", {})]
    assert f"{min(means):.1f} ±" in text
    assert "the lowest is the best; 20 of 20 points are finished" in text
    # Held-out labels are to be met whatever is measured.
    text = best(results, "last", "noisy_validation", ("method",), {})
    assert "70.0" in text
    assert "lowest" not in text


def test_choices_that_are_none(folder):
    results = Results(folder)
    for arguments, line in (
        (("last", "first", ()), "select: unknown 'first'"),
        (("lst", "last", ()), "measure: no finished point has 'lst'"),
        (("best_on_test", "last", ()), "select: got last for best_on_test"),
        (("last", "best_on_test", ()), "select: best_on_test is of --best=best_on"),
        (("last", "last", ("rat",)), "per: unknown 'rat'"),
    ):
        with pytest.raises(ValueError, match=line):
            best(results, *arguments, {})
