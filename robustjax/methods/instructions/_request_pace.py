"""How fast and how much a server is asked: a rate limit and a budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from robustjax.methods.instructions._question import Question
from robustjax.methods.instructions._question_cache import Usage

# English text has about four characters a token; a prompt's frame adds some. Of other
# scripts a token is seldom more than two bytes.
_CHARACTERS_PER_TOKEN = 4
_BYTES_PER_TOKEN = 2
_TOKENS_PER_MESSAGE = 5
_LIMITS = ("max_completion_tokens", "max_tokens")


def estimated_usage(question: Question, body: Mapping[str, Any]) -> Usage:
    """What one question takes: about, of the prompt, and at most, of the answer.

    Args:
      question: what is asked.
      body: of the request, whose limit of tokens is the one that counts.
    """
    prompt = sum(
        _TOKENS_PER_MESSAGE + _tokens(message.content) for message in question.messages
    )
    limits = [body[name] for name in _LIMITS if isinstance(body.get(name), int)]
    return Usage(prompt, max(limits, default=question.max_tokens))


def _tokens(text: str) -> int:
    plain = sum(character.isascii() for character in text)
    others = len(text.encode("utf-8", "surrogatepass")) - plain
    return -(-plain // _CHARACTERS_PER_TOKEN) + -(-others // _BYTES_PER_TOKEN)


class Prices(NamedTuple):
    """Money for a million tokens, in any currency."""

    prompt: float
    answer: float

    def cost(self, usage: Usage) -> float:
        """What so many tokens cost."""
        parts = zip(self, usage)
        return sum(price * tokens for price, tokens in parts) / 1e6


class Estimate(NamedTuple):
    """What asking would take, before anything is asked.

    Attributes:
      questions: all of them.
      cached: of them, answered before or equal to another one: free.
      prompt_tokens: of the others, by their characters: about right for English, and
        rather too many for other scripts.
      answer_tokens: of the others, at most.
      cost: of these tokens, or None where no prices were given.
      spent_tokens: by the answers that the cache already holds.
    """

    questions: int
    cached: int
    prompt_tokens: int
    answer_tokens: int
    cost: float | None
    spent_tokens: int


class BudgetError(ValueError):
    """The next question might go beyond the budget. What was answered is kept."""


class Budget:
    """What is left of tokens and money, shared by threads.

    A question reserves what it is estimated to take, and gives back what it did not; a
    prompt of more tokens than that is only told afterwards.
    """

    def __init__(
        self,
        tokens: int | None,
        money: float | None,
        prices: Prices | None,
        spent: Usage,
    ):
        self._limits = tokens, money
        self._prices = prices
        self._used = [*spent]
        self._lock = threading.Lock()

    def reserve(self, usage: Usage) -> None:
        """Raises `BudgetError` where it is not left."""
        with self._lock:
            used = Usage(*map(sum, zip(self._used, usage)))
            tokens, money = self._limits
            if tokens is not None and sum(used) > tokens:
                raise BudgetError(
                    f"max_tokens: {sum(self._used):,} of {tokens:,} tokens are spent "
                    "or under way, and the next question may take more than is left; "
                    "what was answered is kept, run again with more"
                )
            if money is not None and self._prices is not None:
                cost = self._prices.cost(used)
                if cost > money:
                    raise BudgetError(
                        f"max_cost: the next question may bring the cost to {cost:.4g} "
                        f"of {money:g}; what was answered is kept, run again with more"
                    )
            self._used = [*used]

    def settle(self, reserved: Usage, actual: Usage) -> None:
        """Replaces what was reserved by what it took."""
        with self._lock:
            parts: Sequence[tuple[int, int, int]] = [*zip(self._used, reserved, actual)]
            self._used = [used - held + taken for used, held, taken in parts]


class Pace:
    """Requests evenly spread over time, and pauses that a server asks for."""

    def __init__(self, requests_per_minute: float | None):
        self._gap = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, stopped: threading.Event) -> None:
        """Waits for the next turn, or until `stopped` is set."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        stopped.wait(max(0.0, turn - time.monotonic()))

    def pause(self, seconds: float) -> None:
        """No turn begins for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
