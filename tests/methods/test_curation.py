"""A callback or a person as the oracle."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from robustjax import data, methods

SETTINGS = methods.ClassifierSettings(hidden=(32, 32, 32), epochs=8, batch_size=32)


@pytest.fixture(scope="module")
def noisy():
    """300 digits with string ids, half of the labels wrong, and the true labels."""
    whole = data.load("digits", "train")
    part = data.take(whole, np.arange(300))
    rng = np.random.default_rng(3)
    wrong = rng.random(300) < 0.5
    labels = np.where(wrong, (part.labels + rng.integers(1, 10, 300)) % 10, part.labels)
    dataset = data.make_dataset(
        part.inputs,
        labels,
        ids=[f"digit_{i:04d}" for i in part.ids],
        class_names=[f"number {c}" for c in range(10)],
        name="noisy digits",
    )
    return dataset, part.labels


def _read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _answer(exchange, dataset, true, rows=None, count=None):
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
            writer.writerow(row)
    return [row["id"] for row in questions]


def test_callback_is_asked_about_ids_and_its_answers_enter_the_labels(noisy):
    dataset, true = noisy
    truth = dict(zip(dataset.ids.tolist(), true))
    asked = []

    def oracle(ids):
        asked.extend(ids.tolist())
        return np.array([truth[i] for i in ids.tolist()])

    result = methods.correct_labels(
        dataset, oracle, budget=40, batch=20, settings=SETTINGS
    )
    assert len(set(asked)) == 40
    np.testing.assert_array_equal(dataset.ids[result.queried], asked)
    np.testing.assert_array_equal(result.labels[result.queried], true[result.queried])
    rest = np.setdiff1d(np.arange(300), result.queried)
    np.testing.assert_array_equal(result.labels[rest], dataset.labels[rest])
    assert (dataset.labels != true)[result.queried].mean() > 0.8
    assert result.probabilities.shape == (300, 10)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)


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
    asked = _answer(exchange, dataset, true, count=12)
    exchange = methods.LabelExchange(tmp_path, dataset, batch=20, settings=SETTINGS)
    assert exchange.advance().round_number == 1
    assert not (tmp_path / "labeled.csv").exists()
    assert (tmp_path / "answers" / "round_0000.csv").exists()
    truth = dict(zip(dataset.ids.tolist(), true))
    for row in _read(tmp_path / "labels.csv"):
        answered = row["id"] in asked[:12]
        assert row["checked"] == str(int(answered))
        expected = truth[row["id"]] if answered else given[row["id"]]
        assert row["label"] == f"number {expected}"
    rows = data.rows_of(dataset, asked[:12])
    np.testing.assert_array_equal(exchange.labels[rows], true[rows])
    # Answered examples are not asked about again; unanswered ones may be.
    again = {row["id"] for row in _read(tmp_path / "to_label.csv")}
    assert not again & set(asked[:12])


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
    pending.answers.write_text(pending.asked.read_text())
    with pytest.raises(ValueError, match="no row has a new_label"):
        exchange.advance()
    _answer(exchange, dataset, true)
    assert exchange.advance().round_number == 1


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


def test_exchange_ends_when_everything_was_asked(noisy, tmp_path):
    dataset, true = noisy
    exchange = methods.LabelExchange(tmp_path, dataset, batch=150, settings=SETTINGS)
    for _ in range(2):
        assert exchange.advance() is not None
        _answer(exchange, dataset, true)
    assert exchange.advance() is None
    np.testing.assert_array_equal(exchange.labels, true)


def test_a_folder_belongs_to_its_data_and_settings(noisy, tmp_path):
    dataset, _ = noisy
    methods.LabelExchange(tmp_path, dataset, batch=10, settings=SETTINGS)
    with pytest.raises(ValueError, match="begun with other batch"):
        methods.LabelExchange(tmp_path, dataset, batch=11, settings=SETTINGS)
    with pytest.raises(ValueError, match="begun with other data"):
        methods.LabelExchange(
            tmp_path, data.take(dataset, np.arange(299)), batch=10, settings=SETTINGS
        )
    (tmp_path / "exchange.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        methods.LabelExchange(tmp_path, dataset, batch=10, settings=SETTINGS)
