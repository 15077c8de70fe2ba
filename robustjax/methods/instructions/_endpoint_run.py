"""Questions asked of a server by several threads: retries, budget, counts."""

from __future__ import annotations

import collections
import concurrent.futures
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from robustjax.methods.instructions._endpoint_reply import (
    EndpointError,
    LeftAloneError,
    Reply,
    TryAgainError,
)
from robustjax.methods.instructions._extra import need
from robustjax.methods.instructions._question import Answer, AskReport, Question
from robustjax.methods.instructions._question_cache import QuestionCache, Usage
from robustjax.methods.instructions._request_pace import Budget, Pace

WHAT = "a teacher behind an endpoint"
_FAILED = Answer("", "failed")


class RunSettings(NamedTuple):
    """How questions are asked; see `Endpoint`.

    Attributes:
      concurrency: threads.
      attempts: per question.
      backoff_seconds: before the second attempt.
      longest_wait_seconds: between attempts.
      failures_in_a_row: that end the run.
      secret: what must not be kept of what a server says, or None.
    """

    concurrency: int
    attempts: int
    backoff_seconds: float
    longest_wait_seconds: float
    failures_in_a_row: int
    secret: str | None


class EndpointRun:
    """Threads that ask, and what they count.

    Attributes:
      settings: see `RunSettings`.
      send: one attempt; raises what `_endpoint_reply.send` raises.
      size: what a question takes, about at most.
      cache: where each answer goes before the next question of its thread is sent.
      budget: that every question reserves its share of.
      pace: of the requests.
    """

    def __init__(
        self,
        settings: RunSettings,
        send: Callable[[Question], Reply],
        size: Callable[[Question], Usage],
        cache: QuestionCache,
        budget: Budget,
        pace: Pace,
    ):
        self._settings = settings
        self._send = send
        self._size = size
        self._cache = cache
        self._budget = budget
        self._counts: collections.Counter[str] = collections.Counter()
        self._failed_in_a_row = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._pace = pace

    def answers(self, asked: Mapping[str, Question]) -> dict[str, Answer]:
        """Asks all; the first error ends what has not begun, and what has is kept."""
        pool = concurrent.futures.ThreadPoolExecutor(self._settings.concurrency)
        futures = {
            pool.submit(self._ask_or_stop, key, question): key
            for key, question in asked.items()
        }
        try:
            return {
                futures[future]: future.result()
                for future in concurrent.futures.as_completed(futures)
            }
        except Exception:
            # Of several threads that end because of one, it is the one that says why.
            if self._error is None:
                raise
            raise self._error from None
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)

    def report(self, questions: int, from_cache: int) -> AskReport:
        """The counts so far."""
        return AskReport(questions, from_cache)._replace(**self._counts)

    def _ask_or_stop(self, key: str, question: Question) -> Answer:
        try:
            return self._ask(key, question)
        except BaseException as error:
            with self._lock:
                self._error = self._error or error
            self._stopped.set()
            raise

    def _ask(self, key: str, question: Question) -> Answer:
        reserved = self._size(question)
        self._budget.reserve(reserved)
        usage = Usage(0, 0)
        try:
            reply = self._attempts(question)
            if reply is None:
                return _FAILED
            usage = reply.usage or reserved
            answer = reply.answer
            # A server may send back what it was sent.
            if self._settings.secret is not None:
                hidden = answer.text.replace(self._settings.secret, "***")
                answer = answer._replace(text=hidden)
            self._cache.put(key, answer, usage)
            self._count(prompt_tokens=usage[0], answer_tokens=usage[1])
            return answer
        finally:
            self._budget.settle(reserved, usage)

    def _attempts(self, question: Question) -> Reply | None:
        """The reply; None, counted, where none came after all attempts."""
        tenacity = need("tenacity", WHAT)
        settings = self._settings
        backoff = tenacity.wait_random_exponential(
            multiplier=settings.backoff_seconds, max=settings.longest_wait_seconds
        )

        def wait(state: Any) -> float:
            asked = state.outcome.exception().wait_seconds
            if asked is None:
                return float(backoff(state))
            asked = min(asked, settings.longest_wait_seconds)
            self._pace.pause(asked)
            return asked

        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(settings.attempts)
            | tenacity.stop_when_event_set(self._stopped),
            wait=wait,
            sleep=self._stopped.wait,
            retry=tenacity.retry_if_exception_type(TryAgainError),
            reraise=True,
        )
        try:
            reply = attempts(self._once, question)
        except (TryAgainError, LeftAloneError) as error:
            if isinstance(error, LeftAloneError):
                self._count(**{error.kind: 1})
            self._count(failed=1)
            self._note_failure(error.kind)
            return None
        with self._lock:
            self._failed_in_a_row = 0
        status = reply.answer.status
        self._count(refusals=status == "refused", too_large=status == "too_large")
        return reply

    def _once(self, question: Question) -> Reply:
        self._pace.wait(self._stopped)
        if self._stopped.is_set():
            raise concurrent.futures.CancelledError
        self._count(requests=1)
        try:
            return self._send(question)
        except TryAgainError as error:
            self._count(**{error.kind: 1})
            raise

    def _note_failure(self, kind: str) -> None:
        with self._lock:
            self._failed_in_a_row += 1
            count = self._failed_in_a_row
        if count >= self._settings.failures_in_a_row:
            raise EndpointError(
                f"base_url: {count} questions in a row got no answer (the last: "
                f"{kind}); what was answered is kept, run again to go on"
            )

    def _count(self, **counts: int) -> None:
        with self._lock:
            self._counts.update(counts)
