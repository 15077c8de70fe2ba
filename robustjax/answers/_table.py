"""Tables that people answered in, whatever program they used."""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from robustjax import data
from robustjax.answers._cvat import read_cvat
from robustjax.answers._label_studio import read_label_studio
from robustjax.answers._said import OPEN, parse_said, said_text
from robustjax.data._cvat_export import CVAT_SUFFIX
from robustjax.data._label_files import need_columns
from robustjax.data._label_studio_export import LABEL_STUDIO_SUFFIX
from robustjax.data._names import plain_name

ANSWER, ANNOTATOR = "new_label", "annotator"
_WHOLE = re.compile(r"([+-]?\d+)[.,]0*")
_THOUSANDS = re.compile(r"\d[.,]000\s*$")


class AnswerTable(NamedTuple):
    """The rows of a table of answers, in its order.

    Attributes:
      rows: (M,) int64 rows of the data set.
      said: (M,) int32 classes, `OPEN`, `UNKNOWN` or `NONE`.
      annotators: M names, "" where the table has none.
      lines: (M,) int64 lines of the file, or its tasks, from 1.
    """

    rows: np.ndarray
    said: np.ndarray
    annotators: tuple[str, ...]
    lines: np.ndarray


def read_answers(
    path: str | pathlib.Path,
    dataset: data.Dataset,
    *,
    column: str = ANSWER,
    name: str | None = None,
) -> AnswerTable:
    r"""Reads a table of answers: commas, semicolons or tabs, with or without BOM.

    The columns `id` and `new_label` count, and `annotator` where there is one. A person
    who answers twice about an example is refused; different people may.

    Args:
      path: of a CSV file, of a JSON export of Label Studio, or of an XML export of
        CVAT (for images 1.1).
      dataset: whose ids and class names are meant.
      column: with the answers.
      name: what to call the file in an error; by default its name.

    Raises:
      ValueError: a file that cannot be read, lacks a column or has "Annotator" for
        `annotator`; ids that are unknown, may be two of the data set's, or are answered
        twice by one person; answers that are no class and no word. The lines are named.

    Example:
      >>> import numpy as np, pathlib, tempfile
      >>> from robustjax import answers, data
      >>> birds = data.make_dataset(
      ...     np.eye(3), [0, 1, 1], ids=["a", "b", "c"], class_names=["owl", "crow"]
      ... )
      >>> path = pathlib.Path(tempfile.mkdtemp(), "labeled.csv")
      >>> _ = path.write_text("id;new_label\na;crow\nb;don't know\nc;\n")
      >>> answers.read_answers(path, birds).said.tolist()
      [1, -2, -1]
    """
    path = pathlib.Path(path)
    name = name or path.name
    place = "line"
    if path.suffix.lower() == LABEL_STUDIO_SUFFIX:
        place = "task"
        numbered = read_label_studio(path, dataset, column=column, name=name)
    elif path.suffix.lower() == CVAT_SUFFIX:
        numbered = read_cvat(path, dataset, column=column, name=name)
    else:
        numbered = data.read_numbered_csv(path, name=name)
    cells = [row for _, row in numbered]
    need_columns(cells, ("id", column), path=path, name=name)
    _check_annotator(cells[0], name)
    lines = np.array([line for line, _ in numbered], np.int64)
    said = _said(cells, column, lines, dataset.class_names, name, place)
    rows = _rows([row["id"] for row in cells], said, lines, dataset, name, place)
    people = tuple(plain_name(row.get(ANNOTATOR, "")) for row in cells)
    _check_once(rows, said, people, lines, dataset, name, place)
    kept = rows >= 0
    people = tuple(itertools.compress(people, kept))
    return AnswerTable(rows[kept], said[kept], people, lines[kept])


def _check_annotator(columns: Iterable[str], name: str) -> None:
    """Raises where names of people have another heading, and would not be read.

    An answer of nobody settles what others have said.
    """
    for column in columns:
        if column != ANNOTATOR and plain_name(column).casefold() == ANNOTATOR:
            raise ValueError(
                f"{name}: got a column {column!r}, expected {ANNOTATOR!r} as it is "
                "written here"
            )


def _said(
    cells: Sequence[dict[str, str]],
    column: str,
    lines: np.ndarray,
    class_names: Sequence[str],
    name: str,
    place: str,
) -> np.ndarray:
    values = [row[column] for row in cells]
    try:
        return parse_said(values, class_names, name=f"{name}[{column}]")
    except ValueError as error:
        reason = error
    for line, value in zip(lines.tolist(), values):
        try:
            parse_said([value], class_names, name=name)
        except ValueError:
            raise ValueError(f"{reason} ({place} {line})") from None
    raise reason


def _rows(
    texts: Sequence[str],
    said: np.ndarray,
    lines: np.ndarray,
    dataset: data.Dataset,
    name: str,
    kind: str,
) -> np.ndarray:
    known = {str(value): row for row, value in enumerate(dataset.ids.tolist())}
    integers = np.issubdtype(dataset.ids.dtype, np.integer)
    rows = np.full(len(texts), -1, np.int64)
    for place, text in enumerate(texts):
        # Names of files may begin or end with a blank.
        found = known.get(text, known.get(text.strip()))
        if found is None and integers:
            whole = _WHOLE.fullmatch(text.strip())
            found = known.get(str(int(whole[1]))) if whole else None
            if found is not None and _THOUSANDS.search(text):
                _check_no_thousands(text, known, name, f"{kind} {lines[place]}")
        if found is not None:
            rows[place] = found
    # Spreadsheets leave empty lines.
    unknown = [
        place
        for place in np.flatnonzero(rows < 0).tolist()
        if texts[place].strip() or said[place] != OPEN
    ]
    if unknown:
        raise ValueError(
            f"{name}: {len(unknown)} id(s) do not occur in {dataset.name} ({kind} "
            f"{lines[unknown[0]]}: {texts[unknown[0]]!r})"
        )
    return rows


def _check_no_thousands(
    text: str, known: Collection[str], name: str, place: str
) -> None:
    """Raises where "1,000" may be the id 1 or the id 1000."""
    other = str(int(re.sub(r"[.,]", "", text)))
    if other in known:
        raise ValueError(
            f"{name}: got the id {text!r} ({place}), which may be {other[:-3]} or "
            f"{other}; write ids without separators"
        )


def _check_once(
    rows: np.ndarray,
    said: np.ndarray,
    people: Sequence[str],
    lines: np.ndarray,
    dataset: data.Dataset,
    name: str,
    kind: str,
) -> None:
    """Raises where one person answers about an example twice; blanks do no harm."""
    seen: dict[tuple[int, str], int] = {}
    for place in np.flatnonzero(said != OPEN).tolist():
        row = int(rows[place])
        first = seen.setdefault((row, people[place]), place)
        if first == place:
            continue
        texts = [said_text(int(said[p]), dataset.class_names) for p in (first, place)]
        different = texts[0] != texts[1]
        by = f" by {people[place]!r}" if people[place] else ""
        what = f"{texts[0]!r} and {texts[1]!r}" if different else f"twice {texts[0]!r}"
        raise ValueError(
            f"{name}: {kind}s {lines[first]} and {lines[place]} both answer id "
            f"{dataset.ids[row].item()!r}{by} ({what}); keep one, or name who said "
            f"what in a column {ANNOTATOR!r}"
        )
