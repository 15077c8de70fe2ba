"""What is asked of a language model, and what came back: plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol


class Message(NamedTuple):
    """A turn of a conversation; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


class Question(NamedTuple):
    """One prompt.

    Attributes:
      messages: the conversation so far.
      max_tokens: of the answer.
      choices: the only texts that are allowed as an answer, or () for any text.
      letters: words, told apart by their first tokens, whose log-probabilities as the
        answer's first token are wanted instead of a text; () where a text is wanted.
      attempt: how often it was asked before; another attempt is another question.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 64
    choices: tuple[str, ...] = ()
    letters: tuple[str, ...] = ()
    attempt: int = 0


Status = Literal["answered", "cut", "refused", "too_large", "failed"]
"""How a question ended.

`cut`: the text ends where the limit of tokens was, and not where the model would have
ended it. `refused`: the model or its filter declined. `too_large`: reading stopped
where the answer grew beyond all measure. `failed`: there is no answer, so that it may
be asked again another day.
"""


class Answer(NamedTuple):
    """What came back: text of others, never evaluated.

    Attributes:
      text: "" where there is none.
      status: of `Status`.
      scores: log-probabilities of the question's letters, -inf where one is not known;
        () where none were asked for.
    """

    text: str
    status: Status = "answered"
    scores: tuple[float, ...] = ()


class AskReport(NamedTuple):
    """Counts of what happened while questions were asked.

    Attributes:
      questions: that were to be answered, repeated ones included.
      from_cache: of them, answered before or by an equal question of this run.
      requests: sent.
      rate_limited: replies 429: waited as long as the server says, then asked again.
      server_errors: replies 5xx, asked again.
      timeouts: asked again.
      broken: connections that ended early and half replies, asked again.
      garbage: replies that are none of the protocol's, asked again.
      redirects: not followed, the question is left.
      rejected: other replies 4xx, the question is left.
      refusals: kept as an answer.
      too_large: replies cut off at the limit, kept as an answer without text.
      failed: questions without an answer in the end.
      prompt_tokens: as the server counts, or by estimate where it does not.
      answer_tokens: likewise.
    """

    questions: int = 0
    from_cache: int = 0
    requests: int = 0
    rate_limited: int = 0
    server_errors: int = 0
    timeouts: int = 0
    broken: int = 0
    garbage: int = 0
    redirects: int = 0
    rejected: int = 0
    refusals: int = 0
    too_large: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


def add_reports(reports: Iterable[AskReport]) -> AskReport:
    """The sums of all counts."""
    return AskReport(*map(sum, zip(AskReport(), *reports)))


class Asker(Protocol):
    """Answers questions: an endpoint, or a model on this machine."""

    def ask(self, questions: Sequence[Question]) -> tuple[list[Answer], AskReport]:
        """An answer to each, in their order, and what happened."""
        ...
