"""Reading instruction data, whatever its layout, into records with stable ids."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from robustjax import checks
from robustjax.data._arrow_objects import read_arrow_objects
from robustjax.data._instruction_layouts import INSTRUCTION_LAYOUTS, Texts, layout_of
from robustjax.data._instruction_records import Record
from robustjax.data._located_json import Located, read_objects

_DIGITS = 16
_SHOWN = 5


class Finding(NamedTuple):
    """Something that a file should not hold.

    Attributes:
      kind: "empty answer", "empty instruction", "duplicate record" (all texts equal),
        "duplicate question" (another answer) or "replacement character" (a decoder
        has met bytes of another encoding before this file was written).
      place: "line 3", or "row 2" of a table.
      id: of the record.
    """

    kind: str
    place: str
    id: str


class Instructions(NamedTuple):
    """What was read.

    Attributes:
      records: those that have an instruction and an answer, as they come.
      findings: what is odd about them, and about those that were left out.
    """

    records: tuple[Record, ...]
    findings: tuple[Finding, ...]

    def summary(self) -> str:
        """The findings in a line, or "" where there are none."""
        found = Counter(finding.kind for finding in self.findings)
        return "; ".join(
            f"{count} {kind} ({_places(self.findings, kind)})"
            for kind, count in found.items()
        )


def load_instructions(
    path: str | os.PathLike[str],
    *,
    layout: str | None = None,
    split: str | None = None,
    incomplete: Literal["refuse", "drop"] = "refuse",
    name: str = "path",
) -> Instructions:
    r"""Reads a file or folder of instructions with answers.

    A record's id is its field `id` where it has one; else it is made from its texts,
    so that it is the same in every file and order; equal records count on, "…-2".

    Args:
      path: a JSON array or JSON lines (UTF-8), told apart by their first sign; a
        `.parquet` file; or a folder, see `split`. The last two need pyarrow.
      layout: of `INSTRUCTION_LAYOUTS`; by default that of the first record.
      split: of a folder of Parquet files or of a saved Hugging Face data set.
      incomplete: what becomes of records without an instruction or an answer: the
        whole file is refused, or they are left out and told in the findings.
      name: what to call the path in an error.

    Raises:
      ValueError: a file that cannot be read, that is neither JSON nor JSON lines or
        not UTF-8, a record of another layout, an id that is there twice, a text that
        no UTF-8 file can hold, a record that is incomplete; with its line.

    Example:
      >>> import json, tempfile, pathlib
      >>> from robustjax import data
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.jsonl"
      >>> row = {"instruction": "Add", "context": "1, 2", "response": "3"}
      >>> _ = path.write_text(json.dumps(row) + "\n")
      >>> data.load_instructions(path).records[0].question
      'Add\n1, 2'
    """
    checks.one_of("incomplete", incomplete, ("refuse", "drop"))
    if layout is not None:
        checks.one_of("layout", layout, INSTRUCTION_LAYOUTS)
    objects = located_objects(path, split=split, name=name)
    shown = repr(os.fspath(path))
    layout = layout or layout_of(objects[0].value)
    if layout is None:
        raise ValueError(
            f"{name}: {objects[0].place} of {shown} has the keys "
            f"{', '.join(map(str, objects[0].value))}, expected those of one of: "
            f"{_needs()}"
        )
    pairs = [(each.place, _texts(each, layout, shown, name)) for each in objects]
    ids = _ids(objects, [texts for _, texts in pairs], layout, shown, name)
    return _gathered(pairs, ids, layout, incomplete, shown, name)


def located_objects(
    path: str | os.PathLike[str], *, split: str | None, name: str
) -> list[Located]:
    """The objects of a file or folder, see `load_instructions`."""
    folder = pathlib.Path(path)
    if folder.is_dir() or folder.suffix.lower() == ".parquet":
        return read_arrow_objects(folder, split, name=name)
    if split is not None:
        raise ValueError(f"split: got {split!r}, but {str(path)!r} has no splits")
    return read_objects(path, name=name)


def record_id(texts: Texts) -> str:
    """An id made from what a record says."""
    joined = "\0".join(texts).encode("utf-8")
    return hashlib.sha256(joined).hexdigest()[:_DIGITS]


def _texts(each: Located, layout: str, shown: str, name: str) -> Texts:
    rule = INSTRUCTION_LAYOUTS[layout]
    try:
        missing = [key for key in rule.needs if key not in each.value]
        if missing:
            raise ValueError(f"it lacks {missing[0]!r} of the layout {layout}")
        texts = rule.read(each.value)
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"{name}: {each.place} of {shown}: half of a character, expected text that "
            "is UTF-8"
        ) from None
    except ValueError as error:
        raise ValueError(f"{name}: {each.place} of {shown}: {error}") from None
    return texts


def _ids(
    objects: Sequence[Located],
    texts: Sequence[Texts],
    layout: str,
    shown: str,
    name: str,
) -> list[str]:
    # HaluEval's own are empty in one record, shared by two, and gaps elsewhere.
    given = [
        _given_id(each.value) if layout != "halueval" else None for each in objects
    ]
    seen: dict[str, str] = {}
    for each, own in zip(objects, given):
        if own is not None and seen.setdefault(own, each.place) != each.place:
            raise ValueError(
                f"{name}: {seen[own]} and {each.place} of {shown} have the same id "
                f"{own!r}"
            )
    made: Counter[str] = Counter(seen)
    ids = []
    for own, says in zip(given, texts):
        if own is None:
            own = record_id(says)
            made[own] += 1
            if made[own] > 1:
                own = f"{own}-{made[own]}"
        ids.append(own)
    return ids


def _given_id(record: Mapping[str, Any]) -> str | None:
    value = record.get("id")
    usable = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if usable and str(value).strip() else None


def _gathered(
    pairs: Sequence[tuple[str, Texts]],
    ids: Sequence[str],
    layout: str,
    incomplete: str,
    shown: str,
    name: str,
) -> Instructions:
    records, findings = [], []
    whole: set[Texts] = set()
    questions: set[tuple[str, str]] = set()
    for (place, texts), own in zip(pairs, ids):
        question = texts.instruction, texts.input
        empty = [
            kind
            for kind, text in (
                ("empty instruction", texts.instruction),
                ("empty answer", texts.output),
            )
            if not text.strip()
        ]
        kinds = list(empty)
        if not empty and texts in whole:
            kinds.append("duplicate record")
        elif not empty and question in questions:
            kinds.append("duplicate question")
        if any("\N{REPLACEMENT CHARACTER}" in text for text in texts):
            kinds.append("replacement character")
        findings += [Finding(kind, place, own) for kind in kinds]
        if not empty:
            whole.add(texts)
            questions.add(question)
            records.append(Record(own, *texts, source=layout))
    lacking = [each for each in findings if each.kind.startswith("empty")]
    if lacking and incomplete == "refuse":
        kind = lacking[0].kind
        raise ValueError(
            f"{name}: {len(lacking)} record(s) of {shown} have an empty instruction or "
            f"answer (first: {kind}, {lacking[0].place}); expected both, or "
            "incomplete='drop'"
        )
    if not records:
        raise ValueError(f"{name}: {shown} has no record with an answer")
    return Instructions(tuple(records), tuple(findings))


def _places(findings: Sequence[Finding], kind: str) -> str:
    places = [each.place for each in findings if each.kind == kind]
    return ", ".join(places[:_SHOWN]) + (", …" if len(places) > _SHOWN else "")


def _needs() -> str:
    return "; ".join(
        f"{key} ({', '.join(v.needs)})" for key, v in INSTRUCTION_LAYOUTS.items()
    )
