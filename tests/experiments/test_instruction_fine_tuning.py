"""The study of instruction selection where a model is fine-tuned on every selection."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra `instructions`")

from experiments.studies.instruction_selection import study as study_lib
from experiments.studies.instruction_selection import worth
from experiments.studies.instruction_selection.config import InstructionSelectionConfig
from experiments.studies.instruction_selection.fine_tuning import FineTuning, as_often
from experiments.studies.instruction_selection.pools import read_pools
from experiments.study.run import Request, run_study
from experiments.study.table import Table
from robustjax.methods import instructions
from robustjax.models import language
from robustjax.training import CheckpointFolder, StopRequest
from tests.methods.instructions.byte_tokenizer import byte_tokenizer
from tests.models.language import tiny

# As real tokenizers have them: a letter with the space before it is one token.
TOKENIZER = byte_tokenizer(merges=(("Ġ", "A"), ("Ġ", "B")))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model's folder; 20 answers of one file and 36 of HaluEval's, 12 marked.

    The questions 0, 3, … 18 have a marked answer and one of the other file.
    """
    place = tmp_path_factory.mktemp("files")
    config = dataclasses.replace(tiny.CONFIG, vocab_size=len(TOKENIZER), context=300)
    model = language.init_language_model(config, jax.random.key(0), scale=0.3)
    language.save_language_model(model, place / "model")
    TOKENIZER.save_pretrained(place / "model")
    alpaca = [
        {"instruction": f"ask {i}", "input": "", "output": f"own {i}"}
        for i in range(20)
    ]
    halueval = [
        {
            "user_query": f"ask {i}",
            "chatgpt_response": f"{'bad' if i % 3 == 0 else 'good'} {i}"
            + " and more" * (4 * (i == 35)),
            "hallucination": "no" if i % 3 else "yes",
        }
        for i in range(36)
    ]
    (place / "alpaca.json").write_text(json.dumps(alpaca))
    lines = "".join(json.dumps(row) + "\n" for row in halueval)
    (place / "halueval.jsonl").write_text(lines)
    return place


def given_of(files, **more):
    return {
        "dataset": str(files / "halueval.jsonl"),
        "own_answers": str(files / "alpaca.json"),
        "finetune": str(files / "model"),
        "shares": (0.4,),
        "repeats": 2,
        "methods": ("random", "fp_instruction"),
        "teacher_noise": (0.0, 1.0),
        "text_tokens": 48,
        "held_out_tokens": 64,
        "held_out": 4,
        "choice_questions": 3,
        "tuned_epochs": 2,
        "tuned_batch_size": 4,
        "tuned_learning_rate": 0.02,
        "lora_rank": 2,
        **more,
    }


def run_of(given, place):
    request = Request((), None, given, str(place / "runs"), "run")
    return run_study(study_lib.STUDY, request, StopRequest())


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
    return run_of(given_of(files), tmp_path_factory.mktemp("out"))


def rows_of(folder, name):
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_held_out_is_in_a_pool(files):
    config = InstructionSelectionConfig(**given_of(files))
    tuned = FineTuning(config)
    held = tuned.held_out
    assert len(held.right) == 4
    assert all(each.output.startswith("good") for each in held.right)
    for wrong, other in zip(held.wrong, held.instead, strict=True):
        assert wrong.question == other.question
        assert wrong.output.startswith("bad")
        assert other.output.startswith("own")
    assert [question.answer for question in held.choices] == [0, 1, 0]
    for question in held.choices:
        assert question.choices[question.answer].startswith("own")
    pools = read_pools(config, tuned.narrowed)
    for rows in pools.rows:
        asked = {pools.records[row].question for row in rows}
        # The one that is too long, too.
        assert len(asked) == 36 - 4 - 3 - ("ask 35" not in held.questions)
        assert not asked & held.questions
    assert FineTuning(config).held_out == held
    other = dataclasses.replace(config, seed=1)
    assert FineTuning(other).held_out != held


def test_records_come_equally_often():
    key = jax.random.key(0)
    for count, budget in ((5, 5), (5, 7), (3, 10)):
        counts = np.bincount(as_often(count, budget, key), minlength=count)
        assert counts.sum() == budget
        assert counts.max() - counts.min() <= (budget % count > 0)


def reference(model, records, max_tokens):
    """Mean log-likelihood of all answers' tokens, a text after the other."""
    total, count, means = 0.0, 0, []
    for record in records:
        (text,) = instructions.training_texts(
            [record], TOKENIZER, template="chat", max_tokens=max_tokens
        ).texts
        logits = np.asarray(
            tiny.logits(model.config, model.params, text.tokens[None])[0], np.float64
        )
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        picked = logs[np.arange(len(text.tokens) - 1), text.tokens[1:]]
        own = picked[text.answers[1:]]
        total, count = total + own.sum(), count + len(own)
        means.append(own.mean())
    return total / count, np.array(means)


def test_the_likelihoods_are_those_of_the_held_out_answers(files):
    tuned = FineTuning(InstructionSelectionConfig(**given_of(files)))
    found = tuned.untuned()
    model = language.load_language_model(files / "model")
    right, _ = reference(model, tuned.held_out.right, 64)
    wrong, of_wrong = reference(model, tuned.held_out.wrong, 64)
    _, of_other = reference(model, tuned.held_out.instead, 64)
    assert found.values["right_ll"] == pytest.approx(right, rel=1e-5)
    assert found.values["wrong_ll"] == pytest.approx(wrong, rel=1e-5)
    assert found.values["margin"] == pytest.approx(right - wrong, abs=1e-5)
    assert found.values["preferred"] == np.mean(of_other > of_wrong)
    np.testing.assert_allclose(found.answers["wrong"], of_wrong, rtol=1e-5)
    chosen = instructions.multiple_choice(model, TOKENIZER, tuned.held_out.choices)
    assert found.values["choice_accuracy"] == chosen.accuracy


@pytest.mark.slow
def test_a_run_leaves_what_every_selection_is_worth(folder, files):
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        *("summary.csv", "repeats.csv", "examples.csv", "fine_tuning.csv"),
        *("fine_tuning.png", "comparison.csv", "shares.png"),
    }
    table = Table.read(folder)
    untuned = table.one(method="untuned")
    random = table.one(method="random", share=0.4)
    assert len(set(untuned.values["right_ll"])) == 1
    # It learns how answers are written.
    assert (random.values["right_ll"] > untuned.values["right_ll"] + 0.1).all()
    rows = rows_of(folder, "fine_tuning.csv")
    pairs = {(r["method"], r["teacher_noise"], r["base"]) for r in rows}
    assert pairs == {
        ("random", "", "untuned"),
        *(("fp_instruction", n, b) for n in "01" for b in ("untuned", "random")),
        ("fp_instruction", "0", "fp_instruction (noise 1)"),
    }
    (row,) = (
        r
        for r in rows
        if (r["teacher_noise"], r["base"], r["measure"]) == ("0", "random", "right_ll")
    )
    best = table.one(method="fp_instruction", teacher_noise=0.0)
    differences = best.values["right_ll"] - random.values["right_ll"]
    assert float(row["difference"]) == pytest.approx(differences.mean(), rel=1e-3)
    error = differences.std(ddof=1) / 2**0.5
    assert float(row["standard_error"]) == pytest.approx(error, rel=1e-3)
    text = study_lib.STUDY.report(table)
    assert "Before any training: log-likelihood per token" in text
    assert "fp_instruction (noise 0) at 40 %, beside random: " in text
    kept = [r for r in rows_of(folder, "examples.csv") if r["repeat"] == "0"]
    size = round(0.4 * len(kept))
    assert sum(r["random.kept_0.4"] == "True" for r in kept) == size
    best = [r for r in kept if r["fp_instruction_0.kept_0.4"] == "True"]
    assert best
    assert not any(r["is_wrong"] == "True" for r in best)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bytes(folder, files, tmp_path):
    """Killed in the last epoch of the last cell, of which nothing is recorded yet."""
    copy = tmp_path / "runs" / "instruction_selection" / "run"
    shutil.copytree(folder, copy)
    records = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    last = json.loads(records[-1])["cell"]
    before = [line for line in records if json.loads(line)["cell"] != last]
    assert len(before) < len(records)
    (copy / "metrics.jsonl").write_text("".join(before))
    checkpoints = CheckpointFolder(copy / last / "tuned_0")
    assert checkpoints.steps() == [1, 2]
    shutil.rmtree(copy / last / "tuned_0" / "2")
    names = ("summary.csv", "repeats.csv", "fine_tuning.csv", "examples.csv")
    for name in names:
        (copy / name).unlink()
    assert run_of(given_of(files), tmp_path) == copy
    for name in names:
        assert (copy / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"finetune": "absent"}, "finetune: '.*absent' has no config.json"),
        ({"own_answers": "absent.json"}, "own_answers: "),
        (
            {"held_out": 25},
            "held_out: got 25, expected at most 23, the answers without a mark",
        ),
        (
            {"choice_questions": 8},
            "choice_questions: got 8, expected at most 7, the questions with a marked",
        ),
        ({"held_out_tokens": 5}, "held_out_tokens: got 5, expected more"),
        ({"text_tokens": 301}, "text_tokens: got 301"),
        ({"text_tokens": 5}, "text_tokens: got 5, expected more"),
        (
            {"tuned_batch_size": 12},
            "tuned_batch_size: got 12, expected at most 11, the records that a share",
        ),
        ({"lora_rank": 9}, "lora_rank: got 9, expected at most 8"),
        ({"tuned_learning_rate": 0.0}, "tuned_learning_rate: got 0"),
        ({"template": "plain"}, "template: unknown 'plain'"),
    ],
)
def test_bad_flags_are_told_before_any_work(given, message, files, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        run_of(given_of(files, **given), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs" / "instruction_selection" / "run").exists()


def test_a_verdict_needs_two_repeats():
    measure = worth.MEASURES[0]
    once = worth.Worth(None, "random", measure, np.array([1.0]))
    assert once.verdict == ""
    surely = worth.Worth(None, "random", measure, np.array([-1.0, -1.1, -0.9]))
    assert surely.verdict == "lower"
    alike = worth.Worth(None, "random", measure, np.array([0.5, 0.5, 0.5]))
    assert alike.verdict == ""
    never = worth.Worth(None, "random", measure, np.zeros(3))
    assert never.verdict == "no difference"
    unsure = worth.Worth(None, "random", measure, np.array([-1.0, 1.5, 0.3]))
    assert unsure.verdict == "no difference"
