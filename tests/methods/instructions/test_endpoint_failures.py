"""The client against a server on the loopback that plays every failure."""

from __future__ import annotations

import collections
import logging
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
from robustjax.methods.instructions._question import Answer
from tests.methods.instructions.endpoint_problem import (
    KEY,
    echo,
    make_endpoint,
    questions,
)
from tests.methods.instructions.scripted_server import ScriptedServer


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
    "good": echo,
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
    with ScriptedServer(echo) as elsewhere:
        away = {"Location": f"{elsewhere.url}/chat/completions"}
        turns = dict(_TURNS, away=lambda exchange: exchange.status(307, **away))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(_TURNS, "away", turns["away"])
            with ScriptedServer(_plays(script)) as server:
                endpoint = make_endpoint(server.url, tmp_path, attempts=5)
                answers, report = endpoint.ask(questions(11))
                first = len(server.prompts)
                again, second = endpoint.ask(questions(11))
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
            echo(exchange)
        elif exchange.prompt == "q0":
            time.sleep(3)
        else:
            exchange.drip(seconds=3)

    with ScriptedServer(slow) as server:
        endpoint = make_endpoint(server.url, tmp_path, timeout_seconds=1)
        answers, report = endpoint.ask(questions(2))
    assert [answer.status for answer in answers] == ["answered"] * 2
    assert report.timeouts == 2


def test_the_servers_wait_goes_before_ours(tmp_path):
    script = {"q0": ["busy", "good"]}
    with ScriptedServer(_plays(script)) as server:
        endpoint = make_endpoint(server.url, tmp_path, backoff_seconds=60.0)
        start = time.perf_counter()
        answers, _ = endpoint.ask(questions(1))
    assert answers == [Answer("answer to q0")]
    assert time.perf_counter() - start < 30


def test_equal_questions_are_asked_once(tmp_path):
    question = questions(1)[0]
    with ScriptedServer(echo) as server:
        endpoint = make_endpoint(server.url, tmp_path)
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
            echo(exchange)

    with ScriptedServer(fails) as server:
        endpoint = make_endpoint(
            server.url, tmp_path, attempts=2, failures_in_a_row=3, concurrency=1
        )
        with pytest.raises(EndpointError, match="3 questions in a row got no answer"):
            endpoint.ask(questions(50))
        assert len(server.prompts) == 5 + 3 * 2
        server.script = echo
        _, report = endpoint.ask(questions(50))
    assert report.from_cache == 5


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "api_key_variable: the server answers 401"), (404, "model: the server")],
)
def test_refused_keys_and_unknown_models_end_the_run_at_once(tmp_path, status, message):
    with ScriptedServer(lambda exchange: exchange.status(status, KEY)) as server:
        endpoint = make_endpoint(server.url, tmp_path, concurrency=2)
        with pytest.raises(EndpointError, match=f"^{message}") as caught:
            endpoint.ask(questions(100))
        assert len(server.prompts) <= 4
    assert KEY not in str(caught.value)


def test_the_key_is_nowhere(tmp_path, caplog):
    """A server that sends back what it was sent does not bring it to the disk."""
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(
        lambda exchange: exchange.answer(exchange.authorization)
    ) as server:
        endpoint = make_endpoint(server.url, tmp_path)
        answers, report = endpoint.ask(questions(2))
    assert answers[0].text == "Bearer ***"
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes()
    assert KEY not in f"{endpoint!r}{report!r}{answers!r}{caplog.text}"


_CLIENT = """
import sys
from robustjax.methods.instructions._endpoint import Endpoint
from robustjax.methods.instructions._question import Message, Question
url, cache = sys.argv[1:]
questions = [Question((Message("user", f"q{at}"),)) for at in range(20)]
Endpoint(url, "teacher", cache, concurrency=3).ask(questions)
"""


@pytest.mark.slow
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
            echo(exchange)
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
        server.script = echo
        answers, report = Endpoint(server.url, "teacher", cache).ask(questions(20))
    assert answers == [Answer(f"answer to q{at}") for at in range(20)]
    assert report.from_cache == len(answered) == 7
    assert not {*answered} & {*server.prompts[asked:]}
    counts = collections.Counter(server.prompts)
    assert sorted(counts.values()) == [1] * 17 + [2] * 3
