"""The client against a real server on the loopback that plays every failure."""

from __future__ import annotations

import collections
import logging
import math
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("httpx2", reason="needs the extra `instructions`")
pytest.importorskip("tenacity", reason="needs the extra `instructions`")

from robustjax.methods.instructions._endpoint import Endpoint
from robustjax.methods.instructions._endpoint_reply import EndpointError
from robustjax.methods.instructions._question import Answer, Message, Question
from robustjax.methods.instructions._request_pace import BudgetError, Prices
from tests.methods.instructions.scripted_server import ScriptedServer, closed_port

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def _questions(number, **fields):
    return [Question((Message("user", f"q{at}"),), **fields) for at in range(number)]


def _endpoint(url, folder, **settings):
    settings = {"backoff_seconds": 0.01, **settings}
    return Endpoint(url, "teacher", folder / "answers.sqlite", **settings)


def _echo(exchange):
    exchange.answer(f"answer to {exchange.prompt}")


def _plays(script):
    """A server's script: what each prompt gets, one after the other."""
    turns = collections.Counter()

    def play(exchange):
        names = script[exchange.prompt]
        turn = turns[exchange.prompt]
        turns[exchange.prompt] += 1
        script_of = _TURNS[names[min(turn, len(names) - 1)]]
        script_of(exchange)

    return play


_TURNS = {
    "good": _echo,
    "busy": lambda exchange: exchange.status(429, Retry_After="0"),
    "broken": lambda exchange: exchange.status(500, "<html>oops"),
    "half": lambda exchange: exchange.half(),
    "garbage": lambda exchange: exchange.status(200, "<html>hello</html>"),
    "deep": lambda exchange: exchange.status(200, "[" * 200_000),
    "odd": lambda exchange: exchange.status(200, '{"choices": [{"message": []}]}'),
    "empty": lambda exchange: exchange.status(200, '{"choices": []}'),
    "packed": lambda exchange: exchange.status(200, Content_Encoding="gzip"),
    "refusal": lambda exchange: exchange.answer(
        None, message={"refusal": "I cannot judge this."}
    ),
    "filter": lambda exchange: exchange.answer("[1]", finish_reason="content_filter"),
    "megabytes": lambda exchange: exchange.answer("[1] > " * 1_700_000),
    "unfit": lambda exchange: exchange.status(400, '{"error": "too long"}'),
}


def test_every_failure_is_handled_by_rule_and_counted(tmp_path):
    script = {
        "q0": ["busy", "busy", "good"],
        "q1": ["broken", "good"],
        "q2": ["half", "good"],
        "q3": ["garbage", "deep", "odd", "good"],
        "q4": ["refusal"],
        "q5": ["megabytes"],
        "q6": ["unfit"],
        "q7": ["away"],
        "q8": ["garbage"],
        "q9": ["filter"],
        "q10": ["empty", "packed", "good"],
    }
    with ScriptedServer(_echo) as elsewhere:
        away = {"Location": f"{elsewhere.url}/chat/completions"}
        turns = dict(_TURNS, away=lambda exchange: exchange.status(307, **away))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(_TURNS, "away", turns["away"])
            with ScriptedServer(_plays(script)) as server:
                endpoint = _endpoint(server.url, tmp_path, attempts=5)
                answers, report = endpoint.ask(_questions(11))
                first = len(server.prompts)
                again, second = endpoint.ask(_questions(11))
                repeated = server.prompts[first:]
        # The key went to the server that was named, and nobody else was asked.
        assert elsewhere.prompts == elsewhere.keys == []
        assert set(server.keys) == {f"Bearer {KEY}"}

    good = {at: Answer(f"answer to q{at}") for at in (0, 1, 2, 3, 10)}
    failed = Answer("", "failed")
    assert {at: answers[at] for at in good} == good
    assert answers[4] == Answer("", "refused")
    assert answers[9] == Answer("[1]", "refused")
    assert answers[5] == Answer("", "too_large")
    assert answers[6] == answers[7] == answers[8] == failed
    assert report._asdict() == {
        "questions": 11,
        "from_cache": 0,
        "requests": first,
        "rate_limited": 2,
        "server_errors": 1,
        "timeouts": 0,
        "broken": 1,
        "garbage": 3 + 5 + 2,
        "redirects": 1,
        "rejected": 1,
        "refusals": 2,
        "too_large": 1,
        "failed": 3,
        "prompt_tokens": 7 * 7 + 6,
        "answer_tokens": 7 * 3 + 64,
    }
    # Only what has no answer is asked again.
    assert again == answers
    assert second.from_cache == 8
    assert set(repeated) == {"q6", "q7", "q8"}


def test_time_outs_and_slow_drips_are_tried_again(tmp_path):
    seen = collections.Counter()

    def slow(exchange):
        seen[exchange.prompt] += 1
        if seen[exchange.prompt] > 1:
            _echo(exchange)
        elif exchange.prompt == "q0":
            time.sleep(3)
        else:
            exchange.drip(seconds=3)

    with ScriptedServer(slow) as server:
        endpoint = _endpoint(server.url, tmp_path, timeout_seconds=1)
        answers, report = endpoint.ask(_questions(2))
    assert [answer.status for answer in answers] == ["answered"] * 2
    assert report.timeouts == 2


def test_the_servers_wait_goes_before_ours(tmp_path):
    script = {"q0": ["busy", "good"]}
    with ScriptedServer(_plays(script)) as server:
        endpoint = _endpoint(server.url, tmp_path, backoff_seconds=60.0)
        start = time.perf_counter()
        answers, _ = endpoint.ask(_questions(1))
    assert answers == [Answer("answer to q0")]
    assert time.perf_counter() - start < 30


def test_equal_questions_are_asked_once(tmp_path):
    question = _questions(1)[0]
    with ScriptedServer(_echo) as server:
        endpoint = _endpoint(server.url, tmp_path)
        answers, report = endpoint.ask([question] * 5)
        endpoint.ask([question, question._replace(attempt=1)])
    assert answers == [Answer("answer to q0")] * 5
    assert report.from_cache == 4
    assert server.prompts == ["q0", "q0"]


def test_a_server_that_stops_answering_ends_the_run_and_nothing_is_lost(tmp_path):
    down = threading.Event()

    def fails(exchange):
        if len(server.prompts) > 5:
            down.set()
        if down.is_set():
            exchange.status(503)
        else:
            _echo(exchange)

    with ScriptedServer(fails) as server:
        endpoint = _endpoint(
            server.url, tmp_path, attempts=2, failures_in_a_row=3, concurrency=1
        )
        with pytest.raises(EndpointError, match="3 questions in a row got no answer"):
            endpoint.ask(_questions(50))
        assert len(server.prompts) == 5 + 3 * 2
        server.script = _echo
        _, report = endpoint.ask(_questions(50))
    assert report.from_cache == 5


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "api_key_variable: the server answers 401"), (404, "model: the server")],
)
def test_refused_keys_and_unknown_models_end_the_run_at_once(tmp_path, status, message):
    with ScriptedServer(lambda exchange: exchange.status(status, KEY)) as server:
        endpoint = _endpoint(server.url, tmp_path, concurrency=2)
        with pytest.raises(EndpointError, match=f"^{message}") as caught:
            endpoint.ask(_questions(100))
        assert len(server.prompts) <= 4
    assert KEY not in str(caught.value)


def test_the_key_is_nowhere(tmp_path, caplog):
    """A server that sends back what it was sent does not bring it to the disk."""
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(
        lambda exchange: exchange.answer(exchange.authorization)
    ) as server:
        endpoint = _endpoint(server.url, tmp_path)
        answers, report = endpoint.ask(_questions(2))
    assert answers[0].text == "Bearer ***"
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()
    assert KEY not in f"{endpoint!r}{report!r}{answers!r}{caplog.text}"


def test_budget_of_tokens(tmp_path):
    with ScriptedServer(_echo) as server:
        endpoint = _endpoint(server.url, tmp_path, max_tokens=100, concurrency=1)
        # A question reserves 6 + 64 tokens and takes 10.
        with pytest.raises(BudgetError, match="^max_tokens: 40 of 100 tokens"):
            endpoint.ask(_questions(20))
        assert len(server.prompts) == 4
        # What was spent before the process ended counts.
        with pytest.raises(BudgetError):
            endpoint.ask(_questions(20))
        assert len(server.prompts) == 4
        _, report = _endpoint(server.url, tmp_path, max_tokens=1_000).ask(
            _questions(20)
        )
    assert report.from_cache == 4


def test_budget_of_money_and_the_dry_run(tmp_path):
    prices = Prices(prompt=1.0, answer=10.0)
    with ScriptedServer(_echo) as server:
        endpoint = _endpoint(
            server.url, tmp_path, prices=prices, max_cost=0.001, concurrency=1
        )
        questions = [*_questions(20), *_questions(3)]
        before = endpoint.estimate(questions)
        assert before[:4] == (23, 3, 20 * 6, 20 * 64)
        assert math.isclose(before.cost, 20 * (6 + 640) / 1e6)
        assert not (tmp_path / "answers.sqlite").exists()
        assert server.keys == []
        with pytest.raises(BudgetError, match="^max_cost: the next question"):
            endpoint.ask(questions)
        answered = len(server.prompts)
        after = endpoint.estimate(questions)
    assert after.cached == 3 + answered
    assert after.spent_tokens == 10 * answered
    # 37e-6 each, and 646e-6 have to be left for the next.
    assert answered == 10


def test_requests_are_spread_over_time(tmp_path):
    with ScriptedServer(_echo) as server:
        endpoint = _endpoint(server.url, tmp_path, requests_per_minute=600)
        start = time.perf_counter()
        endpoint.ask(_questions(5))
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
        _echo(exchange)

    with ScriptedServer(count) as server:
        _endpoint(server.url, tmp_path, concurrency=3).ask(_questions(12))
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
        endpoint = _endpoint(server.url, tmp_path, constraint=constraint)
        answers, _ = endpoint.ask(_questions(1, choices=choices))
    assert answers[0].text == choices[1]


def test_log_probabilities_of_letters(tmp_path):
    def top(exchange):
        assert exchange.body["logprobs"] is True
        assert exchange.body["top_logprobs"] == 20
        listed = {"A": -1.0, " A": -1.0, "B": -0.5, "x": -3.0}
        top = [{"token": key, "logprob": value} for key, value in listed.items()]
        exchange.answer("B", logprobs={"content": [{"top_logprobs": top}]})

    with ScriptedServer(top) as server:
        endpoint = _endpoint(server.url, tmp_path)
        ask = _questions(1, letters=("A", "B", "C"))
        for _ in range(2):  # The second time from the cache.
            answers, _ = endpoint.ask(ask)
            scores = answers[0].scores
            assert math.isclose(scores[0], math.log(2) - 1)
            assert scores[1:] == (-0.5, -math.inf)
        server.script = _echo
        with pytest.raises(EndpointError, match="^form: the server gives no log-"):
            endpoint.ask(_questions(2, letters=("A", "B")))


def test_fields_of_the_request_can_be_replaced(tmp_path):
    bodies = []

    def keep(exchange):
        bodies.append(exchange.body)
        _echo(exchange)

    extra = {"max_tokens": None, "max_completion_tokens": 9}
    with ScriptedServer(keep) as server:
        _endpoint(server.url, tmp_path, extra=extra).ask(_questions(1))
    assert "max_tokens" not in bodies[0]
    assert bodies[0]["max_completion_tokens"] == 9
    assert bodies[0]["temperature"] == 0


_CLIENT = """
import sys
from robustjax.methods.instructions._endpoint import Endpoint
from robustjax.methods.instructions._question import Message, Question
url, cache = sys.argv[1:]
questions = [Question((Message("user", f"q{at}"),)) for at in range(20)]
Endpoint(url, "teacher", cache, concurrency=3).ask(questions)
"""


def test_nothing_that_was_answered_is_asked_again_after_kill_9(tmp_path):
    """The process is killed while three questions are under way."""
    answered, held = [], threading.Semaphore(0)
    lock, let_go = threading.Lock(), threading.Event()

    def script(exchange):
        with lock:
            good = len(answered) < 7
            if good:
                answered.append(exchange.prompt)
        if good:
            _echo(exchange)
        else:
            held.release()
            let_go.wait(60)

    with ScriptedServer(script) as server:
        cache = tmp_path / "answers.sqlite"
        root = pathlib.Path(__file__).parents[3]
        process = subprocess.Popen(
            [sys.executable, "-c", _CLIENT, server.url, str(cache)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stderr=subprocess.PIPE,
        )
        # Once every thread waits for a reply, all answers before are on the disk.
        there = all(held.acquire(timeout=60) for _ in range(3))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert there, errors.decode()
        assert process.returncode == -signal.SIGKILL
        let_go.set()
        asked = len(server.prompts)
        server.script = _echo
        answers, report = Endpoint(server.url, "teacher", cache).ask(_questions(20))
    assert answers == [Answer(f"answer to q{at}") for at in range(20)]
    assert report.from_cache == len(answered) == 7
    assert not {*answered} & {*server.prompts[asked:]}
    counts = collections.Counter(server.prompts)
    assert sorted(counts.values()) == [1] * 17 + [2] * 3


def test_nobody_there(tmp_path):
    with closed_port() as url:
        endpoint = _endpoint(url, tmp_path)
        with pytest.raises(ValueError, match="^base_url: nobody answers at "):
            endpoint.ask(_questions(1))


@pytest.mark.parametrize(
    ("status", "message"),
    [(503, "base_url: .*503"), (302, "base_url: .*302"), (401, "api")],
)
def test_a_server_that_is_not_ready(tmp_path, status, message):
    with ScriptedServer(_echo) as server:
        server.models_status = status
        with pytest.raises(ValueError, match=f"^{message}"):
            _endpoint(server.url, tmp_path).check()
        assert server.prompts == []
        server.models_status = 404
        _endpoint(server.url, tmp_path).check()


def test_an_empty_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    with ScriptedServer(_echo) as server:
        with pytest.raises(ValueError, match=r"^api_key_variable: \$OPENAI_API_KEY is"):
            _endpoint(server.url, tmp_path).ask(_questions(1))
        assert server.keys == []
        _endpoint(server.url, tmp_path, api_key_variable=None).ask(_questions(1))
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
        _endpoint("http://127.0.0.1:9/v1", tmp_path).ask(_questions(1))
    with pytest.raises(ValueError, match="^cache: cannot use"):
        _endpoint("http://127.0.0.1:9/v1", tmp_path / "missing").ask(_questions(1))
