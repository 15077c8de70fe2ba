"""HaluEval's answers to Alpaca's questions, with marks of hallucination.

Li, Cheng, Zhao, Nie, Wen, "HaluEval: A Large-Scale Hallucination Evaluation Benchmark
for Large Language Models" (EMNLP 2023), the file `general_data.json`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustjax import checks
from robustjax.data._instruction_layouts import Texts
from robustjax.data._instruction_records import Record
from robustjax.data._instructions import located_objects, record_id

_LABELS = ("no", "yes")


class HaluEval(NamedTuple):
    """The file, one row per question.

    Attributes:
      records: the question is the instruction, as a whole; the answer is ChatGPT's.
      hallucinated: (N,) bool, whether people marked the answer.
      spans: the marked parts of every answer; some are not verbatim, and 13 marked
        answers have none.
    """

    records: tuple[Record, ...]
    hallucinated: np.ndarray
    spans: tuple[tuple[str, ...], ...]


class HaluEvalJoin(NamedTuple):
    """Records of one's own whose question HaluEval has answered.

    Attributes:
      rows: (M,) int32, of the records, ascending.
      answers: (M,) int32, the row of HaluEval with the answer.
      hallucinated: (M,) bool, of that answer.
    """

    rows: np.ndarray
    answers: np.ndarray
    hallucinated: np.ndarray


def load_halueval(path: str | os.PathLike[str], *, name: str = "halueval") -> HaluEval:
    """Reads HaluEval's general queries.

    The file is JSON lines; its ids are neither complete nor unique, so that rows are
    known by their question.

    Args:
      path: of the file.
      name: what to call it in an error.

    Raises:
      ValueError: a file that cannot be read, a row without question, answer or mark,
        or a question that is there twice; with its line.
    """
    shown = repr(os.fspath(path))
    records, marks, spans = [], [], []
    seen: dict[str, str] = {}
    for place, row in located_objects(path, split=None, name=name):
        where = f"{name}: {place} of {shown}"
        query, answer = row.get("user_query"), row.get("chatgpt_response")
        if not isinstance(query, str) or not isinstance(answer, str):
            raise ValueError(f"{where} has no text user_query or chatgpt_response")
        if not query.strip() or not answer.strip():
            empty = "chatgpt_response" if query.strip() else "user_query"
            raise ValueError(f"{where} has an empty {empty}")
        marked = row.get("hallucination_spans") or ()
        if isinstance(marked, str):
            raise ValueError(
                f"{where} has hallucination_spans {marked!r}, expected a list of texts"
            )
        mark = row.get("hallucination")
        if mark not in _LABELS:
            raise ValueError(
                f"{where} has hallucination {mark!r}, expected 'yes' or 'no'"
            )
        if seen.setdefault(query, place) != place:
            raise ValueError(f"{where} asks what {seen[query]} asks")
        records.append(
            Record(record_id(Texts(query, "", answer)), query, "", answer, "halueval")
        )
        marks.append(mark == "yes")
        spans.append(tuple(map(str, marked)))
    return HaluEval(tuple(records), np.array(marks, bool), tuple(spans))


def join_halueval(records: Sequence[Record], halueval: HaluEval) -> HaluEvalJoin:
    """The records whose question is one of HaluEval's, to the letter.

    HaluEval's query is Alpaca's instruction, or the instruction and the input in a
    line of its own (`Record.question`).

    Raises:
      ValueError: no record joins.
    """
    known = {each.question: row for row, each in enumerate(halueval.records)}
    pairs = [
        (row, known[each.question])
        for row, each in enumerate(records)
        if each.question in known
    ]
    if not pairs:
        raise ValueError(
            f"records: none of {len(records)} has a question of HaluEval's, expected "
            "records of Alpaca"
        )
    rows, answers = np.array(pairs, np.int32).T
    return HaluEvalJoin(rows, answers, halueval.hallucinated[answers])


def nested_hallucinations(
    records: Sequence[Record],
    halueval: HaluEval,
    counts: Sequence[int] = (0, 400, 800),
    *,
    seed: int = 0,
) -> tuple[tuple[tuple[Record, ...], np.ndarray], ...]:
    """Sets with more and more hallucinated answers, each within the next.

    The base are the records that HaluEval has answered. In each set, so many of them
    have HaluEval's hallucinated answer instead of their own; which ones is drawn once.
    Of the full Alpaca 4,507 records join and 815 answers are marked, so that 800 is
    about the most there can be.

    Args:
      records: of Alpaca.
      halueval: the answers.
      counts: how many answers are replaced, in each set.
      seed: of the draw.

    Returns:
      For each count, the records (replaced ones keep their id; their source is
      "halueval") and an (M,) bool, which of them were replaced.

    Raises:
      ValueError: a negative count, or more than there are hallucinated answers.
    """
    joined = join_halueval(records, halueval)
    marked = np.flatnonzero(joined.hallucinated)
    for count in counts:
        checks.at_least("counts", count, 0)
        if count > marked.size:
            raise ValueError(
                f"counts: got {count}, expected at most {marked.size}: of the "
                f"{joined.rows.size} records that join, HaluEval's answer is marked"
            )
    order = np.random.default_rng(seed).permutation(marked)
    sets = []
    for count in counts:
        replaced = np.zeros(joined.rows.size, bool)
        replaced[order[:count]] = True
        chosen = tuple(
            dataclasses.replace(
                records[row],
                output=halueval.records[answer].output,
                source="halueval",
            )
            if new
            else records[row]
            for row, answer, new in zip(joined.rows, joined.answers, replaced)
        )
        sets.append((chosen, replaced))
    return tuple(sets)
