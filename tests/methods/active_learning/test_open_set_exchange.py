"""A person as the oracle of open-set active learning, through files."""

from __future__ import annotations

import csv

import jax
import numpy as np
import pytest

from robustjax.methods.active_learning import (
    SKIPPED,
    UNASKED,
    OpenSetBudget,
    OpenSetExchange,
    OpenSetRun,
    run_rounds,
)
from robustjax.methods.active_learning._open_set_simulation import simulated_oracle
from tests.methods.open_set_problem import InOrder, NearestMean, make_blobs

NAMES = ("owl", "crow", "duck")
BLOBS = make_blobs(60)
IDS = [f"photo_{i:03d}" for i in range(60)]
KNOWN = np.where(np.arange(60) < 6, BLOBS.labels, UNASKED)


def make_exchange(folder, **changes):
    settings = {"batch": 20, "ids": IDS, "known_labels": KNOWN}
    return OpenSetExchange(
        folder,
        BLOBS.inputs,
        NAMES,
        InOrder(),
        NearestMean(BLOBS.inputs, 3),
        **{**settings, **changes},
    )


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def answer(exchange, count=None):
    """Plays the person: fills in the first `count` questions."""
    questions = read(exchange.folder / "to_label.csv")
    for number, row in enumerate(questions):
        if count is None or number < count:
            label = BLOBS.labels[IDS.index(row["id"])]
            row["new_label"] = (
                "ood" if label == 3 else NAMES[label] if number % 2 else str(label)
            )
    write(exchange.folder / "labeled.csv", questions)
    return [IDS.index(row["id"]) for row in questions]


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.slow
def test_exchange_equals_the_simulated_oracle_whatever_process_it_is(tmp_path):
    run = OpenSetRun(
        InOrder(),
        NearestMean(BLOBS.inputs, 3),
        OpenSetBudget(20, 3),
        # As the exchange has it.
        jax.random.key(0),
        num_examples=60,
        num_classes=3,
    )
    state = run.start(np.arange(6), BLOBS.labels[:6])
    whole, _ = run_rounds(run, state, simulated_oracle(BLOBS.labels))
    for folder, fresh in ((tmp_path / "one", False), (tmp_path / "many", True)):
        exchange, asked = make_exchange(folder), []
        while (pending := exchange.advance()) is not None:
            # Asking again before there is an answer changes nothing.
            assert exchange.advance() == pending
            asked += answer(exchange)
            if fresh:
                exchange = make_exchange(folder)
        assert asked == np.asarray(whole.picks)[6:].tolist()
        np.testing.assert_array_equal(exchange.labels, whole.labels)
        history = exchange._history()
        memory = exchange._memory(history, exchange._standing(history), 3)
        assert int(memory["ood"]) == int(whole.memory["ood"]) > 0
        assert exchange.advance() is None


def test_blanks_stay_open_and_files_tell_everything(tmp_path):
    told = []
    exchange = make_exchange(tmp_path, report=told.append)
    exchange.advance()
    questions = read(tmp_path / "to_label.csv")
    assert all(row["suggested_label"] in NAMES for row in questions)
    assert all(float(row["uncertainty"]) >= 0 for row in questions)
    rows = answer(exchange, count=12)
    filled = read(tmp_path / "labeled.csv")
    filled[12]["new_label"] = "don\N{RIGHT SINGLE QUOTATION MARK}t know"
    write(tmp_path / "labeled.csv", filled)
    pending = exchange.advance()
    assert (pending.round_number, pending.questions) == (1, 20)
    none = sum(BLOBS.labels[row] == 3 for row in rows[:12])
    assert told == [
        f"labeled.csv: took in 13: {12 - none} labeled, "
        + (f"{none} none of the classes, " if none else "")
        + "1 not known; 7 still open"
    ]
    again = [IDS.index(row["id"]) for row in read(pending.asked)]
    assert not set(again) & set(rows[:13])
    assert exchange.labels[rows[12]] == SKIPPED
    assert (exchange.labels[rows[13:]] == UNASKED).all()
    for i, row in enumerate(read(tmp_path / "labels.csv")):
        assert row["id"] == IDS[i]
        label = (*NAMES, "ood")[BLOBS.labels[i]]
        status = "known" if i < 6 else "unlabeled"
        if i in rows[:13]:
            status = "labeled" if i in rows[:12] else "unknown"
        assert row["status"] == status
        assert row["label"] == (label if status in ("known", "labeled") else "")


def test_an_amended_answer_is_learnt_as_if_it_had_been_given_at_first(tmp_path):
    """Also by a strategy that learns from round to round."""
    memories, questions = [], []
    for folder, mistaken in ((tmp_path / "right", False), (tmp_path / "amended", True)):
        exchange = make_exchange(folder)
        exchange.advance()
        answer(exchange)
        rows = read(folder / "labeled.csv")
        truth = rows[0]["new_label"]
        if mistaken:
            rows[0]["new_label"] = "ood" if truth != "ood" else "owl"
            write(folder / "labeled.csv", rows)
        exchange.advance()
        if mistaken:
            path = folder / "answers" / "round_0000.csv"
            rows[0]["new_label"] = truth
            write(path, rows)
            # Other questions than before, of another round.
            assert exchange.advance().round_number == 2
            assert exchange.advance().round_number == 2
        else:
            exchange.advance()
        history = exchange._history()
        found = exchange._standing(history)
        memories.append(exchange._memory(history, found, 1))
        questions.append(read(folder / "to_label.csv"))
        assert (
            exchange.labels[IDS.index(rows[0]["id"])]
            == BLOBS.labels[IDS.index(rows[0]["id"])]
        )
    assert int(memories[0]["ood"]) == int(memories[1]["ood"])
    assert {row["id"] for row in questions[0]} == {row["id"] for row in questions[1]}


def test_a_table_of_labels_without_a_change_amends_nothing(tmp_path):
    """What is "ood" there was taken for a new answer, of nobody."""
    told = []
    exchange = make_exchange(tmp_path, report=told.append)
    exchange.advance()
    asked = read(tmp_path / "to_label.csv")[0]["id"]
    said = [{"id": asked, "new_label": "ood", "annotator": who} for who in "AB"]
    write(tmp_path / "labeled.csv", said)
    exchange.advance()
    rows = read(tmp_path / "labels.csv")
    assert ("ood", "known") in {(row["label"], row["status"]) for row in rows}
    write(tmp_path / "mine.csv", rows)
    exchange.advance(amend=tmp_path / "mine.csv")
    assert read(tmp_path / "labels.csv") == rows
    assert len(exchange._history()) == 3
    rows[0]["label"] = "ood"
    write(tmp_path / "mine.csv", rows)
    exchange.advance(amend=tmp_path / "mine.csv")
    assert told[-1].startswith("mine.csv: took in 1: 1 none of the classes")


def test_without_any_label_the_first_questions_suggest_nothing(tmp_path):
    exchange = make_exchange(tmp_path, known_labels=None)
    exchange.advance()
    questions = read(tmp_path / "to_label.csv")
    assert {row["suggested_label"] for row in questions} == {""}
    answer(exchange)
    exchange.advance()
    assert read(tmp_path / "to_label.csv")[0]["suggested_label"] in NAMES


def test_faulty_answers_lose_nothing(tmp_path):
    exchange = make_exchange(tmp_path)
    pending = exchange.advance()
    questions = read(pending.asked)
    stranger = next(i for i in IDS if i not in {row["id"] for row in questions})
    for fault, message in (
        ({"id": stranger, "new_label": "owl"}, f"not asked about .*{stranger}"),
        ({"id": questions[1]["id"], "new_label": "owl"}, "lines 2 and 3 both answer"),
        ({"new_label": "sparrow"}, "no class .*'sparrow'"),
        ({"new_label": "3"}, r"no class .*'3'.*line 2\)"),
    ):
        rows = [dict(row, new_label="ood") for row in questions]
        write(pending.answers, [dict(rows[0], **fault), *rows[1:]])
        with pytest.raises(ValueError, match=message):
            exchange.advance()
        assert pending.answers.exists()
    answer(exchange)
    assert exchange.advance().round_number == 1


def test_bad_arguments_leave_no_folder_and_others_are_refused(tmp_path):
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match="batch: got 55, .* without a label, 54"):
        make_exchange(folder, batch=55)
    for known, message in (
        (np.where(KNOWN == 3, 4, KNOWN), r"got 4 at row \d+, expected -1"),
        (KNOWN[1:], "got shape"),
        (KNOWN.astype(float), "got float64, expected integers"),
    ):
        with pytest.raises(ValueError, match=f"known_labels: {message}"):
            make_exchange(folder, known_labels=known)
    for names in (("owl", "ood"), ("owl", "owl"), ()):
        with pytest.raises(ValueError, match="class_names: got"):
            OpenSetExchange(
                folder, BLOBS.inputs, names, InOrder(), None, batch=5, ids=IDS
            )
    assert not folder.exists()
    make_exchange(folder)
    make_exchange(folder, batch=10)
    with pytest.raises(ValueError, match="begun with other data"):
        make_exchange(folder, known_labels=None)
    with pytest.raises(ValueError, match="begun with other settings"):
        make_exchange(folder, settings={"epochs": 3})
