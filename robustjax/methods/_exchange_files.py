"""What a person left in the folder of an exchange, or names besides, as submissions.

Everything is read and checked before anything is written.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from robustjax import answers, data
from robustjax.answers import Answer, Asked, History, Submission
from robustjax.data._names import plain_name
from robustjax.methods._exchange_folder import ANSWERED, ASKED, LABELS

CURRENT, SUGGESTED = "current_label", "suggested_label"


class Handed(NamedTuple):
    """A file with answers, read.

    Attributes:
      path: where it lies.
      filed: where it will be kept, or is kept already, below the folder; "" for a file
        that stays the person's own.
      submission: what it says that is new.
      rows: all rows of the data set that it speaks of.
    """

    path: pathlib.Path
    filed: str
    submission: Submission
    rows: np.ndarray


def read_handed(
    folder: pathlib.Path,
    dataset: data.Dataset,
    history: History,
    labels: Sequence[str],
    *,
    amend: pathlib.Path | None,
    now: str | None,
) -> list[Handed]:
    """Reads every file that may hold answers which the log does not.

    That is `labeled.csv`; `to_label.csv` where a person answered in it; answers of
    earlier rounds that were edited; and a file of amendments.

    Args:
      folder: of the exchange.
      dataset: whose ids and class names are meant.
      history: of the log.
      labels: N texts as in `labels.csv`.
      amend: of amendments, or None.
      now: the wall clock.

    Raises:
      ValueError: a faulty file, or one whose edits cannot be meant as answers.
    """
    reader = _Reader(folder, dataset, history, now)
    found = [*reader.edited()]
    labeled = folder / ANSWERED
    amends_labeled = amend is not None and _same(amend, labeled)
    if labeled.exists():
        found.append(reader.labeled(labeled, any_id=amends_labeled))
    elif amends_labeled:
        raise ValueError(f"amend: {str(amend)!r} does not exist")
    found += reader.in_place([each for each in found if each.path == labeled])
    places = [folder / ASKED, *(folder / each.filed for each in found if each.filed)]
    covered = amends_labeled or any(amend and _same(amend, p) for p in places)
    if amend is not None and not covered:
        found.append(reader.amended(amend, labels, found))
    return found


def _same(one: pathlib.Path, other: pathlib.Path) -> bool:
    return one.resolve() == other.resolve()


class _Reader:
    """Reads the files of one folder at one moment."""

    def __init__(
        self,
        folder: pathlib.Path,
        dataset: data.Dataset,
        history: History,
        now: str | None,
    ):
        self._folder = folder
        self._dataset = dataset
        self._history = history
        self._now = now
        asked = [event for event in history if isinstance(event, Asked)]
        self._last = asked[-1] if asked else Asked(-1, ())
        self._questions = [q for event in asked for q in event.questions]
        self._ever = {question.id for question in self._questions}
        self._submitted = [e for e in history if isinstance(e, Submission)]
        self._words = answers.last_words(history)

    def labeled(self, path: pathlib.Path, *, any_id: bool) -> Handed:
        """The file that answers are expected in."""
        table = answers.read_answers(path, self._dataset)
        if not any_id:
            self._check_asked(table, path.name)
        self._check_columns(path, table)
        sha256 = _sha256(path)
        # Taken in by a process that died before it could move the file.
        old = [s.filed for s in self._submitted if s.sha256 == sha256 and s.filed]
        filed = old[-1] if old else self._free_name()
        return self._handed(path, filed, sha256, self._said(table), table.rows)

    def in_place(self, others: Iterable[Handed]) -> list[Handed]:
        """The questions, where a person answered in that very file."""
        path = self._folder / ASKED
        waiting = self._history and isinstance(self._history[-1], Asked)
        if not waiting or not path.exists():
            return []
        table = answers.read_answers(path, self._dataset)
        self._check_asked(table, path.name)
        self._check_columns(path, table)
        said = self._said(table)
        if not said:
            return []
        elsewhere = {
            (a.id, a.annotator): a.said for h in others for a in h.submission.answers
        }
        if elsewhere:
            for answer in said:
                if elsewhere.get((answer.id, answer.annotator)) != answer.said:
                    raise ValueError(
                        f"{ASKED}: answers {answer.id!r} with {answer.said!r}, other "
                        f"than {ANSWERED}; keep one of the two files"
                    )
            return []
        name = self._free_name()
        return [self._handed(path, name, _sha256(path), said, table.rows)]

    def _check_amends(self, said: Sequence[Answer], others: Sequence[Handed]) -> None:
        """Raises where an amendment contradicts what is handed in beside it.

        What is amended to what was known before is no news, and would be lost.
        """
        news: dict[int | str, list[tuple[Answer, str]]] = {}
        for each in others:
            for answer in each.submission.answers:
                news.setdefault(answer.id, []).append((answer, each.path.name))
        for mine in said:
            for other, file in news.get(mine.id, ()):
                same = mine.annotator in ("", other.annotator)
                if same and other.said != mine.said:
                    raise ValueError(
                        f"amend: answers {mine.id!r} with {mine.said!r}, other than "
                        f"{file}; keep one of the two files"
                    )

    def edited(self) -> list[Handed]:
        """Answers of earlier rounds whose files are not as they were filed."""
        found = []
        for filed in dict.fromkeys(s.filed for s in self._submitted if s.filed):
            mine = [s for s in self._submitted if s.filed == filed]
            path = self._folder / filed
            if not path.is_file() or _sha256(path) == mine[-1].sha256:
                continue
            table = answers.read_answers(path, self._dataset, name=filed)
            said = self._said(table)
            now = {(a.id, a.annotator): a for a in said}
            before = {(a.id, a.annotator): a.said for s in mine for a in s.answers}
            # What was known when the file was filed stood there already, and was no
            # news then: it says nothing against what was amended since.
            first = next(i for i, s in enumerate(self._submitted) if s is mine[0])
            known = {
                (a.id, a.annotator): a.said
                for s in self._submitted[:first]
                for a in s.answers
            }
            gone = [
                Answer(identity, "", who)
                for (identity, who), text in before.items()
                if text and (identity, who) not in now
            ]
            news = [a for key, a in now.items() if (known | before).get(key) != a.said]
            row_of = {i: r for r, i in enumerate(self._dataset.ids.tolist())}
            rows = np.array([row_of[a.id] for a in (*news, *gone)], np.int64)
            if rows.size:
                found.append(
                    self._handed(path, filed, _sha256(path), [*news, *gone], rows)
                )
        return found

    def amended(
        self, path: pathlib.Path, labels: Sequence[str], others: Sequence[Handed]
    ) -> Handed:
        """A file of one's own with other answers, or an edited table of all labels."""
        name = f"amend {path.name}"
        columns: list[str] = []
        if path.suffix.lower() not in answers.EXPORT_SUFFIXES:
            cells = data.read_csv(path, name=name)
            columns = list(cells[0]) if cells else []
        column = "new_label"
        if column not in columns and {"label", "status"} <= set(columns):
            column = "label"
        table = answers.read_answers(path, self._dataset, column=column, name=name)
        said = self._said(table)
        if column == "label":
            self._check_cleared(table, labels, name)
            # As answers: what belongs to no class is "ood" in one of the tables.
            names = self._dataset.class_names
            codes = answers.parse_said(labels, names, name=name).tolist()
            code_of = dict(zip(self._dataset.ids.tolist(), codes))
            text_of = {i: answers.said_text(c, names) for i, c in code_of.items()}
            said = [a for a in said if a.said != text_of[a.id]]
        self._check_amends(said, others)
        return self._handed(path, "", _sha256(path), said, table.rows)

    def _said(self, table: answers.AnswerTable) -> list[Answer]:
        ids = self._dataset.ids[table.rows].tolist()
        texts = [
            answers.said_text(code, self._dataset.class_names)
            for code in table.said.tolist()
        ]
        columns = zip(ids, texts, table.annotators)
        return [Answer(i, text, who) for i, text, who in columns if text]

    def _handed(
        self,
        path: pathlib.Path,
        filed: str,
        sha256: str,
        said: Sequence[Answer],
        rows: np.ndarray,
    ) -> Handed:
        news = tuple(a for a in said if self._is_news(a))
        spoken = {a.id for a in said}
        ids = self._dataset.ids[rows].tolist()
        kept = np.array([i in spoken for i in ids], bool)
        source = path.name if not filed or path != self._folder / filed else filed
        submission = Submission(
            self._last.round_number, source, sha256, news, filed, self._now
        )
        return Handed(path, filed, submission, rows[kept])

    def _is_news(self, answer: Answer) -> bool:
        words = self._words.get(answer.id, {})
        if answer.annotator:
            return words.get(answer.annotator, "") != answer.said
        # Without a name it settles what others said.
        return list(words.values()) != [answer.said]

    def _free_name(self) -> str:
        taken = {s.filed for s in self._submitted}
        stem = f"answers/round_{max(0, self._last.round_number):04d}"
        names = [f"{stem}.csv", *(f"{stem}_{n}.csv" for n in range(2, len(taken) + 3))]
        return next(name for name in names if name not in taken)

    def _check_asked(self, table: answers.AnswerTable, name: str) -> None:
        ids = self._dataset.ids[table.rows].tolist()
        strange = [place for place, i in enumerate(ids) if i not in self._ever]
        if strange:
            raise ValueError(
                f"{name}: {len(strange)} id(s) were not asked about (line "
                f"{table.lines[strange[0]]}: {ids[strange[0]]!r}); answer those "
                f"of {ASKED}, or hand other answers in as amendments"
            )

    def _check_cleared(
        self, table: answers.AnswerTable, labels: Sequence[str], name: str
    ) -> None:
        """Raises where a label was cleared, which may mean several things."""
        for row, code, line in zip(
            *(x.tolist() for x in (table.rows, table.said, table.lines))
        ):
            if code == answers.OPEN and labels[row]:
                raise ValueError(
                    f"{name}: line {line} has no label instead of {labels[row]!r}; "
                    'write "don\'t know" or "none of them", or take an answer back in '
                    "its file under answers/"
                )

    def _check_columns(self, path: pathlib.Path, table: answers.AnswerTable) -> None:
        """Raises where a person wrote answers into a column that is not for them."""
        ids = self._dataset.ids[table.rows].tolist()
        blank = {
            int(line): i
            for line, i, code in zip(table.lines, ids, table.said)
            if code == answers.OPEN
        }
        # An older file, whose questions are open still, has what was true then.
        shown: dict[tuple[int | str, str], list[str]] = {}
        for question in self._questions:
            shown.setdefault((question.id, CURRENT), []).append(question.current)
            shown.setdefault((question.id, SUGGESTED), []).append(question.suggested)
        for line, cells in data.read_numbered_csv(path, name=path.name):
            for column in (CURRENT, SUGGESTED):
                texts = shown.get((blank.get(line, ""), column))
                if texts is None or column not in cells:
                    continue
                if not any(self._alike(cells[column], text) for text in texts):
                    raise ValueError(
                        f"{path.name}: line {line} has {cells[column]!r} instead of "
                        f"{texts[-1]!r} as {column}; answers go into the column "
                        "new_label"
                    )

    def _alike(self, cell: str, text: str) -> bool:
        if plain_name(cell) == plain_name(text):
            return True
        try:
            # Spreadsheets write 1.0 or 1 for a class that is called 01.
            both = answers.parse_said([cell, text], self._dataset.class_names, name="")
        except ValueError:
            return False
        return bool(both[0] == both[1])


def _sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_labels_file(
    folder: pathlib.Path, ids: Sequence[int | str], expected: Iterable[Sequence[str]]
) -> None:
    """Raises where a person edited the table of all labels, which is only written.

    Args:
      folder: of the exchange.
      ids: of all examples.
      expected: texts of all labels: those by now, and those of earlier moments at
        which a process may have died.

    Raises:
      ValueError: another label than in any of `expected`, or a damaged file.
    """
    path = folder / LABELS
    if not path.exists():
        return
    cells = data.read_csv(path, name=LABELS)
    found = {row.get("id", ""): plain_name(row.get("label", "")) for row in cells}
    first: tuple[int | str, str, str] | None = None
    for texts in expected:
        differs = next(
            (
                (identity, text, found[str(identity)])
                for identity, text in zip(ids, texts)
                if found.get(str(identity), plain_name(text)) != plain_name(text)
            ),
            None,
        )
        if differs is None:
            return
        first = first or differs
    assert first is not None
    raise ValueError(
        f"{LABELS}: the label of {first[0]!r} was edited from {first[1]!r} to "
        f"{first[2]!r}; hand the file in as amendments, or remove it and it is written "
        "anew"
    )
