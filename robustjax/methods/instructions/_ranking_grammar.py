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
# What may stand behind an identifier of a ranking that goes on.
_GOES_ON = re.compile(r"[\s>=,\[0-9]*")
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


def parse_ranking(text: str, num_items: int, *, whole: bool = True) -> ParsedRanking:
    """Reads a ranking.

    The longest run of identifiers joined by ">" counts, the last of several; within it
    "=" and "," are taken for ">". Without one, the longest run joined by these, which
    may list what is dropped where there is a ranking. Without a run, all bracketed
    identifiers count in their order, and without any a text that is one bare integer.
    What is out of range and repetitions are left out. What a model thought aloud before
    `</think>` is skipped; thoughts without an end are no answer.

    Args:
      text: what a model answered.
      num_items: that were shown; they are numbered from 1 on.
      whole: whether the model ended it. Of a text that was cut off, only a run joined
        by ">" counts, and only if something else stands behind it.
    """
    text = _said(text)
    if not whole:
        return _of_cut_text(text, num_items)
    if _NONE_LEFT.fullmatch(text):
        return ParsedRanking((), "all_dropped", text.strip() != "[]")
    numbers = _numbers(text)
    kept = _places(numbers, num_items)
    exact = len(kept) == len(numbers) and _STRICT.fullmatch(text) is not None
    return ParsedRanking(kept, "ranked" if kept else "malformed", not exact)


def _said(text: str) -> str:
    said = text.rpartition("</think>")[2]
    return "" if "<think>" in said else said[:_LONGEST]


def _places(numbers: Iterable[int], num_items: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(at - 1 for at in numbers if 1 <= at <= num_items))


def _longest_run(text: str) -> re.Match[str] | None:
    """The last of the longest runs, of those with a ">" if there are any."""
    return max(
        reversed([*_RUN.finditer(text)]),
        key=lambda run: (">" in run[0], len(_NUMBER.findall(run[0]))),
        default=None,
    )


def _of_cut_text(text: str, num_items: int) -> ParsedRanking:
    run = _longest_run(text)
    if run is None or ">" not in run[0] or _GOES_ON.fullmatch(text[run.end() :]):
        return ParsedRanking((), "malformed", True)
    kept = _places(map(int, _NUMBER.findall(run[0])), num_items)
    return ParsedRanking(kept, "ranked" if kept else "malformed", True)


def _numbers(text: str) -> list[int]:
    run = _longest_run(text)
    # "None of [1], [2] is right" names what it does not rank.
    if _DENIES.match(text) and (run is None or ">" not in run[0]):
        return []
    found = _NUMBER.findall(text if run is None else run[0])
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
