"""Records as tokens to train on: prompts by a template, answers marked."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from robustjax import checks
from robustjax.data._instruction_records import Record
from robustjax.methods.instructions._chat_tokens import (
    chat_frames,
    chat_tokens,
    encode,
    opening,
)
from robustjax.methods.instructions._extra import need
from robustjax.methods.instructions._question import Message
from robustjax.methods.instructions._record_scores import alpaca_prompt
from robustjax.training.language import TokenText

Template = Literal["alpaca", "chat"]
"""Stanford Alpaca's headings, or the tokenizer's own chat template."""


class TrainingTexts(NamedTuple):
    """What of some records can be trained on.

    Attributes:
      texts: of those with room for an answer.
      records: (n,) int64, which record each text is.
      cut: (n,) bool, whether its answer was cut off.
    """

    texts: tuple[TokenText, ...]
    records: np.ndarray
    cut: np.ndarray


def load_tokenizer(folder: str | os.PathLike[str]) -> Any:
    """The tokenizer of a model's folder; nothing is downloaded, and no code run.

    Raises:
      ValueError: a folder that is missing or has no tokenizer.
      ModuleNotFoundError: without the extra `instructions`.
    """
    path = pathlib.Path(folder)
    if not (path / "tokenizer_config.json").is_file():
        raise ValueError(
            f"folder: {os.fspath(folder)!r} has no tokenizer_config.json, expected a "
            "folder with a tokenizer"
        )
    transformers = need("transformers", "a tokenizer")
    try:
        return transformers.AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"folder: cannot load the tokenizer of {os.fspath(folder)!r} ({reason})"
        ) from None


def prompt_tokens(
    question: str | Record, tokenizer: Any, *, template: Template = "alpaca"
) -> list[int]:
    """A question as tokens, up to where its answer begins.

    Args:
      question: a record's, or a text.
      tokenizer: of `transformers`.
      template: how it is written.

    Raises:
      ValueError: an unknown template, or a tokenizer without the one asked for.
    """
    checks.one_of("template", template, ("alpaca", "chat"))
    if isinstance(question, str):
        question = Record("", question, "", "")
    if template == "chat":
        return chat_tokens(tokenizer, [Message("user", question.question)])
    return opening(tokenizer) + encode(tokenizer, alpaca_prompt(question), plain=True)


def training_texts(
    records: Sequence[Record],
    tokenizer: Any,
    *,
    template: Template = "alpaca",
    max_tokens: int = 512,
) -> TrainingTexts:
    """Records as tokens, of which those of the answers and their ends are learned.

    Special tokens that stand in a record are read as plain text. An answer that does
    not fit is cut off, and has no end then; a record whose question leaves no room is
    left out.

    Args:
      records: with answers.
      tokenizer: of `transformers`, with a token for the end of a text.
      template: how the questions are written.
      max_tokens: of a text.

    Raises:
      ValueError: a record without an answer, none that fits, an unknown template, or a
        tokenizer that lacks what is needed.
    """
    checks.at_least("number of records", len(records), 1)
    checks.at_least("max_tokens", max_tokens, 2)
    checks.one_of("template", template, ("alpaca", "chat"))
    for record in records:
        if not record.output.strip():
            raise ValueError(f"records: {record.id!r} has no answer, expected one")
    end = _end_of_answer(tokenizer, template)
    before = "" if template == "chat" else "\n"
    texts, kept, cut = [], [], []
    for number, record in enumerate(records):
        prompt = prompt_tokens(record, tokenizer, template=template)
        answer = encode(tokenizer, before + record.output, plain=True) + end
        part = answer[: max(0, max_tokens - len(prompt))]
        if not part:
            continue
        tokens = np.array([*prompt, *part], np.int32)
        texts.append(TokenText(tokens, np.arange(len(tokens)) >= len(prompt)))
        kept.append(number)
        cut.append(len(part) < len(answer))
    if not texts:
        raise ValueError(
            f"max_tokens: got {max_tokens}, expected more: no question leaves room for "
            "an answer"
        )
    return TrainingTexts(tuple(texts), np.array(kept, np.int64), np.array(cut, bool))


def _end_of_answer(tokenizer: Any, template: Template) -> list[int]:
    """The tokens after an answer, the last of which ends it."""
    end = tokenizer.eos_token_id
    if end is None:
        raise ValueError("tokenizer: has no end-of-text token, expected one")
    if template == "alpaca":
        return [end]
    question, answer = Message("user", "?"), Message("assistant", "!")
    *before, after = chat_frames(tokenizer, [question, answer], ask=False)
    if before != chat_frames(tokenizer, [question]):
        raise ValueError(
            "tokenizer: its chat template begins an answer otherwise than it asks for "
            "one; expected the same"
        )
    tokens = encode(tokenizer, after)
    for place, token in enumerate(tokens):
        if token in tokenizer.all_special_ids:
            return tokens[: place + 1]
    return [*tokens, end]
