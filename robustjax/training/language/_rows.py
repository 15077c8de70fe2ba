"""Texts of tokens as rows of one length, one text to a row or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from robustjax import checks

_MOST_TOKEN = np.iinfo(np.int32).max


class TokenText(NamedTuple):
    """A text as tokens.

    Attributes:
      tokens: (n,) integers.
      answers: (n,) bool, which of them are to be learned: the answer's.
    """

    tokens: np.ndarray
    answers: np.ndarray


class TokenRows(NamedTuple):
    """Texts in rows, for training and evaluation.

    Attributes:
      tokens: (N, T) int32; 0 on padding.
      segments: (N, T) int32, 1, 2, … for the texts of a row, 0 on padding.
      answers: (N, T) bool, which tokens are to be learned.
      texts: (N, S) int32, the number of the text that is segment s + 1; -1 for none.
    """

    tokens: np.ndarray
    segments: np.ndarray
    answers: np.ndarray
    texts: np.ndarray

    @property
    def num_texts(self) -> int:
        """How many texts there are, in all rows."""
        return int(self.texts.max()) + 1

    @property
    def stacked(self) -> np.ndarray:
        """(N, 3, T) int32: tokens, segments, answers."""
        return np.stack([self.tokens, self.segments, self.answers], axis=1).astype(
            np.int32
        )


def padded_rows(texts: Sequence[TokenText], length: int | None = None) -> TokenRows:
    """One text to a row, in their order, filled up at the end.

    Args:
      texts: what is learned from; text i is row i.
      length: T; by default that of the longest text.

    Raises:
      ValueError: no text, or one that is too long, or has nothing to learn, or whose
        tokens are no integers that int32 holds, or whose answers are no truths.
    """
    longest = _check(texts, length)
    places = [[number] for number in range(len(texts))]
    return _rows(texts, places, length or longest)


def packed_rows(texts: Sequence[TokenText], length: int) -> TokenRows:
    """Several texts to a row, by best fit, the longest first.

    Attention and positions know the texts of a row apart, so that nothing changes but
    the time.

    Args:
      texts: what is learned from.
      length: T.

    Raises:
      ValueError: see `padded_rows`.
    """
    _check(texts, length)
    sizes = np.array([len(text.tokens) for text in texts])
    places: list[list[int]] = []
    # Free tokens -> rows with as many.
    free: list[list[int]] = [[] for _ in range(length + 1)]
    for number in np.argsort(-sizes, kind="stable"):
        size = int(sizes[number])
        room = next((r for r in range(size, length + 1) if free[r]), None)
        if room is None:
            row, room = len(places), length
            places.append([])
        else:
            row = free[room].pop()
        places[row].append(int(number))
        free[room - size].append(row)
    return _rows(texts, places, length)


def _check(texts: Sequence[TokenText], length: int | None) -> int:
    """The length of the longest text; raises `ValueError` as `padded_rows` says."""
    checks.at_least("number of texts", len(texts), 1)
    if length is not None:
        checks.at_least("length", length, 2)
    for number, text in enumerate(texts):
        size = len(text.tokens)
        if np.shape(text.answers) != (size,):
            raise ValueError(
                f"texts: number {number} has {size} tokens and answers of shape "
                f"{np.shape(text.answers)}, expected one truth per token"
            )
        # The first token is foreseen from nothing.
        if not np.any(text.answers[1:]):
            raise ValueError(
                f"texts: number {number} has no answer token after its first, expected "
                "something to learn"
            )
        _check_kinds(number, text)
        if length is not None and size > length:
            raise ValueError(
                f"texts: number {number} has {size} tokens, expected at most {length}"
            )
    return max(len(text.tokens) for text in texts)


def _check_kinds(number: int, text: TokenText) -> None:
    """Raises `ValueError` for what a row would hold as something else."""
    tokens = np.asarray(text.tokens)
    if tokens.dtype.kind not in "iu":
        raise ValueError(
            f"texts: number {number} has tokens of {tokens.dtype.name}, expected "
            "integers"
        )
    low, high = tokens.min(), tokens.max()
    if low < 0 or high > _MOST_TOKEN:
        raise ValueError(
            f"texts: number {number} has the token {low if low < 0 else high}, "
            f"expected 0 … {_MOST_TOKEN}"
        )
    # Labels of other libraries, in which -100 marks what is not to be learned.
    checks.truth(f"answers of texts, number {number}", text.answers)


def _rows(
    texts: Sequence[TokenText], places: Sequence[Sequence[int]], length: int
) -> TokenRows:
    shape = len(places), length
    rows = TokenRows(
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape, bool),
        np.full((len(places), max(map(len, places))), -1, np.int32),
    )
    for row, members in enumerate(places):
        begin = 0
        for segment, number in enumerate(members):
            text = texts[number]
            part = row, slice(begin, begin + len(text.tokens))
            rows.tokens[part] = text.tokens
            rows.segments[part] = segment + 1
            rows.answers[part] = text.answers
            rows.texts[row, segment] = number
            begin += len(text.tokens)
    return rows
