"""Answers of models: a table of outcomes, and properties over all texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustjax.methods.instructions._ranking_grammar import (
    format_ranking,
    parse_decision,
    parse_ranking,
)

DROPPED, MALFORMED = "all_dropped", "malformed"


@pytest.mark.parametrize(
    ("text", "order", "lenient"),
    [
        ("[2] > [1]", (1, 0), False),
        (" [3]\n> [1]  >[2] ", (2, 0, 1), False),
        ("[2]", (1,), False),
        ("[2]>[1]>[2]", (1, 0), True),
        ("[9] > [1]", (0,), True),
        ("Ranking: [3] > [1].", (2, 0), True),
        ("[1] = [2] > [3]", (0, 1, 2), True),
        ("[1], [3]", (0, 2), True),
        ("First comes [3], then [1].", (2, 0), True),
        ("2", (1,), True),
        ("**2**", (1,), True),
        ("[ 2 ] > [01]", (1, 0), False),
        ("For example [1] > [2]. My answer: [3] > [1]", (2, 0), True),
        ("[1] > [2] > [3] is better than [3] > [1]", (0, 1, 2), True),
        ("<think>[1] > [2] > [3]</think>[3] > [2]", (2, 1), False),
        ("No item is as good: [2] > [1]", (1, 0), True),
        # What is listed beside a ranking is what was dropped.
        ("[2] > [1]\nDropped: [3], [1], [2]", (1, 0), True),
        ("Dropped: [3], [1]. [1] > [2]", (0, 1), True),
        ("[1] > [2]. Dropped, as they are wrong: [3], [1]", (0, 1), True),
    ],
)
def test_rankings(text, order, lenient):
    parsed = parse_ranking(text, 3)
    assert parsed == (order, "ranked", lenient)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("[]", DROPPED),
        ("none", DROPPED),
        ("None.", DROPPED),
        ("Ranking: []", DROPPED),
        ("None of the items are factual.", DROPPED),
        ("No items qualify", DROPPED),
        ("All items were dropped.", DROPPED),
        ("The ranking is empty.", DROPPED),
        ("", MALFORMED),
        ("   \n", MALFORMED),
        ("2 > 1", MALFORMED),
        ("[] > []", MALFORMED),
        ("<think>Item [1] is wrong and item [2] is right, so", MALFORMED),
        ("<think>[1]</think><think>[2] > [1]", MALFORMED),
        ("[7]", MALFORMED),
        ("[0]", MALFORMED),
        ("7", MALFORMED),
        ("None of [1], [2], [3] is factual", MALFORMED),
        ("I'm sorry, I can't help with that.", MALFORMED),
        ("None of the replies is wrong.", MALFORMED),
        ("[²] > [٣]", MALFORMED),
        ("[1" + "0" * 5_000 + "]", MALFORMED),
        ("__import__('os').system('true')", MALFORMED),
    ],
)
def test_nothing_ranked(text, outcome):
    assert parse_ranking(text, 3)[:2] == ((), outcome)


@given(st.integers(1, 12).flatmap(lambda n: st.permutations(range(n))), st.data())
def test_what_is_written_is_read(order, data):
    kept = tuple(order[: data.draw(st.integers(0, len(order)))])
    parsed = parse_ranking(format_ranking(kept), len(order))
    assert parsed == (kept, "ranked" if kept else DROPPED, False)


_PIECES = st.sampled_from(
    ["[1]", "[2]", "[3]", "[ 4 ]", ">", "=", ",", " ", "\n", "none", "a", "]", "[", "9"]
)


@pytest.mark.slow
@given(st.one_of(st.text(), st.lists(_PIECES).map("".join)), st.integers(2, 5))
def test_any_text_gives_distinct_places_that_it_names(text, count):
    order, outcome, _ = parse_ranking(text, count)
    assert len(set(order)) == len(order)
    assert all(0 <= at < count and str(at + 1) in text for at in order)
    assert (outcome == "ranked") == bool(order)


@pytest.mark.parametrize("piece", ["[1] > ", "[", "[ ", "a ", "none ", "[1]", " "])
def test_megabytes_are_read_at_once(piece):
    text = piece * (2_000_000 // len(piece))
    start = time.perf_counter()
    parse_ranking(text, 3)
    parse_decision(text)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ("Yes", True),
        ("yes, it does", True),
        ("**No**.", False),
        ("NO", False),
        ("<think>Yes?</think> No", False),
        ("Yesterday", None),
        ("Maybe yes", None),
        ("", None),
    ],
)
def test_decisions(text, decision):
    assert parse_decision(text) is decision


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("[2] > [1]. The first of them", (1, 0)),
        ("[3] > [1] because [2] is", (2, 0)),
        # The next might have followed.
        ("[2] > [1]", ()),
        ("[2] > [1] > ", ()),
        ("[2] > [1] > [", ()),
        ("Item [1] is wrong and item [2] is right, so", ()),
        ("[1], [2] and", ()),
        ("none of", ()),
        ("2", ()),
    ],
)
def test_of_a_text_that_was_cut_off_only_a_ranking_that_has_ended_counts(text, order):
    parsed = parse_ranking(text, 3, whole=False)
    assert parsed == (order, "ranked" if order else MALFORMED, True)
