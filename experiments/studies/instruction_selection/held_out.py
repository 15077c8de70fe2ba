"""Answers that no selector ever sees, on which a fine-tuned model is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.studies.instruction_selection.config import InstructionSelectionConfig
from experiments.studies.instruction_selection.pools import place_of
from experiments.study.flags import errors_name_flags
from robustjax import data
from robustjax.data import Record
from robustjax.methods.instructions import ChoiceQuestion

# The generators of pools are seeded by two and three numbers, the last of which is 1.
_DRAW = 2
# What stands in Alpaca where its model gave none.
_NO_ANSWERS = ("<nooutput>", "<noinput>")


class HeldOut(NamedTuple):
    """Records of which none, and none with the same question, is in a pool.

    Attributes:
      right: answers of HaluEval that nobody has marked.
      wrong: (Q,) marked answers of HaluEval.
      instead: (Q,) the answers to the same questions from another file, which are
        taken for right; people have not looked at them.
    """

    right: tuple[Record, ...]
    wrong: tuple[Record, ...]
    instead: tuple[Record, ...]

    @property
    def questions(self) -> frozenset[str]:
        """All that are asked."""
        return frozenset(each.question for part in self for each in part)

    @property
    def choices(self) -> list[ChoiceQuestion]:
        """(Q,) each with two answers; the right one is first in every other."""
        found = []
        for number, (wrong, right) in enumerate(zip(self.wrong, self.instead)):
            answers = (right.output, wrong.output)
            place = number % 2
            found.append(
                ChoiceQuestion(right.question, answers[:: -1 if place else 1], place)
            )
        return found


def draw_held_out(
    config: InstructionSelectionConfig,
    fits: Callable[[Sequence[Record]], np.ndarray],
) -> HeldOut:
    """Reads the files and draws, the same in all repeats.

    Args:
      config: every flag.
      fits: of N records, (N,) bool, which are short enough.

    Raises:
      ValueError: a file that cannot be read, or fewer held-out records than are
        wanted.
    """
    own = config.mix == "own"
    path, name = (config.dataset, "dataset") if own else (config.halueval, "halueval")
    halueval = data.load_halueval(place_of(path), name=name)
    path, name = (
        (config.own_answers, "own_answers") if own else (config.dataset, "dataset")
    )
    others = data.load_instructions(place_of(path), incomplete="drop", name=name)
    with errors_name_flags(records=name):
        joined = data.join_halueval(others.records, halueval)
    short = fits(halueval.records)
    pairs = [
        (halueval.records[answer], others.records[row])
        for row, answer in zip(joined.rows, joined.answers)
        if halueval.hallucinated[answer]
        and short[answer]
        and others.records[row].output.strip() not in _NO_ANSWERS
    ]
    if pairs:
        pairs = [
            pair for pair, fit in zip(pairs, fits([other for _, other in pairs])) if fit
        ]
    rng = np.random.default_rng([config.seed, 0, _DRAW])
    drawn = _drawn(
        rng,
        np.arange(len(pairs)),
        config.choice_questions,
        f"choice_questions: got {config.choice_questions}",
        f"the questions with a marked answer and one in {path!r}",
        config,
    )
    wrong, instead = zip(*(pairs[row] for row in drawn))
    asked = {each.question for each in wrong}
    unmarked = [
        row
        for row in np.flatnonzero(short & ~halueval.hallucinated).tolist()
        if halueval.records[row].question not in asked
    ]
    right = _drawn(
        rng,
        np.array(unmarked, np.int64),
        config.held_out,
        f"held_out: got {config.held_out}",
        "the answers without a mark",
        config,
    )
    return HeldOut(tuple(halueval.records[row] for row in right), wrong, instead)


def _drawn(
    rng: np.random.Generator,
    rows: np.ndarray,
    count: int,
    got: str,
    what: str,
    config: InstructionSelectionConfig,
) -> list[int]:
    if count > len(rows):
        raise ValueError(
            f"{got}, expected at most {len(rows)}, {what} of at most held_out_tokens, "
            f"{config.held_out_tokens}"
        )
    found: list[int] = np.sort(rng.permutation(rows)[:count]).tolist()
    return found
