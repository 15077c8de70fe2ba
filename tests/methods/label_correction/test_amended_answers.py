"""Answers that are changed, taken back, contradicted, or written into other files."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import answers, data, methods
from robustjax.methods.label_correction._correction_loop import RoundModel
from robustjax.training._metrics import write_csv

NAMES = ("cat", "dog", "cow")
NOW = "2026-01-02T03:04:05+00:00"


@pytest.fixture(scope="module")
def animals():
    rng = np.random.default_rng(0)
    true = np.arange(40) % 3
    inputs = (rng.normal(size=(40, 3)) + 4 * np.eye(3)[true]).astype(np.float32)
    ids = [f"img {row}" for row in range(40)]
    return data.make_dataset(inputs, true, ids=ids, class_names=NAMES)


@dataclasses.dataclass(frozen=True)
class NearestMeans:
    """Asks where the means of two classes are equally near; trains nothing.

    One that remembers adds up what it saw from round to round.
    """

    remembers: bool = False
    name: str = "nearest means"

    def init_memory(self, trainer, labels, keys):
        return jnp.zeros((*labels.shape, len(NAMES))) if self.remembers else ()

    def train(self, trainer, state, keys):
        inputs, labels = np.asarray(trainer.inputs), np.asarray(state.labels[0])
        means = np.stack([inputs[labels == c].mean(axis=0) for c in range(3)])
        logits = -np.linalg.norm(inputs[:, None] - means, axis=2)[None]
        memory = state.memory + logits if self.remembers else ()
        return RoundModel(
            None, jnp.asarray(memory if self.remembers else logits)
        ), memory

    def select(self, trainer, model, state, keys, count):
        top = jax.lax.top_k(model.logits, 2)[0]
        margin = jnp.where(state.queried, jnp.inf, top[..., 0] - top[..., 1])
        return jnp.argsort(margin, axis=1)[:, :count], state.memory


class Person:
    """A folder, and who answers in it."""

    def __init__(self, folder, dataset, method=NearestMeans()):
        self.folder, self.dataset, self.method = folder, dataset, method
        self.told = []

    def exchange(self, batch=10):
        return methods.LabelExchange(
            self.folder,
            self.dataset,
            batch=batch,
            method=self.method,
            report=self.told.append,
        )

    def advance(self, batch=10, **changes):
        """What is waited for, and what was said meanwhile."""
        self.told.clear()
        pending = self.exchange(batch).advance(now=NOW, **changes)
        return pending, list(self.told)

    def questions(self):
        return data.read_csv(self.folder / "to_label.csv", name="questions")

    def labels(self):
        rows = data.read_csv(self.folder / "labels.csv", name="labels")
        return {row["id"]: (row["label"], row["status"]) for row in rows}

    def answer(self, *said, name="labeled.csv", rows=None):
        """Fills in the first questions."""
        rows = self.questions() if rows is None else rows
        for row, text in zip(rows, said):
            row["new_label"] = text
        write_csv(self.folder / name, rows)
        return rows


@pytest.fixture
def person(animals, tmp_path):
    found = Person(tmp_path / "folder", animals)
    found.advance()
    return found


def other(label):
    return NAMES[(NAMES.index(label) + 1) % 3]


def test_five_of_ten_are_taken_in_and_five_stay_open(person):
    given = [row["current_label"] for row in person.questions()]
    changed = [other(label) for label in given[2:5]]
    rows = person.answer(*given[:2], *changed)
    pending, told = person.advance(batch=30)
    assert told == ["labeled.csv: took in 5: 2 confirmed, 3 changed; 5 still open"]
    # Another batch than before; those that are open are among all that are.
    assert (pending.round_number, pending.questions) == (1, 30)
    open_ids = {row["id"] for row in rows[5:]}
    assert {row["id"] for row in person.questions()}.isdisjoint(
        row["id"] for row in rows[:5]
    )
    assert all(person.labels()[i][1] == "given" for i in open_ids)
    (log,) = [e for e in person_history(person) if isinstance(e, answers.Submission)]
    assert log.at == NOW
    assert [a.said for a in log.answers] == [*given[:2], *changed]
    # Asking again changes nothing; the same file again says so.
    (person.folder / "labeled.csv").write_bytes(
        (person.folder / "answers" / "round_0000.csv").read_bytes()
    )
    again, told = person.advance(batch=30)
    assert again == pending
    assert not (person.folder / "labeled.csv").exists()


def person_history(person):
    return answers.read_history(person.folder / "answers.jsonl")


def test_a_blank_file_waits_to_be_filled(person):
    person.answer()
    pending, told = person.advance()
    assert told == ["labeled.csv: took in 0; 10 still open"]
    assert pending.round_number == 0
    assert (person.folder / "labeled.csv").exists()


def test_past_rounds_are_answered_again_and_what_follows_is_computed_again(
    animals, tmp_path
):
    """A person who errs and amends, and one who was right at once, end up alike."""
    labels, questions = [], []
    for name, errs in (("right", False), ("amended", True)):
        person = Person(tmp_path / name, animals)
        person.advance()
        truth = [row["current_label"] for row in person.questions()]
        rows = person.answer(other(truth[0]) if errs else truth[0], *truth[1:])
        person.advance()
        person.answer(*(row["current_label"] for row in person.questions()))
        if errs:
            amended = [dict(rows[0], new_label=truth[0])]
            write_csv(tmp_path / "mine.csv", amended)
            _, told = person.advance(amend=tmp_path / "mine.csv")
            assert told == [
                "labeled.csv: took in 10: 10 confirmed; 0 still open",
                "mine.csv: took in 1: 1 changed; 0 still open",
            ]
        else:
            person.advance()
        labels.append(person.labels())
        questions.append(person.questions())
    assert labels[0] == labels[1]
    # The second round's questions may differ, and with them what is left.
    assert len(questions[0]) == len(questions[1]) == 10


def test_an_amendment_alone_asks_anew_with_what_is_known_now(person):
    truth = [row["current_label"] for row in person.questions()]
    rows = person.answer(*map(other, truth))
    first, _ = person.advance()
    before = person.questions()
    # In the file that was filed away: one changed, one taken back.
    filed = [dict(row) for row in rows]
    filed[0]["new_label"], filed[1]["new_label"] = truth[0], ""
    write_csv(person.folder / "answers" / "round_0000.csv", filed)
    pending, told = person.advance()
    assert told == [
        "answers/round_0000.csv: took in 2: 1 changed, 1 open again; 10 still open"
    ]
    assert pending.round_number == first.round_number + 1
    assert person.labels()[rows[0]["id"]] == (truth[0], "confirmed")
    assert person.labels()[rows[1]["id"]] == (truth[1], "given")
    # As the training of these labels has it: the suggestions are others.
    columns = ("id", "suggested_label", "uncertainty")
    assert [[r[c] for c in columns] for r in before] != [
        [r[c] for c in columns] for r in person.questions()
    ]
    # It is taken in once.
    assert person.advance() == (pending, [])


@pytest.mark.parametrize("remembers", [False, True])
def test_a_process_that_knows_only_the_log_asks_the_same(animals, tmp_path, remembers):
    """Methods that learn from round to round compute all rounds again."""
    method = NearestMeans(remembers)
    person = Person(tmp_path / "kept", animals, method)
    for _ in range(2):
        person.advance(batch=12)
        person.answer(*(row["current_label"] for row in person.questions()))
    other_one = Person(tmp_path / "log only", animals, method)
    other_one.exchange()
    for name in ("answers.jsonl", "labeled.csv", "to_label.csv"):
        content = (person.folder / name).read_bytes()
        (other_one.folder / name).write_bytes(content)
    for each in (person, other_one):
        each.advance(batch=12)
    assert person.questions() == other_one.questions()
    assert (person.folder / "checkpoints").exists() == remembers
    assert (other_one.folder / "checkpoints").exists() == remembers


def test_people_who_disagree_are_listed_until_they_agree(person):
    first = person.questions()[0]
    rows = [
        {"id": first["id"], "new_label": "cat", "annotator": "Ann"},
        {"id": first["id"], "new_label": "dog", "annotator": "Ben"},
    ]
    write_csv(person.folder / "labeled.csv", rows)
    _, told = person.advance()
    assert told[0] == "labeled.csv: took in 1: 1 disputed; 9 still open"
    assert told[1].startswith("people disagree about 1 example(s), the first being ")
    listed = data.read_csv(person.folder / "disagreements.csv", name="listed")
    assert [(r["annotator"], r["said"], r["at"]) for r in listed] == [
        ("Ann", "cat", NOW),
        ("Ben", "dog", NOW),
    ]
    assert person.labels()[first["id"]] == (first["current_label"], "disputed")
    assert first["id"] not in {row["id"] for row in person.questions()}
    write_csv(person.folder / "mine.csv", [dict(rows[0], annotator="Ben")])
    person.advance(amend=person.folder / "mine.csv")
    assert person.labels()[first["id"]][0] == "cat"
    assert not (person.folder / "disagreements.csv").exists()


def test_edits_of_files_that_were_written_are_honoured_or_refused(person):
    rows = person.questions()
    truth = rows[0]["current_label"]
    # The wrong column.
    wrong = [dict(rows[0], current_label=other(truth)), *rows[1:]]
    for name in ("labeled.csv", "to_label.csv"):
        write_csv(person.folder / name, wrong)
        with pytest.raises(ValueError, match=f"{name}: line 2 has .* as current_label"):
            person.advance()
        (person.folder / name).unlink()
    # What was removed is written again.
    person.advance()
    assert person.questions() == rows
    # The table of labels: refused with what to do, and taken as an amendment.
    labels = data.read_csv(person.folder / "labels.csv", name="labels")
    asked = {row["id"] for row in rows}
    edited = next(row for row in labels if row["id"] not in asked)
    edited["label"] = other(edited["label"])
    write_csv(person.folder / "labels.csv", labels)
    with pytest.raises(
        ValueError, match=r"labels.csv: the label of 'img .*' was edited"
    ):
        person.advance()
    cleared = [dict(row, label="" if row is edited else row["label"]) for row in labels]
    write_csv(person.folder / "cleared.csv", cleared)
    with pytest.raises(ValueError, match=r"amend cleared.csv: line \d+ has no label"):
        person.advance(amend=person.folder / "cleared.csv")
    _, told = person.advance(amend=person.folder / "labels.csv")
    assert told == ["labels.csv: took in 1: 1 changed; 10 still open"]
    assert person.labels()[edited["id"]] == (edited["label"], "corrected")
    # Answers in the file with the questions itself.
    person.answer("?", "none of them", name="to_label.csv")
    asked = person.questions()
    _, told = person.advance()
    assert told == [
        "to_label.csv: took in 2: 1 none of the classes, 1 not known; 8 still open"
    ]
    assert person.labels()[asked[0]["id"]][1] == "unknown"
    assert person.labels()[asked[1]["id"]] == ("", "none")
    assert not {r["id"] for r in asked[:2]} & {r["id"] for r in person.questions()}


def test_an_edit_of_a_sheet_does_not_bring_back_what_was_amended(person):
    """Sheets may hold the answers of rounds before, which were no news."""
    (first, *_) = rows = person.questions()
    told = other(first["current_label"])
    person.answer(told, *(row["current_label"] for row in rows[1:]))
    person.advance()
    (second, *_) = person.questions()
    sheet = [dict(first, new_label=told), dict(second, new_label="cat")]
    write_csv(person.folder / "labeled.csv", sheet)
    person.advance()
    assert person.labels()[first["id"]][0] == told
    amended = other(told)
    write_csv(person.folder / "mine.csv", [{"id": first["id"], "new_label": amended}])
    person.advance(amend=person.folder / "mine.csv")
    assert person.labels()[first["id"]][0] == amended
    (filed,) = [
        path
        for path in (person.folder / "answers").iterdir()
        if len(data.read_csv(path, name="filed")) == 2
    ]
    sheet[1]["new_label"] = "dog"
    write_csv(filed, sheet)
    person.advance()
    assert person.labels()[second["id"]][0] == "dog"
    assert person.labels()[first["id"]][0] == amended


def test_two_files_with_different_answers_are_refused(person):
    person.answer("cat", name="to_label.csv")
    person.answer("dog")
    with pytest.raises(ValueError, match="to_label.csv: answers 'img .*' with 'cat'"):
        person.advance()
    person.answer("dog", name="to_label.csv")
    _, told = person.advance()
    assert [line.split(":")[0] for line in told] == ["labeled.csv"]


def test_an_amendment_against_answers_beside_it_is_refused(person):
    """To what was known before, it was lost without a word."""
    first = person.questions()[0]["id"]
    for said in ("cat", "dog"):
        write_csv(person.folder / "labeled.csv", [{"id": first, "new_label": said}])
        if said == "cat":
            person.advance()
    amend = person.folder / "mine.csv"
    write_csv(amend, [{"id": first, "new_label": "cat"}])
    with pytest.raises(ValueError, match="amend: .* with 'cat', other than labeled"):
        person.advance(amend=amend)
    assert person.labels()[first][0] == "cat"
    write_csv(amend, [{"id": first, "new_label": "dog"}])
    person.advance(amend=amend)
    assert person.labels()[first][0] == "dog"


def test_ids_that_were_not_asked_about_are_for_amendments(person):
    asked = {row["id"] for row in person.questions()}
    stranger = next(i for i in person.dataset.ids.tolist() if i not in asked)
    write_csv(person.folder / "labeled.csv", [{"id": stranger, "new_label": "cow"}])
    with pytest.raises(ValueError, match=r"not asked about \(line 2"):
        person.advance()
    person.advance(amend=person.folder / "labeled.csv")
    assert person.labels()[stranger][0] == "cow"
    assert (person.folder / "answers" / "round_0000.csv").exists()
    with pytest.raises(ValueError, match="amend: .* does not exist"):
        person.advance(amend=person.folder / "labeled.csv")
    with pytest.raises(ValueError, match="amend none.csv: cannot read"):
        person.advance(amend=person.folder / "none.csv")
