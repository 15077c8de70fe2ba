"""Questions, and a client of a server on the loopback that does not wait long."""

from __future__ import annotations

from robustjax.methods.instructions._endpoint import Endpoint
from robustjax.methods.instructions._question import Message, Question

KEY = "sk-very-secret-0123456789"


def questions(number, **fields):
    return [Question((Message("user", f"q{at}"),), **fields) for at in range(number)]


def make_endpoint(url, folder, **settings):
    settings = {"backoff_seconds": 0.01, **settings}
    return Endpoint(url, "teacher", folder / "answers.sqlite", **settings)


def echo(exchange):
    exchange.answer(f"answer to {exchange.prompt}")
