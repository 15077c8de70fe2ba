"""A callback or a person as the oracle."""

from __future__ import annotations

import csv
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from robustjax import data, methods

NAMES = [entry.name for entry in methods.entries("label_correction")]


SETTINGS = methods.ClassifierSettings(hidden=(32, 32, 32), epochs=8, batch_size=32)


def _read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _answer(exchange, dataset, true, rows=None, count=None, rest=""):
    """Plays the person: answers the first `count` questions, most by name."""
    questions = rows or _read(exchange.folder / "to_label.csv")
    truth = dict(zip(dataset.ids.tolist(), true))
    with open(exchange.folder / "labeled.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, questions[0])
        writer.writeheader()
        for number, row in enumerate(questions):
            if count is None or number < count:
                label = truth[row["id"]]
                row["new_label"] = str(label) if number % 3 else f"number {label}"
            else:
                row["new_label"] = rest
            writer.writerow(row)
    return [row["id"] for row in questions]


@pytest.mark.slow
def test_callback_is_asked_about_ids_and_its_answers_enter_the_labels(noisy):
    dataset, true = noisy
    truth = dict(zip(dataset.ids.tolist(), true))
    asked = []

    def oracle(ids):
        asked.extend(ids.tolist())
        return np.array([truth[i] for i in ids.tolist()])

    settings = methods.ClassifierSettings(hidden=(64, 64), epochs=20, batch_size=32)
    result = methods.correct_labels(
        dataset, oracle, budget=40, batch=10, settings=settings
    )
    assert len(set(asked)) == 40
    np.testing.assert_array_equal(dataset.ids[result.queried], asked)
    np.testing.assert_array_equal(result.labels[result.queried], true[result.queried])
    rest = np.setdiff1d(np.arange(300), result.queried)
    np.testing.assert_array_equal(result.labels[rest], dataset.labels[rest])
    assert (dataset.labels != true)[result.queried].mean() > 0.8
    assert result.probabilities.shape == (300, 10)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_bad_answers_of_a_callback_are_named(noisy):
    dataset, _ = noisy
    with pytest.raises(ValueError, match=r"answers: .* out of range \(first: 10"):
        methods.correct_labels(
            dataset,
            lambda ids: np.full(len(ids), 10),
            budget=5,
            batch=5,
            settings=SETTINGS,
        )
    with pytest.raises(ValueError, match="budget: got 301"):
        methods.correct_labels(dataset, None, budget=301, batch=5, settings=SETTINGS)


@pytest.mark.slow
def test_exchange_asks_takes_in_and_asks_again(noisy, tmp_path):
    dataset, true = noisy
    exchange = methods.LabelExchange(tmp_path, dataset, batch=20, settings=SETTINGS)
    pending = exchange.advance()
    assert (pending.round_number, pending.questions) == (0, 20)
    questions = _read(pending.asked)
    assert len(questions) == 20
    assert all(row["new_label"] == "" for row in questions)
    given = dict(zip(dataset.ids.tolist(), dataset.labels))
    assert all(
        row["current_label"] == f"number {given[row['id']]}" for row in questions
    )
    # Asking again before there is an answer changes nothing.
    assert exchange.advance() == pending
    assert _read(pending.asked) == questions

    # The person answers 12 of 20, days later another process reads them.
    asked = _answer(exchange, dataset, true, count=12, rest="don't know")
    exchange = methods.LabelExchange(tmp_path, dataset, batch=20, settings=SETTINGS)
    assert exchange.advance().round_number == 1
    assert not (tmp_path / "labeled.csv").exists()
    assert (tmp_path / "answers" / "round_0000.csv").exists()
    truth = dict(zip(dataset.ids.tolist(), true))
    for row in _read(tmp_path / "labels.csv"):
        answered = row["id"] in asked[:12]
        expected = truth[row["id"]] if answered else given[row["id"]]
        assert row["label"] == f"number {expected}"
        assert row["given_label"] == f"number {given[row['id']]}"
        if answered:
            changed = expected != given[row["id"]]
            assert row["status"] == ("corrected" if changed else "confirmed")
        else:
            assert row["status"] == ("unknown" if row["id"] in asked else "given")
    rows = data.rows_of(dataset, asked[:12])
    np.testing.assert_array_equal(exchange.labels[rows], true[rows])
    # Nothing is asked about again, answered or not.
    again = {row["id"] for row in _read(tmp_path / "to_label.csv")}
    assert not again & set(asked)


def test_faulty_answers_lose_nothing(noisy, tmp_path):
    dataset, true = noisy
    exchange = methods.LabelExchange(tmp_path, dataset, batch=10, settings=SETTINGS)
    pending = exchange.advance()
    questions = _read(pending.asked)
    stranger = next(
        i for i in dataset.ids.tolist() if i not in {row["id"] for row in questions}
    )
    for fault, message in (
        ({"id": stranger, "new_label": "1"}, f"not asked about .*{stranger}"),
        ({"new_label": "number ten"}, "no class .*'number ten'"),
    ):
        rows = [dict(questions[0], **fault), *questions[1:]]
        with open(pending.answers, "w", newline="") as file:
            writer = csv.DictWriter(file, questions[0])
            writer.writeheader()
            writer.writerows(rows)
        with pytest.raises(ValueError, match=message):
            exchange.advance()
        assert pending.answers.exists()
    pending.answers.write_text("")
    with pytest.raises(ValueError, match="lacks the column"):
        exchange.advance()
    _answer(exchange, dataset, true)
    assert exchange.advance().round_number == 1


@pytest.mark.slow
def test_exchange_equals_the_callback(noisy, tmp_path):
    dataset, true = noisy
    truth = dict(zip(dataset.ids.tolist(), true))
    direct = methods.correct_labels(
        dataset,
        lambda ids: np.array([truth[i] for i in ids.tolist()]),
        budget=40,
        batch=20,
        settings=SETTINGS,
    )
    exchange = methods.LabelExchange(tmp_path, dataset, batch=20, settings=SETTINGS)
    asked = []
    for _ in range(2):
        exchange.advance()
        asked += _answer(exchange, dataset, true)
    exchange.advance()
    np.testing.assert_array_equal(dataset.ids[direct.queried], asked)
    np.testing.assert_array_equal(exchange.labels, direct.labels)


@pytest.mark.parametrize("name", ["alc", pytest.param("dalc", marks=pytest.mark.slow)])
def test_exchange_ends_when_everything_was_asked(noisy, tmp_path, name):
    """Whatever is not known, nothing is asked about twice and nothing never."""
    dataset, true = noisy
    exchange = methods.LabelExchange(
        tmp_path,
        dataset,
        batch=110,
        method=methods.make_correction_method(name),
        settings=SETTINGS,
    )
    asked, answered = [], []
    for number, count in enumerate((0, 100, None)):
        pending = exchange.advance()
        assert (pending.round_number, pending.questions) == (
            number,
            (110, 80)[number // 2],
        )
        batch = _answer(exchange, dataset, true, count=count, rest="?")
        asked += batch
        answered += batch[:count]
    assert exchange.advance() is None
    assert exchange.advance() is None
    assert sorted(asked) == sorted(dataset.ids.tolist())
    rows = data.rows_of(dataset, answered)
    expected = dataset.labels.copy()
    expected[rows] = true[rows]
    np.testing.assert_array_equal(exchange.labels, expected)
    status = exchange.status
    skipped = np.setdiff1d(np.arange(300), rows)
    assert set(status[skipped]) == {"unknown"}
    np.testing.assert_array_equal(
        status[rows] == "corrected", (dataset.labels != true)[rows]
    )
    assert [row["status"] for row in _read(tmp_path / "labels.csv")] == status.tolist()


def test_skipped_examples_are_unchecked_in_training_and_asked_in_selection(noisy):
    from robustjax.methods.label_correction._label_ranking import AskOnce

    dataset, _ = noisy
    seen = {}

    class Spy:
        name = "spy"

        def init_memory(self, trainer, labels, keys):
            return ()

        def train(self, trainer, state, keys):
            seen["train"] = np.asarray(state.queried)
            return None, ()

        def select(self, trainer, model, state, keys, count):
            seen["select"] = np.asarray(state.queried)
            return state.picks[:, :count], ()

    trainer = methods.RoundTrainer(dataset.inputs, 10, SETTINGS)
    method = AskOnce(Spy())
    run = methods.CorrectionRun(method, trainer, methods.Budget(2, 1), np.zeros(1))
    state = run.start(dataset.labels[None])
    skipped = state.memory.skipped.at[0, 5].set(True)
    state = state._replace(
        queried=state.queried.at[0, 7].set(True),
        memory=state.memory._replace(skipped=skipped),
    )
    _, memory = method.train(trainer, state, None)
    method.select(trainer, None, state, None, 1)
    assert np.flatnonzero(seen["train"]).tolist() == [7]
    assert np.flatnonzero(seen["select"]).tolist() == [5, 7]
    assert memory.skipped is skipped


class _KilledError(BaseException):
    pass


def _two_rounds(folder, dataset, true):
    """Asks, answers a part, and asks again, in as many processes as it takes."""
    while True:
        exchange = methods.LabelExchange(
            folder,
            dataset,
            batch=20,
            method=methods.make_correction_method("entropy"),
            settings=methods.ClassifierSettings(hidden=(8,), epochs=1, batch_size=100),
        )
        pending = exchange.advance()
        if pending.round_number == 1:
            return
        _answer(exchange, dataset, true, count=15)


@pytest.mark.slow
def test_every_point_of_death_is_safe(noisy, tmp_path, monkeypatch):
    """Dies before every file that appears under its name, and continues."""
    dataset, true = noisy
    originals = {"replace": os.replace, "rename": os.rename}
    commits, deadly = [], None

    def commit(kind, source, target):
        target = pathlib.Path(target)
        if tmp_path in target.parents and ".partial" not in str(target):
            commits.append(target.name)
            if len(commits) - 1 == deadly:
                raise _KilledError
        originals[kind](source, target)

    for kind in originals:
        monkeypatch.setattr(os, kind, lambda *a, kind=kind, **k: commit(kind, *a))
    _two_rounds(tmp_path / "whole", dataset, true)
    assert commits == [
        "exchange.json",
        *("labels.csv", "to_label.csv"),
        *("round_0000.csv", "labels.csv", "to_label.csv"),
    ]
    for point in range(len(commits)):
        commits, deadly = [], point
        folder = tmp_path / f"died_{point}"
        with pytest.raises(_KilledError):
            _two_rounds(folder, dataset, true)
        deadly = None
        _two_rounds(folder, dataset, true)
        assert not (folder / "labeled.csv").exists()
        for name in ("to_label.csv", "labels.csv", "answers/round_0000.csv"):
            expected = (tmp_path / "whole" / name).read_text()
            assert (folder / name).read_text() == expected, (point, name)


def test_a_folder_belongs_to_its_data_and_settings(noisy, tmp_path):
    dataset, _ = noisy
    methods.LabelExchange(tmp_path, dataset, batch=10, settings=SETTINGS)
    methods.LabelExchange(tmp_path, dataset, batch=11, settings=SETTINGS)
    with pytest.raises(ValueError, match="begun with other seed"):
        methods.LabelExchange(tmp_path, dataset, batch=10, settings=SETTINGS, seed=1)
    with pytest.raises(ValueError, match="begun with other data"):
        methods.LabelExchange(
            tmp_path, data.take(dataset, np.arange(299)), batch=10, settings=SETTINGS
        )
    (tmp_path / "exchange.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        methods.LabelExchange(tmp_path, dataset, batch=10, settings=SETTINGS)


def test_a_bad_argument_leaves_no_folder_behind(noisy, tmp_path):
    dataset, _ = noisy
    folder = tmp_path / "new"
    broad = methods.ActiveLabelCorrection(
        propagation=methods.Propagation(neighbors=300)
    )
    with pytest.raises(ValueError, match="neighbors: got 300"):
        methods.LabelExchange(
            folder, dataset, batch=10, method=broad, settings=SETTINGS
        )
    with pytest.raises(ValueError, match="batch: got 301, .* number of examples, 300"):
        methods.LabelExchange(folder, dataset, batch=301, settings=SETTINGS)

    unstable = methods.make_correction_method("random")
    unstable = type(unstable)("mine", object())
    with pytest.raises(ValueError, match="method: got .* at 0x.*, expected a repr"):
        methods.LabelExchange(
            folder, dataset, batch=10, method=unstable, settings=SETTINGS
        )
    assert not folder.exists()


def test_labels_are_there_before_the_first_answers(noisy, tmp_path):
    dataset, _ = noisy
    methods.LabelExchange(tmp_path, dataset, batch=10, settings=SETTINGS).advance()
    rows = _read(tmp_path / "labels.csv")
    assert [row["id"] for row in rows] == dataset.ids.tolist()
    assert all(row["label"] == row["given_label"] for row in rows)
    assert {row["status"] for row in rows} == {"given"}


@pytest.mark.slow
def test_reprs_of_all_methods_are_the_same_in_every_process():
    program = (
        "from robustjax import methods\n"
        "for each in methods.entries('label_correction'):\n"
        "    print(repr(each.make(**dict.fromkeys(each.required, 0.3))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    here = [
        repr(each.make(**dict.fromkeys(each.required, 0.3)))
        for each in methods.entries("label_correction")
    ]
    assert done.stdout.splitlines() == here
    assert len(set(here)) == len(here)


@pytest.mark.slow
def test_defaults_fit_a_small_data_set(noisy):
    """No setting has to be passed for fewer examples than a batch, or neighbours."""
    dataset, true = noisy
    rows = np.array([np.flatnonzero(true == c)[0] for c in range(10)])
    small = data.make_dataset(dataset.inputs[rows], true[rows])
    result = methods.correct_labels(
        small, lambda ids: true[rows][ids], budget=2, batch=2
    )
    np.testing.assert_array_equal(result.labels, true[rows])


@pytest.mark.slow
def test_ids_from_pandas_go_through_an_exchange(noisy, tmp_path):
    """Strings as objects, which is how pandas hands them out."""
    dataset, true = noisy
    loose = data.make_dataset(
        dataset.inputs,
        dataset.labels,
        ids=np.array(dataset.ids.tolist(), object),
        class_names=dataset.class_names,
    )
    for number in range(2):
        exchange = methods.LabelExchange(tmp_path, loose, batch=20, settings=SETTINGS)
        assert exchange.advance().round_number == number
        _answer(exchange, loose, true)
