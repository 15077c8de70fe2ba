"""Multiple-choice questions answered by the likeliest letter: MMLU.

Hendrycks, Burns, Basart, Zou, Mazeika, Song, Steinhardt, "Measuring Massive Multitask
Language Understanding", ICLR 2021: its layout of files and of prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from robustjax import checks
from robustjax.methods.instructions._chat_tokens import encode, opening
from robustjax.methods.instructions._choice_questions import ChoiceQuestion
from robustjax.methods.instructions._ranking_prompt import LETTERS
from robustjax.models.language import LanguageModel
from robustjax.training.language import next_token_log_likelihoods

_ASKED = "Answer:"


class MultipleChoice(NamedTuple):
    """How questions were answered, in their order.

    Attributes:
      predicted: (N,) int64, the likeliest choice; -1 of a question that does not fit
        into the context even alone, which counts as wrong.
      right: (N,) bool.
      log_likelihoods: (N, C) of the letters as the next token; -inf of choices that a
        question does not have, NaN where it was not asked.
      shots: (N,) int64, how many solved examples stood before it.
      subjects: (N,) of the questions.
    """

    predicted: np.ndarray
    right: np.ndarray
    log_likelihoods: np.ndarray
    shots: np.ndarray
    subjects: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """The share of questions that are right: the micro average."""
        return float(self.right.mean())

    @property
    def standard_error(self) -> float:
        """Of the accuracy, over questions."""
        share = self.accuracy
        return float(np.sqrt(share * (1 - share) / len(self.right)))

    @property
    def by_subject(self) -> dict[str, float]:
        """Subject -> share of its questions that are right."""
        names = np.array(self.subjects)
        return {
            name: float(self.right[names == name].mean())
            for name in dict.fromkeys(self.subjects)
        }

    @property
    def macro_accuracy(self) -> float:
        """The mean over subjects."""
        return float(np.mean(list(self.by_subject.values())))


def choice_prompt(
    question: ChoiceQuestion, shots: Sequence[ChoiceQuestion] = ()
) -> str:
    """A question after solved examples, up to where its letter belongs.

    Args:
      question: to be answered.
      shots: solved examples.
    """
    # Two spaces, as in the published evaluation.
    about = f" about  {question.subject.replace('_', ' ')}" if question.subject else ""
    solved = [f"{_asked(shot)} {LETTERS[shot.answer]}\n\n" for shot in shots]
    return (
        f"The following are multiple choice questions (with answers){about}.\n\n"
        f"{''.join(solved)}{_asked(question)}"
    )


def _asked(question: ChoiceQuestion) -> str:
    choices = [
        f"\n{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices)
    ]
    return f"{question.question}{''.join(choices)}\n{_ASKED}"


def multiple_choice(
    model: LanguageModel,
    tokenizer: Any,
    questions: Sequence[ChoiceQuestion],
    *,
    examples: Mapping[str, Sequence[ChoiceQuestion]] | None = None,
    num_shots: int = 5,
    context: int | None = None,
    batch_size: int = 8,
) -> MultipleChoice:
    """Answers questions by the likeliest letter after "Answer:".

    Where a prompt is longer than the context, examples are dropped from the end.

    Args:
      model: with merged adapters.
      tokenizer: of `transformers`.
      questions: N of them.
      examples: subject -> solved examples; by default none are shown.
      num_shots: of them, how many are shown.
      context: tokens of a prompt; by default what the model was made for.
      batch_size: prompts that go through the model together.

    Raises:
      ValueError: no question, a subject with fewer examples than are to be shown, or
        letters that the tokenizer does not tell apart.
    """
    checks.at_least("number of questions", len(questions), 1)
    checks.at_least("num_shots", num_shots, 0)
    context = model.config.context if context is None else context
    checks.in_range("context", context, 1, model.config.context)
    examples = {} if examples is None else examples
    for question in questions if examples and num_shots else ():
        found = len(examples.get(question.subject, ()))
        if found < num_shots:
            raise ValueError(
                f"examples: got {found} of {question.subject!r}, expected at least "
                f"num_shots, {num_shots}"
            )
    most = max(len(question.choices) for question in questions)
    letters = _letter_tokens(tokenizer, LETTERS[:most])
    opened = opening(tokenizer)
    prompts: dict[int, list[int]] = {}
    used = np.zeros(len(questions), np.int64)
    for number, question in enumerate(questions):
        solved = list(examples.get(question.subject, ()))[:num_shots]
        while True:
            text = choice_prompt(question, solved)
            tokens = opened + encode(tokenizer, text, plain=True)
            if len(tokens) <= context:
                prompts[number], used[number] = tokens, len(solved)
                break
            if not solved:
                break
            solved.pop()
    logs = np.full((len(questions), most), np.nan, np.float32)
    predicted = np.full(len(questions), -1, np.int64)
    if prompts:
        asked = np.array(list(prompts))
        logs[asked] = next_token_log_likelihoods(
            model, list(prompts.values()), letters, batch_size=batch_size
        )
        sizes = np.array([len(questions[number].choices) for number in asked])
        missing = np.arange(most) >= sizes[:, None]
        logs[asked] = np.where(missing, -np.inf, logs[asked])
        predicted[asked] = logs[asked].argmax(axis=1)
    answers = np.array([question.answer for question in questions])
    return MultipleChoice(
        predicted,
        predicted == answers,
        logs,
        used,
        tuple(question.subject for question in questions),
    )


def _letter_tokens(tokenizer: Any, letters: str) -> list[int]:
    """The token of each letter after what stands before it in a prompt."""
    before = encode(tokenizer, _ASKED)
    found = []
    for letter in letters:
        tokens = encode(tokenizer, f"{_ASKED} {letter}")
        if tokens[: len(before)] != before or len(tokens) == len(before):
            raise ValueError(
                f"tokenizer: joins {_ASKED!r} with the letter after it, expected "
                "tokens of their own"
            )
        found.append(tokens[len(before)])
    if len(set(found)) < len(found):
        raise ValueError(
            f"tokenizer: tells {', '.join(letters)} not apart by one token"
        )
    return found
