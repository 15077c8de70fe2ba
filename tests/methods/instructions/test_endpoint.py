"""The client: budgets, pace, constrained answers, and settings that are refused."""

from __future__ import annotations

import math
import threading
import time

import pytest

pytest.importorskip("httpx2", reason="needs the extra `instructions`")
pytest.importorskip("tenacity", reason="needs the extra `instructions`")

from robustjax.methods.instructions._endpoint import Endpoint
from robustjax.methods.instructions._endpoint_reply import EndpointError
from robustjax.methods.instructions._request_pace import BudgetError, Prices
from tests.methods.instructions.endpoint_problem import (
    echo,
    make_endpoint,
    questions,
)
from tests.methods.instructions.scripted_server import ScriptedServer, closed_port


def test_budget_of_tokens(tmp_path):
    with ScriptedServer(echo) as server:
        endpoint = make_endpoint(server.url, tmp_path, max_tokens=100, concurrency=1)
        # A question reserves 6 + 64 tokens and takes 10.
        with pytest.raises(BudgetError, match="^max_tokens: 40 of 100 tokens"):
            endpoint.ask(questions(20))
        assert len(server.prompts) == 4
        # What was spent before the process ended counts.
        with pytest.raises(BudgetError):
            endpoint.ask(questions(20))
        assert len(server.prompts) == 4
        _, report = make_endpoint(server.url, tmp_path, max_tokens=1_000).ask(
            questions(20)
        )
    assert report.from_cache == 4


def test_budget_of_money_and_the_dry_run(tmp_path):
    prices = Prices(prompt=1.0, answer=10.0)
    with ScriptedServer(echo) as server:
        endpoint = make_endpoint(
            server.url, tmp_path, prices=prices, max_cost=0.001, concurrency=1
        )
        twenty_three = [*questions(20), *questions(3)]
        before = endpoint.estimate(twenty_three)
        assert before[:4] == (23, 3, 20 * 6, 20 * 64)
        assert math.isclose(before.cost, 20 * (6 + 640) / 1e6)
        assert not (tmp_path / "answers.sqlite").exists()
        assert server.keys == []
        with pytest.raises(BudgetError, match="^max_cost: the next question"):
            endpoint.ask(twenty_three)
        answered = len(server.prompts)
        after = endpoint.estimate(twenty_three)
    assert after.cached == 3 + answered
    assert after.spent_tokens == 10 * answered
    # 37e-6 each, and 646e-6 have to be left for the next.
    assert answered == 10


def test_requests_are_spread_over_time(tmp_path):
    with ScriptedServer(echo) as server:
        endpoint = make_endpoint(server.url, tmp_path, requests_per_minute=600)
        start = time.perf_counter()
        endpoint.ask(questions(5))
    assert time.perf_counter() - start > 0.39


def test_no_more_are_under_way_than_allowed(tmp_path):
    under_way, most, lock = [], [], threading.Lock()

    def count(exchange):
        with lock:
            under_way.append(1)
            most.append(len(under_way))
        time.sleep(0.02)
        with lock:
            under_way.pop()
        echo(exchange)

    with ScriptedServer(count) as server:
        make_endpoint(server.url, tmp_path, concurrency=3).ask(questions(12))
    assert 2 <= max(most) <= 3


@pytest.mark.parametrize(
    ("constraint", "get"),
    [
        ("guided_choice", lambda body: body["guided_choice"]),
        ("structured_outputs", lambda body: body["structured_outputs"]["choice"]),
        (
            "json_schema",
            lambda body: body["response_format"]["json_schema"]["schema"]["properties"][
                "answer"
            ]["enum"],
        ),
    ],
)
def test_choices_are_sent_as_the_server_takes_them(tmp_path, constraint, get):
    choices = ("[1] > [2]", "[2] > [1]")

    def choose(exchange):
        chosen = get(exchange.body)[1]
        wrapped = f'{{"answer": "{chosen}"}}'
        exchange.answer(wrapped if constraint == "json_schema" else chosen)

    with ScriptedServer(choose) as server:
        endpoint = make_endpoint(server.url, tmp_path, constraint=constraint)
        answers, _ = endpoint.ask(questions(1, choices=choices))
    assert answers[0].text == choices[1]


def test_log_probabilities_of_letters(tmp_path):
    def top(exchange):
        assert exchange.body["logprobs"] is True
        assert exchange.body["top_logprobs"] == 20
        listed = {"A": -1.0, " A": -1.0, "B": -0.5, "x": -3.0}
        top = [{"token": key, "logprob": value} for key, value in listed.items()]
        exchange.answer("B", logprobs={"content": [{"top_logprobs": top}]})

    with ScriptedServer(top) as server:
        endpoint = make_endpoint(server.url, tmp_path)
        ask = questions(1, letters=("A", "B", "C"))
        for _ in range(2):  # The second time from the cache.
            answers, _ = endpoint.ask(ask)
            scores = answers[0].scores
            assert math.isclose(scores[0], math.log(2) - 1)
            assert scores[1:] == (-0.5, -math.inf)
        server.script = echo
        with pytest.raises(EndpointError, match="^form: the server gives no log-"):
            endpoint.ask(questions(2, letters=("A", "B")))


def test_fields_of_the_request_can_be_replaced(tmp_path):
    bodies = []

    def keep(exchange):
        bodies.append(exchange.body)
        echo(exchange)

    extra = {"max_tokens": None, "max_completion_tokens": 9}
    with ScriptedServer(keep) as server:
        make_endpoint(server.url, tmp_path, extra=extra).ask(questions(1))
    assert "max_tokens" not in bodies[0]
    assert bodies[0]["max_completion_tokens"] == 9
    assert bodies[0]["temperature"] == 0


def test_nobody_there(tmp_path):
    with closed_port() as url:
        endpoint = make_endpoint(url, tmp_path)
        with pytest.raises(ValueError, match="^base_url: nobody answers at "):
            endpoint.ask(questions(1))


@pytest.mark.parametrize(
    ("status", "message"),
    [(503, "base_url: .*503"), (302, "base_url: .*302"), (401, "api")],
)
def test_a_server_that_is_not_ready(tmp_path, status, message):
    with ScriptedServer(echo) as server:
        server.models_status = status
        with pytest.raises(ValueError, match=f"^{message}"):
            make_endpoint(server.url, tmp_path).check()
        assert server.prompts == []
        server.models_status = 404
        make_endpoint(server.url, tmp_path).check()


def test_an_empty_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    with ScriptedServer(echo) as server:
        with pytest.raises(ValueError, match=r"^api_key_variable: \$OPENAI_API_KEY is"):
            make_endpoint(server.url, tmp_path).ask(questions(1))
        assert server.keys == []
        make_endpoint(server.url, tmp_path, api_key_variable=None).ask(questions(1))
    assert set(server.keys) == {None}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "127.0.0.1:8000"}, "base_url: got '127.0.0.1:8000'"),
        ({"base_url": "http://[::1/v1"}, "base_url: got"),
        ({"base_url": "http://localhost:99999/v1"}, "base_url: got"),
        ({"base_url": "https://me:password@host/v1"}, "base_url: holds a name"),
        ({"base_url": "http://example.org/v1"}, "base_url: .* in the clear"),
        ({"model": ""}, "model: got an empty name"),
        ({"constraint": "grammar"}, "constraint: unknown 'grammar'"),
        ({"attempts": 0}, "attempts: got 0"),
        ({"timeout_seconds": 0}, "timeout_seconds: got 0"),
        ({"max_cost": 1.0}, "max_cost: needs prices"),
    ],
)
def test_bad_settings(tmp_path, settings, message):
    settings = {"base_url": "http://localhost/v1", "model": "m", **settings}
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        Endpoint(cache=tmp_path / "answers.sqlite", **settings)
    assert "password@" not in str(caught.value)


def test_a_cache_that_is_none(tmp_path):
    (tmp_path / "answers.sqlite").write_text("no cache " * 200)
    with pytest.raises(ValueError, match="^cache: cannot use"):
        make_endpoint("http://127.0.0.1:9/v1", tmp_path).ask(questions(1))
    with pytest.raises(ValueError, match="^cache: cannot use"):
        make_endpoint("http://127.0.0.1:9/v1", tmp_path / "missing").ask(questions(1))


def test_requests_of_several_calls_are_spread_over_time_together(tmp_path):
    """A ranker asks chunk by chunk."""
    with ScriptedServer(echo) as server:
        endpoint = make_endpoint(server.url, tmp_path, requests_per_minute=600)
        start = time.perf_counter()
        for question in questions(5):
            endpoint.ask([question])
    assert time.perf_counter() - start > 0.39


def test_scores_belong_to_the_letters_in_their_order(tmp_path):
    def score(exchange):
        listed = [
            {"token": token, "logprob": value}
            for token, value in (("Yes", -0.1), ("No", -3.0))
        ]
        exchange.answer("Yes", logprobs={"content": [{"top_logprobs": listed}]})

    (yes,) = questions(1, letters=("Yes", "No"))
    no = yes._replace(letters=("No", "Yes"))
    with ScriptedServer(score) as server:
        endpoint = make_endpoint(server.url, tmp_path)
        for asked in ([yes], [no], [yes, no]):
            answers, _ = endpoint.ask(asked)
            for question, answer in zip(asked, answers):
                wanted = (-0.1, -3.0) if question == yes else (-3.0, -0.1)
                assert answer.scores == wanted
        assert len(server.prompts) == 2


def test_what_a_question_takes_is_read_off_the_request(tmp_path):
    asked = questions(1)
    settings = {"extra": {"max_tokens": None, "max_completion_tokens": 200}}
    endpoint = make_endpoint("http://127.0.0.1:9/v1", tmp_path, **settings)
    assert endpoint.estimate(asked).answer_tokens == 200
    # Of Chinese, about a token a character, and not one for four.
    long = asked[0]._replace(
        messages=(asked[0].messages[0]._replace(content="学" * 800),)
    )
    assert 800 <= endpoint.estimate([long]).prompt_tokens <= 1600


def test_a_text_that_the_limit_ended_is_told(tmp_path):
    def script(exchange):
        reason = "length" if exchange.prompt == "q0" else "stop"
        exchange.answer("[2] > [1]", finish_reason=reason)

    with ScriptedServer(script) as server:
        answers, _ = make_endpoint(server.url, tmp_path).ask(questions(2))
        again, _ = make_endpoint(server.url, tmp_path).ask(questions(2))
    assert [answer.status for answer in answers] == ["cut", "answered"]
    assert again == answers
