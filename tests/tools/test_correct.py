"""The launcher, as a person uses it: commands and files."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from robustjax import data
from tests.harness.forked import ROOT
from tests.harness.tool_runs import options_of, run_verb

NAMES = ("cat", "dog", "cow")
_COMMAND = ("-m", "robustjax", "correct")


def _read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def small(tmp_path):
    """Flags for 40 points in three clusters, one label in four wrong; the truth."""
    rng = np.random.default_rng(0)
    true = np.arange(40) % 3
    labels = np.where(np.arange(40) % 4, true, (true + 1) % 3)
    inputs = rng.normal(size=(40, 4)) + 4 * np.eye(3, 4)[true]
    ids = [f"animal {row}" for row in range(40)]
    dataset = data.make_dataset(
        inputs.astype(np.float32), labels, ids=ids, class_names=NAMES
    )
    data.save_npz(tmp_path / "animals.npz", train=dataset)
    flags = {
        "dataset": tmp_path / "animals.npz",
        "folder": tmp_path / "correction",
        "batch": 25,
        "hidden": "8,8",
        "epochs": 3,
    }
    return flags, dict(zip(ids, (NAMES[label] for label in true)))


@pytest.mark.slow
def test_a_round_trip_through_the_files(small):
    flags, truth = small
    folder = flags["folder"]
    expected = dict.fromkeys(truth)
    for number, questions in enumerate((25, 15)):
        done = run_verb("correct", **flags)
        assert done.returncode == 0, done.stderr
        assert f"round {number}: answer on the page" in done.stdout
        assert f"({questions} questions)" in done.stdout
        rows = _read(folder / "to_label.csv")
        assert len(rows) == questions
        # One is not known in each round.
        rows[0]["new_label"] = "don't know"
        for row in rows[1:]:
            row["new_label"] = expected[row["id"]] = truth[row["id"]]
        with open(folder / "labeled.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    done = run_verb("correct", **flags)
    assert done.returncode == 0, done.stderr
    assert "every example was answered (2 of them by no class)" in done.stdout
    labels = _read(folder / "labels.csv")
    assert sum(row["status"] == "unknown" for row in labels) == 2
    for row in labels:
        assert row["label"] == (expected[row["id"]] or row["given_label"])


@pytest.mark.slow
def test_bad_flags_are_one_line_and_status_2(small):
    flags, _ = small
    for changes, message in (
        ({"dataset": None}, "error: --dataset: got nothing, expected --dataset=…"),
        ({"method": "o2u_net"}, "error: noise_rate: got nothing, expected a value for"),
        (
            {"method": "o2u_net", "options": "noise_rate=1.5"},
            "error: --options (o2u_net.noise_rate): got 1.5, expected a number in",
        ),
        (
            {"method": "alc", "options": "weight_stepp=1"},
            "error: --options: alc has no 'weight_stepp' (did you mean 'weight_step'?)",
        ),
        ({"options": "weight_step=1"}, "error: --options: got some without --method"),
        ({"costs": "costs.csv"}, "error: --batch: got 25 beside --costs, expected"),
        (
            {"costs": "costs.csv", "batch": None},
            "error: --round-budget: got nothing beside --costs, expected",
        ),
        ({"round_budget": 2.5}, "error: --round-budget: got 2.5 without --costs"),
        ({"cost_blind": True}, "error: --cost-blind: got true without --costs"),
    ):
        merged = {**flags, **changes}
        done = run_verb("correct", **merged)
        assert done.returncode == 2
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1
    assert not flags["folder"].exists()


@pytest.mark.slow
def test_sigterm_ends_the_training_and_keeps_the_answers(small):
    flags, _ = small
    process = subprocess.Popen(
        [sys.executable, *_COMMAND, *options_of(flags | {"epochs": 50})],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # They are written just before the training, whose compilation takes longer.
        deadline = time.monotonic() + 120
        while not (flags["folder"] / "labels.csv").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143, errors
    assert "stopped by SIGTERM; run the same command again" in errors
    assert not (flags["folder"] / "to_label.csv").exists()


@pytest.mark.slow
def test_a_ranking_says_what_to_ask_first(small, tmp_path):
    flags, truth = small
    flags |= {"batch": 3, "epochs": 1, "scores": tmp_path / "issues.csv"}
    wanted = ["animal 7", "animal 30", "animal 2"]
    lines = [f"{each},{wanted.index(each)}" for each in wanted]
    lines += [f"{each},{9 + n}" for n, each in enumerate(truth) if each not in wanted]
    flags["scores"].write_text("\n".join(["id,score", *reversed(lines)]))
    done = run_verb("correct", **flags)
    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in _read(flags["folder"] / "to_label.csv")] == wanted
    for text, changes, line in (
        ("id,rank\nanimal 1,2\n", {}, "--scores: "),
        ("id,score\nanimal 1,2\n", {}, "--scores: "),
        ("id,score\nanimal 1,low\n", {}, "--scores: "),
        ("", {"method": "entropy"}, "--method: got entropy beside --scores"),
        ("", {"options": "weight_step=1"}, "--options: --scores has none"),
    ):
        flags["scores"].write_text(text)
        done = run_verb("correct", **flags | changes)
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {line}"), done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_round_asks_for_what_its_budget_pays_for(small, tmp_path):
    """By a ranking, whose order is known: the least likely label per cost first."""
    flags, truth = small
    wanted = ["animal 7", "animal 30", "animal 2"]
    costs, scores = dict.fromkeys(truth, 50.0), dict.fromkeys(truth, 0.75)
    # What they lack to 1, per cost: 1/4, 1/8 and 1/2.
    costs |= dict(zip(wanted, (2.0, 4.0, 0.5)))
    scores |= dict(zip(wanted, (0.5, 0.5, 0.75)))
    paths = {}
    for name, column, values in (("costs", "cost", costs), ("scores", "score", scores)):
        paths[name] = tmp_path / f"{name}.csv"
        lines = [f"{each},{value}" for each, value in reversed(values.items())]
        paths[name].write_text("\n".join([f"id,{column}", *lines]))
    flags = flags | paths | {"batch": None, "epochs": 1, "round_budget": 6.75}
    done = run_verb("correct", **flags)
    assert done.returncode == 0, done.stderr
    assert "3 questions that cost 6.5 of 6.75" in done.stdout
    asked = [row["id"] for row in _read(flags["folder"] / "to_label.csv")]
    assert asked == ["animal 2", "animal 7", "animal 30"]
    blind = {"folder": tmp_path / "blind", "cost_blind": True}
    done = run_verb("correct", **flags | blind)
    assert done.returncode == 0, done.stderr
    asked = [row["id"] for row in _read(blind["folder"] / "to_label.csv")]
    assert asked == ["animal 7", "animal 30", "animal 2"]

    done = run_verb(
        "correct", **flags | {"folder": tmp_path / "f", "round_budget": 0.4}
    )
    assert done.returncode == 2
    line = "error: --round-budget: got 0.4, expected at least the cost of the cheapest"
    assert done.stderr.startswith(line), done.stderr
    for text, line in (
        ("id,price\nanimal 1,2\n", "lacks the column"),
        ("id,cost\nanimal 1,2\n", "39 example(s)"),
        (paths["costs"].read_text().replace(",50.0", ",0"), "expected numbers above 0"),
        (paths["costs"].read_text().replace("animal 3,", "plant 3,"), "plant 3"),
    ):
        paths["costs"].write_text(text)
        done = run_verb("correct", **flags | {"folder": tmp_path / "f"})
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert line in done.stderr
    assert not (tmp_path / "f").exists()
