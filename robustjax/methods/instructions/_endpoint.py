"""A client of any server that speaks OpenAI's chat protocol.

    endpoint = Endpoint("http://127.0.0.1:8000/v1", "a-model", cache="answers.sqlite")
    ranker = PromptedRanker(endpoint)

Needs the extra `instructions` (httpx2 and tenacity).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from robustjax import checks
from robustjax.methods.instructions._endpoint_reply import (
    Limits,
    Reply,
    request_body,
    send,
)
from robustjax.methods.instructions._endpoint_run import WHAT, EndpointRun, RunSettings
from robustjax.methods.instructions._extra import need
from robustjax.methods.instructions._question import Answer, AskReport, Question
from robustjax.methods.instructions._question_cache import (
    QuestionCache,
    Usage,
    question_key,
)
from robustjax.methods.instructions._request_pace import (
    Budget,
    Estimate,
    Pace,
    Prices,
    estimated_usage,
)

Constraint = Literal["json_schema", "guided_choice", "structured_outputs"]
"""How a server takes a list of allowed answers: as a JSON schema (OpenAI, llama.cpp),
or in vLLM's old or new field."""

_CONSTRAINTS = get_args(Constraint)


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server. Implements `Asker`.

    The key is read from the environment when it is needed. It is in no attribute, file,
    log or error, and is sent to `base_url` alone: redirects are not followed.

    Attributes:
      base_url: up to and with "/v1".
      model: its name on the server.
      cache: file of the answers (`QuestionCache`), which is made: one per teacher.
      api_key_variable: of the environment, or None for a server without keys.
      constraint: how choices are sent, see `Constraint`.
      timeout_seconds: of connecting, of every wait for bytes and of a whole reply.
      attempts: to get an answer to a question.
      backoff_seconds: before the second attempt, doubled from one to the next with a
        random part; a server's `Retry-After` goes before it.
      longest_wait_seconds: between two attempts, whatever the server says.
      requests_per_minute: at most, or None.
      concurrency: how many questions are under way.
      max_reply_bytes: of one reply, beyond which reading stops.
      max_tokens: budget of all answers in the cache together, or None.
      max_cost: likewise, in the prices' currency.
      prices: which `max_cost` needs.
      failures_in_a_row: questions without an answer after which asking ends.
      allow_unencrypted_key: whether the key may be sent to another machine by http.
      extra: fields of the request to add or replace; None removes one, as in
        `{"max_tokens": None, "max_completion_tokens": 200}`.
    """

    base_url: str
    model: str
    cache: str | os.PathLike[str]
    api_key_variable: str | None = "OPENAI_API_KEY"
    constraint: Constraint = "json_schema"
    timeout_seconds: float = 120.0
    attempts: int = 6
    backoff_seconds: float = 1.0
    longest_wait_seconds: float = 120.0
    requests_per_minute: float | None = None
    concurrency: int = 4
    max_reply_bytes: int = 1_000_000
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: Prices | None = None
    failures_in_a_row: int = 10
    allow_unencrypted_key: bool = False
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    _pace: Pace = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        host = _checked_host(self.base_url)
        open_key = self.api_key_variable is not None and not self.allow_unencrypted_key
        if open_key and self.base_url.startswith("http:") and not _is_here(host):
            raise ValueError(
                f"base_url: got {self.base_url!r}, over which the key would travel in "
                "the clear, expected https, api_key_variable=None or "
                "allow_unencrypted_key=True"
            )
        if not self.model:
            raise ValueError("model: got an empty name, expected one the server knows")
        checks.one_of("constraint", self.constraint, _CONSTRAINTS)
        for name in ("attempts", "concurrency", "max_reply_bytes", "failures_in_a_row"):
            checks.at_least(name, getattr(self, name), 1)
        for name in ("timeout_seconds", "requests_per_minute"):
            if getattr(self, name) is not None:
                checks.in_range(name, getattr(self, name), low=0, low_open=True)
        for name in ("backoff_seconds", "longest_wait_seconds"):
            checks.in_range(name, getattr(self, name), low=0)
        if self.max_tokens is not None:
            checks.at_least("max_tokens", self.max_tokens, 1)
        if self.max_cost is not None:
            checks.in_range("max_cost", self.max_cost, low=0)
            if self.prices is None:
                raise ValueError("max_cost: needs prices, got None")
        for price in self.prices or ():
            checks.in_range("prices", price, low=0)
        # Of all that is asked by this object, however many calls it takes.
        object.__setattr__(self, "_pace", Pace(self.requests_per_minute))

    def check(self) -> None:
        """Raises `ValueError` unless the server is there and takes the key."""
        httpx = need("httpx2", WHAT)
        with self._client(httpx) as client:
            self._check(client, httpx)

    def estimate(self, questions: Iterable[Question]) -> Estimate:
        """What asking would take. Nothing is sent; nobody but the cache is asked."""
        sizes: dict[str, Usage] = {}
        count = 0
        for question in questions:
            count += 1
            sizes[self._key(question)] = self._size(question)
        spent = Usage(0, 0)
        if os.path.exists(self.cache):
            with QuestionCache(self.cache) as cache:
                spent = cache.usage()
                for key in cache.get(sizes):
                    del sizes[key]
        usage = Usage(*map(sum, zip((0, 0), *sizes.values())))
        cost = None if self.prices is None else self.prices.cost(usage)
        return Estimate(count, count - len(sizes), *usage, cost, sum(spent))

    def ask(self, questions: Sequence[Question]) -> tuple[list[Answer], AskReport]:
        """See `Asker.ask`. Answers are on the disk before the next question is sent.

        Raises:
          ValueError: before anything is asked, an empty key, a cache that cannot be
            used, a server that is not there (where the cache lacks an answer).
          EndpointError: the server stopped answering, or refuses key or model.
          BudgetError: the budget is spent. All answers so far are in the cache.
          ModuleNotFoundError: without the extra `instructions`.
        """
        keys = [self._key(question) for question in questions]
        httpx = need("httpx2", WHAT)
        need("tenacity", WHAT)
        with QuestionCache(self.cache) as cache, self._client(httpx) as client:
            found = cache.get(dict.fromkeys(keys))
            asked = {
                key: question
                for key, question in zip(keys, questions)
                if key not in found
            }
            if asked:
                self._check(client, httpx)
            run = self._run(cache, client, httpx)
            found |= run.answers(asked)
        answers = [found[key] for key in keys]
        cached = len(questions) - len(asked)
        return answers, run.report(len(questions), cached)

    def _run(self, cache: QuestionCache, client: Any, httpx: Any) -> EndpointRun:
        variable = self.api_key_variable
        settings = RunSettings(
            self.concurrency,
            self.attempts,
            self.backoff_seconds,
            self.longest_wait_seconds,
            self.failures_in_a_row,
            secret=None if variable is None else _api_key(variable),
        )
        limits = Limits(self.max_reply_bytes, self.timeout_seconds)
        budget = Budget(self.max_tokens, self.max_cost, self.prices, cache.usage())

        def ask(question: Question) -> Reply:
            return send(client, httpx, self._body(question), question, limits)

        return EndpointRun(settings, ask, self._size, cache, budget, self._pace)

    def _key(self, question: Question) -> str:
        return question_key(self._body(question), question.attempt, question.letters)

    def _size(self, question: Question) -> Usage:
        return estimated_usage(question, self._body(question))

    def _body(self, question: Question) -> dict[str, Any]:
        return request_body(question, self.model, self.constraint, self.extra)

    def _client(self, httpx: Any) -> Any:
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self.api_key_variable is not None:
            headers["Authorization"] = f"Bearer {_api_key(self.api_key_variable)}"
        return httpx.Client(
            base_url=self.base_url,
            headers=headers,
            timeout=self.timeout_seconds,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=self.concurrency),
        )

    def _check(self, client: Any, httpx: Any) -> None:
        try:
            with client.stream("GET", "models") as response:
                status = response.status_code
        except httpx.TransportError as error:
            raise ValueError(
                f"base_url: nobody answers at {self.base_url!r} "
                f"({type(error).__name__}), expected a server that is up"
            ) from None
        if status in (401, 403):
            raise ValueError(
                f"api_key_variable: {self.base_url!r} answers {status}, expected a key "
                "it accepts"
            )
        # A server need not have a list of its models: 404 and the like are good.
        if 300 <= status < 400 or status >= 500:
            raise ValueError(
                f"base_url: {self.base_url!r} answers {status}, expected a server that "
                "is ready and sends nobody elsewhere"
            )


def _checked_host(base_url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(base_url)
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(
            f"base_url: got {base_url!r}, expected an address such as "
            "'http://127.0.0.1:8000/v1'"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "base_url: holds a name, a password or a query, expected an address alone; "
            "keys go into the environment"
        )
    return parts.hostname


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _api_key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ValueError(
            f"api_key_variable: ${variable} is empty, expected a key; None is for "
            "servers without"
        )
    if not (key.isascii() and key.isprintable()):
        raise ValueError(f"api_key_variable: ${variable} holds no key: odd characters")
    return key
