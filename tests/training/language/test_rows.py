"""Packing: every token once, no text divided, rows as long as said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax.training import language


def _text(size, first=1):
    return language.TokenText(
        np.arange(first, first + size), np.arange(size) >= size // 2
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=20))
def test_every_text_is_whole_in_one_row(sizes):
    texts = [_text(size, 1 + 20 * at) for at, size in enumerate(sizes)]
    for rows in (language.packed_rows(texts, 12), language.padded_rows(texts)):
        assert rows.num_texts == len(texts)
        seen = rows.texts[rows.texts >= 0]
        assert sorted(seen.tolist()) == list(range(len(texts)))
        for row, members in enumerate(rows.texts):
            for segment, number in enumerate(members, 1):
                inside = rows.segments[row] == segment
                if number < 0:
                    assert not inside.any()
                    continue
                assert np.ptp(np.flatnonzero(inside)) == sizes[number] - 1
                np.testing.assert_array_equal(
                    rows.tokens[row, inside], texts[number].tokens
                )
                np.testing.assert_array_equal(
                    rows.answers[row, inside], texts[number].answers
                )
        padding = rows.segments == 0
        assert not rows.tokens[padding].any()
        assert not rows.answers[padding].any()


def test_packing_fills_rows():
    rows = language.packed_rows([_text(n) for n in (5, 3, 4, 2, 6, 4)], 8)
    assert rows.tokens.shape == (3, 8)
    assert (rows.segments > 0).all()


@pytest.mark.parametrize(
    ("message", "texts", "length"),
    [
        ("number of texts: got 0", [], 8),
        ("texts: number 1 has 9 tokens, expected at most 8", [_text(3), _text(9)], 8),
        ("length: got 1", [_text(3)], 1),
        (
            "texts: number 1 has tokens of float64, expected integers",
            [_text(3), language.TokenText(np.array([1.0, 5.7]), np.ones(2, bool))],
            8,
        ),
        (
            "texts: number 0 has the token 4294967301, expected 0 … 2147483647",
            [language.TokenText(np.array([1, 2**32 + 5]), np.ones(2, bool))],
            8,
        ),
        (
            "answers of texts, number 0: got int64, expected bool",
            [language.TokenText(np.arange(3), np.array([-100, -100, 2]))],
            8,
        ),
        (
            "texts: number 0 has no answer token after its first",
            [language.TokenText(np.arange(3), np.array([True, False, False]))],
            8,
        ),
        (
            r"texts: number 0 has 3 tokens and answers of shape \(2,\)",
            [language.TokenText(np.arange(3), np.ones(2, bool))],
            8,
        ),
    ],
)
def test_texts_that_cannot_be_rows(message, texts, length):
    for rows_of in (language.packed_rows, language.padded_rows):
        with pytest.raises(ValueError, match=message):
            rows_of(texts, length)
