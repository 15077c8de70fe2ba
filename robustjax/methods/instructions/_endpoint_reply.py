"""One request to an OpenAI-compatible server, and what its reply means.

Replies are text of others: read up to a limit, never followed elsewhere, never
evaluated. Whatever a reply can be, it is an answer or one of three errors.
"""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from robustjax.methods.instructions._question import Answer, Question, Status
from robustjax.methods.instructions._question_cache import Usage


class TryAgainError(Exception):
    """A failure that may pass. `kind` is a count of `AskReport`."""

    def __init__(self, kind: str, wait_seconds: float | None = None):
        super().__init__(kind)
        self.kind = kind
        self.wait_seconds = wait_seconds


class LeftAloneError(Exception):
    """This question gets no answer, others may. `kind` is a count of `AskReport`."""

    def __init__(self, kind: str):
        super().__init__(kind)
        self.kind = kind


class EndpointError(ValueError):
    """No question will get an answer: asking ends, in one line that says why."""


class Limits(NamedTuple):
    """Of one reply: bytes of its body, and seconds from the first byte sent on."""

    max_bytes: int
    seconds: float


class Reply(NamedTuple):
    """An answer, and what it took (None where the server does not say)."""

    answer: Answer
    usage: Usage | None


def request_body(
    question: Question, model: str, constraint: str, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """What is sent: the protocol's fields.

    Args:
      question: what is asked.
      model: its name on the server.
      constraint: how the server takes choices: `json_schema`, `guided_choice` or
        `structured_outputs`.
      extra: fields to add or replace; None removes one.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": [message._asdict() for message in question.messages],
        "temperature": 0,
        "max_tokens": question.max_tokens,
    }
    if question.letters:
        body |= {"logprobs": True, "top_logprobs": 20}
    if question.choices:
        body |= _constrained(question.choices, constraint)
    return {
        key: value for key, value in (body | {**extra}).items() if value is not None
    }


def _constrained(choices: tuple[str, ...], constraint: str) -> dict[str, Any]:
    if constraint == "guided_choice":
        return {"guided_choice": list(choices)}
    if constraint == "structured_outputs":
        return {"structured_outputs": {"choice": list(choices)}}
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": list(choices)}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema},
        }
    }


def send(
    client: Any, httpx: Any, body: Mapping[str, Any], question: Question, limits: Limits
) -> Reply:
    """Sends one question and reads the reply.

    Args:
      client: of the HTTP library, with address, headers and time-outs.
      httpx: the HTTP library.
      body: see `request_body`.
      question: that it asks.
      limits: of the reply.

    Raises:
      TryAgainError, LeftAloneError, EndpointError: see there.
    """
    deadline = time.monotonic() + limits.seconds
    content = json.dumps(body).encode()
    try:
        with client.stream("POST", "chat/completions", content=content) as response:
            _check_status(response)
            raw = _read(response, limits.max_bytes, deadline)
    except httpx.TimeoutException:
        raise TryAgainError("timeouts") from None
    except httpx.TransportError:
        raise TryAgainError("broken") from None
    if raw is None:
        return Reply(Answer("", "too_large"), None)
    return _understood(raw, question)


def _check_status(response: Any) -> None:
    status = response.status_code
    if status == 429:
        raise TryAgainError("rate_limited", _retry_after(response.headers))
    if status >= 500:
        raise TryAgainError("server_errors", _retry_after(response.headers))
    if 300 <= status < 400:
        raise LeftAloneError("redirects")
    if status in (401, 403, 404):
        raise EndpointError(_refused(status))
    if status == 408:
        raise TryAgainError("timeouts")
    if status >= 400:
        raise LeftAloneError("rejected")
    if (
        status != 200
        or response.headers.get("content-encoding", "identity") != "identity"
    ):
        raise TryAgainError("garbage")


def _refused(status: int) -> str:
    if status == 404:
        return "model: the server answers 404, expected a model and an address it knows"
    return f"api_key_variable: the server answers {status}, expected a key it accepts"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the header, a number or a date; None where there is none."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _read(response: Any, max_bytes: int, deadline: float) -> bytes | None:
    """The body; None where it is too long, of which the rest is not read."""
    pieces, size = [], 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > max_bytes:
            return None
        if time.monotonic() > deadline:
            raise TryAgainError("timeouts")
        pieces.append(piece)
    return b"".join(pieces)


def _understood(raw: bytes, question: Question) -> Reply:
    try:
        reply = json.loads(raw)
        (choice, *_) = reply["choices"]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        status: Status = "answered"
        if refusal or choice.get("finish_reason") == "content_filter":
            status = "refused"
        elif choice.get("finish_reason") == "length" and not question.letters:
            status = "cut"
        if not isinstance(content, str):
            if content is not None or status != "refused":
                raise TryAgainError("garbage")
            content = ""
        usage = _usage(reply.get("usage"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise TryAgainError("garbage") from None
    if question.letters and status == "answered":
        scores = _letter_scores(choice, question.letters)
        return Reply(Answer(content, status, scores), usage)
    if question.choices:
        content = _chosen(content)
    return Reply(Answer(content, status), usage)


def _usage(found: Any) -> Usage | None:
    if not isinstance(found, dict):
        return None
    counts = [found.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) and 0 <= count < 2**40 for count in counts):
        return None
    return Usage(*counts)  # type: ignore[arg-type]


def _chosen(content: str) -> str:
    """The choice inside what a JSON schema brought; other text as it is."""
    try:
        found = json.loads(content)["answer"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return content
    return found if isinstance(found, str) else content


def _letter_scores(choice: Any, letters: tuple[str, ...]) -> tuple[float, ...]:
    """Log-probabilities of the letters as the first token, spaces aside."""
    try:
        listed = choice["logprobs"]["content"][0]["top_logprobs"]
        pairs = [(one["token"].strip(), float(one["logprob"])) for one in listed]
    except (TypeError, KeyError, IndexError, ValueError, AttributeError):
        raise EndpointError(
            "form: the server gives no log-probabilities, which `letters` needs; take "
            "`choice` or `text`"
        ) from None
    return tuple(_log_sum([p for token, p in pairs if token == one]) for one in letters)


def _log_sum(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return -math.inf
    top = max(finite)
    return top + math.log(sum(math.exp(value - top) for value in finite))
