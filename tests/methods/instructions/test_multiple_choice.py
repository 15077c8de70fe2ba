"""MMLU: its files, its prompts, and the likeliest letter."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra `instructions`")

from robustjax.methods import instructions
from robustjax.methods.instructions import ChoiceQuestion
from robustjax.models import language
from tests.models.language import tiny

from .byte_tokenizer import byte_tokenizer

# As real tokenizers have them: a letter with the space before it is one token.
MERGES = tuple(("Ġ", letter) for letter in "ABCD")
TOKENIZER = byte_tokenizer(merges=MERGES)
CONFIG = dataclasses.replace(tiny.CONFIG, vocab_size=len(TOKENIZER), context=400)
QUESTIONS = [
    ChoiceQuestion(f"What is {n}?", ("w", "x", "y", "z")[: 4 - n % 2], n % 3, subject)
    for n, subject in enumerate(["high_school_x"] * 4 + ["y"])
]
EXAMPLES = {
    subject: tuple(
        ChoiceQuestion(f"Solved {n}?", ("p", "q", "r", "s"), n, subject)
        for n in range(3)
    )
    for subject in ("high_school_x", "y")
}


@pytest.fixture(scope="module")
def model():
    return language.init_language_model(CONFIG, jax.random.key(0), scale=0.3)


def test_the_published_prompt():
    question = ChoiceQuestion("1 + 1?", ("0", "1", "2", "3"), 2, "abstract_algebra")
    solved = ChoiceQuestion("2 + 2?", ("4", "5", "6", "7"), 0, "abstract_algebra")
    assert instructions.choice_prompt(question, [solved]) == (
        "The following are multiple choice questions (with answers) about  abstract "
        "algebra.\n\n2 + 2?\nA. 4\nB. 5\nC. 6\nD. 7\nAnswer: A\n\n"
        "1 + 1?\nA. 0\nB. 1\nC. 2\nD. 3\nAnswer:"
    )


@pytest.mark.slow
def test_the_likeliest_letter(model):
    found = instructions.multiple_choice(
        model, TOKENIZER, QUESTIONS, examples=EXAMPLES, num_shots=1, batch_size=2
    )
    assert found.shots.tolist() == [1] * 5
    letters = TOKENIZER.convert_tokens_to_ids([f"Ġ{letter}" for letter in "ABCD"])
    for at, question in enumerate(QUESTIONS):
        prompt = instructions.choice_prompt(question, EXAMPLES[question.subject][:1])
        tokens = np.array([TOKENIZER(prompt)["input_ids"]])
        logs = jax.nn.log_softmax(tiny.logits(CONFIG, model.params, tokens)[0, -1])
        logs = np.asarray(logs)[letters]
        count = len(question.choices)
        np.testing.assert_allclose(
            found.log_likelihoods[at, :count], logs[:count], rtol=1e-3
        )
        assert (found.log_likelihoods[at, count:] == -np.inf).all()
        assert found.predicted[at] == logs[:count].argmax()
    want = [found.predicted[at] == q.answer for at, q in enumerate(QUESTIONS)]
    np.testing.assert_array_equal(found.right, want)
    # Over questions, and over subjects of unequal size.
    assert found.accuracy == np.mean(want)
    parts = np.mean(want[:4]), np.mean(want[4:])
    assert found.by_subject == {"high_school_x": parts[0], "y": parts[1]}
    assert found.macro_accuracy == np.mean(parts)
    share = found.accuracy
    assert found.standard_error == pytest.approx(math.sqrt(share * (1 - share) / 5))


def test_examples_are_dropped_from_the_end(model):
    question = QUESTIONS[0]
    sizes = [
        len(TOKENIZER(instructions.choice_prompt(question, shots))["input_ids"])
        for shots in (EXAMPLES["high_school_x"][:n] for n in range(4))
    ]

    def asked(context):
        return instructions.multiple_choice(
            model,
            TOKENIZER,
            [question],
            examples=EXAMPLES,
            num_shots=3,
            context=context,
        )

    few = asked(sizes[3] - 1)
    assert few.shots.tolist() == [2]
    two = instructions.multiple_choice(
        model, TOKENIZER, [question], examples=EXAMPLES, num_shots=2
    )
    np.testing.assert_array_equal(few.log_likelihoods, two.log_likelihoods)
    none = asked(sizes[0] - 1)
    assert none.predicted.tolist() == [-1]
    assert not none.right.any()
    assert np.isnan(none.log_likelihoods).all()


def test_what_cannot_be_asked(model):
    def refused(message, questions=QUESTIONS, tokenizer=TOKENIZER, **options):
        with pytest.raises(ValueError, match=message):
            instructions.multiple_choice(model, tokenizer, questions, **options)

    refused("number of questions: got 0", [])
    refused("examples: got 3 of 'high_school_x', expected at least", examples=EXAMPLES)
    refused("context: got 401", context=401)
    # A space of its own begins all letters.
    refused("tokenizer: tells A, B, C, D not apart", tokenizer=byte_tokenizer())


@pytest.fixture
def folder(tmp_path):
    for part in ("dev", "test"):
        (tmp_path / part).mkdir()
    (tmp_path / "dev" / "law_dev.csv").write_text('"A, b?",1,2,3,4,D\n')
    (tmp_path / "test" / "law_test.csv").write_text(
        'Why?,because,so,"two\nlines",no,C\nHow?,a,b,c,d,A\n'
    )
    (tmp_path / "test" / "art_test.csv").write_text("Who?,a,b,c,d,B\n")
    return tmp_path


def test_folders_in_their_layout(folder):
    found = instructions.load_choice_questions(folder)
    assert found.examples == {
        "law": (ChoiceQuestion("A, b?", ("1", "2", "3", "4"), 3, "law"),)
    }
    assert [question.subject for question in found.questions] == ["art", "law", "law"]
    assert found.questions[1] == ChoiceQuestion(
        "Why?", ("because", "so", "two\nlines", "no"), 2, "law"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Who?,a,b,c,d,B\nWho?,a,b,c,B\n", "line 2: got 5 cells that end with 'B'"),
        ("Who?,a,b,c,d,E\n", "line 1: got 6 cells that end with 'E'"),
        ("", "is empty, expected questions"),
        ('Who?,"a', "cannot read"),
    ],
)
def test_files_that_are_no_questions(folder, content, message):
    (folder / "test" / "art_test.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        instructions.load_choice_questions(folder)


def test_folders_without_questions(tmp_path):
    with pytest.raises(ValueError, match=r"has no test/\*_test.csv"):
        instructions.load_choice_questions(tmp_path)
