"""The verdicts of docs/results.md, by rule, and what presets promise."""

import importlib
import json
import pathlib
import re

import numpy as np
import pytest
from scipy import stats

from experiments.reporting import claims
from experiments.reporting.claims import (
    NOT_RUN,
    NOT_SEEN,
    REPRODUCED,
    SAME_ORDER,
    SEEN,
    Claim,
    Difference,
    Side,
    as_claim,
    difference,
    sides,
    verdict,
)
from experiments.reporting.kept_runs import read_run

STUDIES = (
    "active_learning",
    "dataset_bias",
    "features",
    "label_correction",
    "label_noise",
    "pruning",
)
PAPER = Claim(
    "a",
    "b",
    source="c",
    printed=(60.0,),
    printed_baseline=(50.0,),
    published_setting=True,
)


def side(*values):
    array = np.array(values, float)
    return Side(float(array.mean()), float(array.std(ddof=1)), len(array), array)


def without_values(side):
    return Side(side.mean, side.deviation, side.count)


def test_a_difference_is_paired_by_repeat_where_repeats_were_kept():
    method, baseline = side(51, 62, 73), side(50, 60, 70)
    found = difference(method, baseline)
    assert found.paired
    np.testing.assert_allclose(
        (found.mean, found.error, found.interval),
        (2, 1 / 3**0.5, 4.302653 / 3**0.5),
        rtol=1e-6,
    )
    for apart in (
        difference(method, without_values(baseline)),
        difference(method, baseline, same_run=False),
        difference(method, side(50, 70)),
    ):
        assert not apart.paired
    apart = difference(without_values(method), without_values(baseline))
    error = (11**2 / 3 + 10**2 / 3) ** 0.5
    np.testing.assert_allclose((apart.mean, apart.error), (2, error))
    for other in (baseline, side(60.0, 60.1, 59.9), side(50, 60, 70, 60, 60)):
        apart = difference(method, without_values(other))
        welch = stats.ttest_ind(method.values, other.values, equal_var=False)
        low, high = welch.confidence_interval(0.95)
        want = ((low + high) / 2, (high - low) / 2)
        np.testing.assert_allclose((apart.mean, apart.interval), want)
    same = Side(60, 0.0, 3)
    assert difference(same, same) == Difference(0, 0, 0, False)
    alone = Side(60, np.nan, 1, np.array([60.0]))
    with pytest.raises(ValueError, match="repeats: got 1, expected at least two"):
        difference(alone, alone)


@pytest.mark.parametrize(
    ("gain", "changes", "want"),
    [
        (10.0, {}, REPRODUCED),
        (6.7, {}, REPRODUCED),
        (6.6, {}, SAME_ORDER),
        (15.1, {}, SAME_ORDER),
        (10.0, {"published_setting": False}, SAME_ORDER),
        (10.0, {"printed_baseline": ()}, SEEN),
        (10.0, {"printed": (), "printed_baseline": (), "source": ""}, SEEN),
        (0.5, {}, NOT_SEEN),
        (-10.0, {}, NOT_SEEN),
        (-10.0, {"printed": (40.0,)}, REPRODUCED),
        (10.0, {"printed": (40.0,)}, NOT_SEEN),
    ],
)
def test_verdicts_follow_the_rule(gain, changes, want):
    method, baseline = side(*(50 + gain + d for d in (-0.3, 0, 0.3))), side(50, 50, 50)
    claim = Claim(**{**vars(PAPER), **changes})
    assert verdict(claim, difference(method, baseline)) == want
    assert verdict(claim, None) == NOT_RUN


def test_rows_are_found_and_ambiguous_ones_refused():
    claim = as_claim(
        {
            "area": "a",
            "effect": "b over c",
            "here": "d",
            "run": "none/such",
            "measure": "last",
            "where": {"fraction": "0.2"},
            "method": {"method": "b"},
            "baseline": {"method": "c"},
        }
    )
    row = {"fraction": "0.2", "last_mean": "3", "last_std": "1", "repeats": "4"}
    table = [
        {**row, "method": "b"},
        {**row, "method": "c", "last_mean": "2"},
        {**row, "method": "b", "fraction": "0.1"},
    ]
    method, baseline = sides(claim, lambda path: table)
    assert (method, baseline) == (Side(3, 1, 4), Side(2, 1, 4))
    with pytest.raises(ValueError, match="has 2 rows with .*expected one"):
        sides(claim, lambda path: [*table, table[0]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "expected a run with measure"),
        ({"run": "x/y", "why_not": "z"}, "expected a run with measure"),
        ({"run": "x/y", "measure": "last"}, "expected a run with measure"),
        ({"why_not": "z", "printed": [1.0]}, "printed numbers and no source"),
    ],
)
def test_claims_that_say_too_little_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        as_claim({"area": "a", "effect": "b", **fields})


def test_a_kept_run_says_what_it_holds_and_no_more(tmp_path):
    (tmp_path / "summary.csv").write_text("method,repeats\na,3\nb,5\n")
    old = read_run(tmp_path, {"s/r": "s --preset=p"}, "s/r")
    assert (old.command, old.from_page) == ("s --preset=p", True)
    assert (old.device, old.versions, old.minutes) == ("", "", None)
    assert (old.repeats, old.has_repeats) == ((3, 5), False)
    assert read_run(tmp_path, {}, "s/r").command == ""
    record = {
        "command": "python -m experiments.s --preset=q",
        "versions": {"jax": "0.10.2", "device": "1 x cpu"},
    }
    (tmp_path / "config.json").write_text(json.dumps(record))
    (tmp_path / "speed.csv").write_text("method,minutes\na,1.5\nb,0.25\n")
    (tmp_path / "repeats.csv").write_text("")
    new = read_run(tmp_path, {"s/r": "s --preset=p"}, "s/r")
    assert (new.command, new.from_page) == ("s --preset=q", False)
    assert (new.device, new.versions) == ("1 x cpu", "jax 0.10.2")
    assert (new.minutes, new.has_repeats) == (1.75, True)


def test_what_presets_promise_is_in_the_files_of_their_studies():
    checked = 0
    for study in STUDIES:
        folder = claims.RESULTS / study
        known = {
            cell
            for path in folder.glob("*/summary.csv")
            for cell in summary_cells(path.relative_to(claims.RESULTS))
        }
        presets = importlib.import_module(f"experiments.studies.{study}.presets")
        for name, preset in presets.PRESETS.items():
            cells = re.findall(r"[\d.]+ ±[\d.]+ \(\w+\)", preset.expect)
            assert len(cells) == preset.expect.count("±"), f"{study} {name}: whose?"
            for cell in cells:
                assert cell in known, f"{study} --preset={name}: {cell}"
                checked += 1
    assert checked > 30


def summary_cells(path: pathlib.Path) -> list[str]:
    return [
        f"{float(row[key]):.1f} ±{float(row[f'{key[:-5]}_std']):.1f} ({row['method']})"
        for row in claims.read_rows(str(path))
        for key in row
        if key.endswith("_mean") and row[key]
    ]
