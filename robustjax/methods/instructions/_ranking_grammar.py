r"""Reading what a model answered: a ranking, a yes or no, or nothing that counts.

    answer := ws item (ws ">" ws item)* ws
    item   := "[" digits "]"

What is missing from a ranking was dropped as not factual, and is never appended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

# A ranking of ten items has fewer than a hundred characters; megabytes of text are no
# ranking, and are not worth the time to search them.
_LONGEST = 20_000

# Integers of more digits number nothing that was shown.
_ITEM = r"\[\s*[0-9]{1,6}\s*\]"
_NUMBER = re.compile(r"\[\s*([0-9]{1,6})\s*\]")
_STRICT = re.compile(rf"\s*{_ITEM}(?:\s*>\s*{_ITEM})*\s*")
_RUN = re.compile(rf"{_ITEM}(?:\s*[>=,]\s*{_ITEM})+")
_BARE = re.compile(r"\W*([0-9]{1,6})\W*")
_JUDGED = r"(?:factual|factually\s+correct|correct|accurate|true|left)"
_THINGS = r"(?:items?|repl(?:y|ies)|answers?|instructions?)"
_NONE_LEFT = re.compile(
    rf"""[^\w\[\]]*(?:
        (?:\w+[^\w\[\]]+){{0,3}}\[\s*\]
      | (?:the\s+)?(?:\w+\s+)?(?:ranking|list)\s+is\s+empty
      | none(?:\s+of\s+(?:\w+\s+){{1,3}}(?:(?:is|are)\s+{_JUDGED}|qualif(?:y|ies)))?
      | no\s+{_THINGS}\s+(?:(?:is|are)\s+{_JUDGED}|qualif(?:y|ies)|remains?)
      | all\s+(?:\w+\s+){{0,3}}(?:is|are|were|have\s+been)\s+
        (?:dropped|wrong|incorrect|non-?factual|not\s+factual)
    )[^\w\[\]]*""",
    re.IGNORECASE | re.VERBOSE,
)
_DENIES = re.compile(r"\W*(?:none|no|all)\b", re.IGNORECASE)


class ParsedRanking(NamedTuple):
    """A ranking as it was understood.

    Attributes:
      order: places in the prompt from 0 on, best first, without what was dropped.
      outcome: `all_dropped` and `malformed` have an empty order.
      lenient: whether the text is not exactly what the grammar asks for.
    """

    order: tuple[int, ...]
    outcome: Literal["ranked", "all_dropped", "malformed"]
    lenient: bool


def parse_ranking(text: str, num_items: int) -> ParsedRanking:
    """Reads a ranking.

    The longest run of identifiers joined by ">" counts, the last of several; "=" and
    "," are taken for ">". Without a run, all bracketed identifiers count in their
    order, and without any a text that is one bare integer. What is out of range and
    repetitions are left out. What a model thought aloud before `</think>` is skipped.

    Args:
      text: what a model answered.
      num_items: that were shown; they are numbered from 1 on.
    """
    text = _said(text)
    if _NONE_LEFT.fullmatch(text):
        return ParsedRanking((), "all_dropped", text.strip() != "[]")
    numbers = _numbers(text)
    kept = tuple(dict.fromkeys(at - 1 for at in numbers if 1 <= at <= num_items))
    exact = len(kept) == len(numbers) and _STRICT.fullmatch(text) is not None
    return ParsedRanking(kept, "ranked" if kept else "malformed", not exact)


def _said(text: str) -> str:
    return text.rpartition("</think>")[2][:_LONGEST]


def _numbers(text: str) -> list[int]:
    longest: list[str] = []
    joined = False
    for run in _RUN.finditer(text):
        found = _NUMBER.findall(run[0])
        if len(found) >= len(longest):
            longest, joined = found, ">" in run[0]
    # "None of [1], [2] is right" names what it does not rank.
    if _DENIES.match(text) and not joined:
        return []
    found = longest or _NUMBER.findall(text)
    if not found:
        bare = _BARE.fullmatch(text)
        found = [bare[1]] if bare else []
    return [int(digits) for digits in found]


def parse_decision(text: str) -> bool | None:
    """True for an answer whose first word is yes, False for no, otherwise None."""
    word = re.match(r"\W*(\w+)", _said(text))
    return {"yes": True, "no": False}.get(word[1].lower()) if word else None


def format_ranking(order: Iterable[int]) -> str:
    """The text that `parse_ranking` reads as this order."""
    return " > ".join(f"[{1 + at}]" for at in order) or "[]"
