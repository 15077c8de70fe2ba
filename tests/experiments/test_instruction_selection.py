"""The study of instruction selection: pools, what it measures, what it says."""

from __future__ import annotations

import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from experiments.studies.instruction_selection import study as study_lib
from experiments.studies.instruction_selection.config import InstructionSelectionConfig
from experiments.studies.instruction_selection.pools import read_pools
from experiments.study.run import Request, run_study
from experiments.study.table import Table
from robustjax.methods.instructions import RecordScores
from robustjax.tools.record_scores import COLUMNS, score_rows
from robustjax.training import StopRequest, write_csv
from tests.methods.instructions.scripted_server import ScriptedServer


@pytest.fixture
def files(tmp_path):
    """Alpaca's layout and HaluEval's, with 12 of 20 questions in common, 4 marked."""
    alpaca = [
        {"instruction": f"ask {i}", "input": "", "output": f"own answer {i} and more"}
        for i in range(20)
    ]
    halueval = [
        {
            "user_query": f"ask {i}",
            "chatgpt_response": f"other answer {i}",
            "hallucination": "no" if i % 3 else "yes",
        }
        for i in range(8, 30)
    ]
    own, other = tmp_path / "alpaca.json", tmp_path / "halueval.jsonl"
    own.write_text(json.dumps(alpaca))
    other.write_text("".join(json.dumps(row) + "\n" for row in halueval))
    return str(own), str(other)


def pools_of(files, mix, **more):
    own, other = files
    dataset = other if mix == "own" else own
    config = InstructionSelectionConfig(
        dataset=dataset, halueval=other, mix=mix, repeats=2, **more
    )
    return read_pools(config)


@pytest.mark.parametrize(
    ("mix", "size", "wrong"), [("own", 22, 7), ("replace", 20, 4), ("join", 12, 4)]
)
def test_pools_hold_the_marked_answers(files, mix, size, wrong):
    pools = pools_of(files, mix)
    for rows in pools.rows:
        records = [pools.records[row] for row in rows]
        assert len(records) == size
        assert len({each.id for each in records}) == size
        assert pools.wrong[rows].sum() == wrong
        for row, each in zip(rows, records):
            number = int(each.question.split()[1])
            marked = number >= 8 and number % 3 == 0
            assert pools.wrong[row] == marked
            assert each.output.startswith("other") == (marked or mix == "own")
    # Fewer of them are drawn anew in each repeat; the others keep their own answer.
    few = pools_of(files, mix, wrong_count=2)
    assert [int(few.wrong[rows].sum()) for rows in few.rows] == [2, 2]
    assert len(few.rows[0]) == (17 if mix == "own" else size)
    with pytest.raises(
        ValueError, match=f"wrong_count: got 9, expected at most {wrong}"
    ):
        pools_of(files, mix, wrong_count=9)


def test_marked_answers_beside_all_records_ask_something_new(files):
    pools = pools_of(files, "add")
    for rows in pools.rows:
        questions = [pools.records[row].question for row in rows]
        assert len(set(questions)) == len(questions) == 20 + 3
        assert {q for q, w in zip(questions, pools.wrong[rows]) if w} == {
            *("ask 21", "ask 24", "ask 27")
        }
    # Those that HaluEval has answered, with both answers.
    for own, other in zip(pools.own, pools.others):
        assert pools.records[own].question == pools.records[other].question
        assert pools.records[own].output.startswith("own")
        assert pools.records[other].output.startswith("other")
    assert len(pools.own) == 12


@pytest.mark.slow
def test_a_study_compares_with_chance_and_ranks_answers(files, tmp_path):
    own, other = files
    scores = tmp_path / "scores.csv"
    pools = pools_of(files, "replace")
    names = [name for name in pools.score_ids if name != pools.score_ids[0]]
    count = len(names)
    answer = np.random.default_rng(0).uniform(1, 2, count)
    made = RecordScores(
        np.ones(count, int), answer, np.full(count, 2.5), np.zeros(count, bool)
    )
    write_csv(scores, score_rows(names, made, names), COLUMNS)
    given = {
        "dataset": own,
        "halueval": other,
        "mix": "replace",
        "shares": (0.2, 0.5),
        "scores": str(scores),
        "repeats": 2,
        "teacher_noise": (0.0, 1.0),
        "methods": (
            "random",
            "longest",
            "ifd",
            "short=cluster_score",
            "fp_instruction",
        ),
        "options": ("short.by=perplexity",),
    }
    request = Request((), None, given, str(tmp_path / "runs"), "run")
    folder = run_study(study_lib.STUDY, request, StopRequest())
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        *("comparison.csv", "shares.png", "noise.png", "answer_ranks.csv"),
        "answer_ranks.png",
    }
    with open(folder / "summary.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (4 + 2)
    for row in rows:
        # The record without a score is in no pool.
        size = round(float(row["share"]) * 19) / 19
        at_most = row["method"] == "fp_instruction"
        assert float(row["selected_mean"]) <= 100 * size + 1e-3
        assert at_most or float(row["selected_mean"]) == pytest.approx(
            100 * size, abs=1e-3
        )
        if row["teacher_noise"] == "0":
            assert float(row["kept_mean"]) == 0
    with open(folder / "comparison.csv", newline="") as file:
        compared = list(csv.DictReader(file))
    good = [
        row
        for row in compared
        if row["teacher_noise"] == "0" and row["measure"] == "kept"
    ]
    assert {row["base"] for row in good} == {"random", "longest"}
    for row in (r for r in good if r["base"] == "random"):
        assert float(row["difference"]) < 0
        assert row["verdict"] == "less"
    assert {row["measure"] for row in compared} == {"kept", "radius", "tokens"}
    with open(folder / "answer_ranks.csv", newline="") as file:
        ranks = list(csv.DictReader(file))
    assert [row["count"] for row in ranks] == ["4", "8", "4", "8"]
    assert {row["records"] for row in ranks} == {"20"}


def _names_the_marked_last(exchange):
    """Keeps what HaluEval has not marked: it marks every "other answer 3k"."""
    text = "".join(each["content"] for each in exchange.body["messages"])
    wrong = [int(n) % 3 == 0 for n in re.findall(r"other answer (\d+)", text)]
    exchange.answer(
        " > ".join(f"[{i + 1}]" for i, bad in enumerate(wrong) if not bad) or "none"
        if len(wrong) > 1
        else ("Yes" if wrong[0] else "No")
    )


@pytest.mark.slow
def test_a_language_model_is_the_teacher(files, tmp_path):
    pytest.importorskip("httpx2")
    given = {
        "dataset": files[1],
        "limit": 18,
        "shares": (0.4,),
        "repeats": 2,
        "teacher": "model",
        "model": "m",
        "key_variable": "",
        "answers": str(tmp_path / "answers.sqlite"),
        "methods": ("random", "fp_instruction"),
    }
    with ScriptedServer(_names_the_marked_last) as server:
        given["base_url"] = server.url
        request = Request((), None, given, str(tmp_path / "runs"), "run")
        folder = run_study(study_lib.STUDY, request, StopRequest())
        sent = len(server.prompts)
        # A second run elsewhere asks nothing again.
        again = run_study(
            study_lib.STUDY, dataclasses.replace(request, name="again"), StopRequest()
        )
        assert len(server.prompts) == sent > 0
    table = Table.read(folder)
    ours = table.one(method="fp_instruction", share=0.4)
    assert ours.values["kept"].tolist() == [0, 0]
    asked = table.records("teacher")
    assert [record["repeat"] for record in asked] == [0, 1]
    assert sum(r["asked"]["requests"] for r in asked) == sent
    assert all(not r["malformed"] for r in asked)
    with open(folder / "teacher.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["ranked"]) for row in rows] == [r["ranked"] for r in asked]
    assert (again / "summary.csv").read_bytes() == (folder / "summary.csv").read_bytes()
    pools = read_pools(InstructionSelectionConfig(dataset=files[1], limit=18))
    assert len({tuple(rows) for rows in pools.rows}) == 3
    assert {len(rows) for rows in pools.rows} == {18}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mix": "both"}, "mix: unknown 'both'"),
        ({"shares": (0.0,)}, "shares: got"),
        ({"shares": ()}, "shares: got none"),
        ({"shares": (0.2, 0.2)}, "shares: got .* expected each once"),
        ({"teacher_noise": (1.5,)}, "teacher_noise: got"),
        ({"methods": ("ifd",)}, "scores: got nothing, expected a file for ifd"),
        ({"methods": ("high_quality",)}, "methods: unknown 'high_quality'"),
        ({"methods": ("cluster_score",)}, r"options \(cluster_score.by\): got rating"),
        (
            {"methods": ("cluster_random",), "options": ("max_size=3",)},
            r"options \(cluster_random.max_size\): is the same for all",
        ),
        ({"embedding": "minilm"}, "embedding_model: got None with embedding=minilm"),
        ({"embedding_model": "x"}, "embedding_model: got 'x' with embedding=tfidf"),
        ({"dataset": "absent.json"}, "dataset: "),
        ({"teacher": "model"}, "teacher: got model, expected a base_url or"),
        ({"teacher": "man"}, "teacher: unknown 'man'"),
        ({"model_folder": "x"}, "model_folder: got one with teacher=oracle"),
        (
            {"teacher": "model", "model_folder": "x", "teacher_noise": (0.5,)},
            "teacher_noise: got .* with teacher=model",
        ),
    ],
)
def test_bad_flags_are_told_before_any_work(given, message, tmp_path):
    request = Request((), None, given, str(tmp_path / "runs"), "run")
    with pytest.raises(ValueError, match=message) as caught:
        run_study(study_lib.STUDY, request, StopRequest())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs" / "instruction_selection" / "run").exists()
