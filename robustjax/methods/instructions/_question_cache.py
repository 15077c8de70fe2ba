"""Answers on disk, by the hash of the question: nothing is asked twice.

An SQLite file. Every answer is on the disk (fsync) before the next question of its
worker is sent, so that a process killed at any moment loses only what was under way.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from robustjax.methods.instructions._question import Answer, Status

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS answers (
        key TEXT PRIMARY KEY, answer TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL, answer_tokens INTEGER NOT NULL
    ) WITHOUT ROWID
"""
_BUSY_SECONDS = 30.0


def question_key(
    body: Mapping[str, Any], attempt: int, letters: Sequence[str] = ()
) -> str:
    """SHA-256 of all that makes a question: model, messages, parameters, attempt.

    The letters whose scores are kept are not in the body of the request.
    """
    text = json.dumps([body, attempt, *([letters] if letters else ())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Usage(NamedTuple):
    """Tokens that were paid for."""

    prompt_tokens: int
    answer_tokens: int


class QuestionCache:
    """An open cache; a context manager. Threads may share it, processes the file.

    Attributes:
      path: of the file, which is made if it is not there.

    Raises:
      ValueError: a file that is no such cache, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute(_SCHEMA)
                self.usage()
            except sqlite3.Error:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise ValueError(
                f"cache: cannot use {os.fspath(path)!r} ({error}), expected a path for "
                "a cache of answers"
            ) from None

    def __enter__(self) -> QuestionCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def get(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that are there, by key."""
        found = {}
        with self._lock:
            for key in keys:
                row = self._connection.execute(
                    "SELECT answer FROM answers WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    found[key] = _read(row[0])
        return found

    def put(self, key: str, answer: Answer, usage: Usage) -> None:
        """Keeps an answer for good before it returns; the first one of a key stays."""
        text = json.dumps([answer.text, answer.status, answer.scores])
        row = (key, text, *usage)
        try:
            with self._lock:
                self._connection.execute(
                    "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row
                )
        except sqlite3.Error as error:
            raise ValueError(
                f"cache: cannot write to {os.fspath(self.path)!r} ({error})"
            ) from None

    def usage(self) -> Usage:
        """What all answers in the file took together."""
        row = self._connection.execute(
            "SELECT COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(answer_tokens), 0) "
            "FROM answers"
        ).fetchone()
        return Usage(*row)


def _read(raw: str) -> Answer:
    text, status, scores = json.loads(raw)
    if status not in get_args(Status):
        raise ValueError(f"cache: got the status {status!r} of an answer")
    return Answer(text, status, tuple(scores))
