"""Conversations as tokens by a tokenizer's chat template, texts walled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustjax.methods.instructions._question import Message


def encode(tokenizer: Any, text: str, *, plain: bool = False) -> list[int]:
    """Tokens of a text, without what begins or ends a sequence.

    Args:
      tokenizer: of `transformers`.
      text: any.
      plain: whether special tokens that stand in the text are read as plain text.
    """
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=plain)
    return list(encoded["input_ids"])


def opening(tokenizer: Any) -> list[int]:
    """The token that begins every sequence, of tokenizers that write one."""
    opened = list(tokenizer("a")["input_ids"])[:1]
    first = tokenizer.bos_token_id
    return opened if first is not None and opened == [first] else []


def chat_frames(
    tokenizer: Any, messages: Sequence[Message], *, ask: bool = True
) -> list[str]:
    """What the chat template writes before, between and after the messages.

    Filled with placeholders: its own special tokens can then be read as such, and those
    that stand in a message cannot.

    Args:
      tokenizer: with a chat template.
      messages: M of them.
      ask: whether the beginning of an answer follows.

    Returns:
      M + 1 texts.

    Raises:
      ValueError: no template, or one that leaves out a message.
    """
    if not tokenizer.chat_template:
        raise ValueError("tokenizer: has no chat template, expected one for chats")
    marks = [f"\ue000{at}\ue001" for at in range(len(messages))]
    rendered = tokenizer.apply_chat_template(
        [
            {"role": message.role, "content": mark}
            for message, mark in zip(messages, marks)
        ],
        tokenize=False,
        add_generation_prompt=ask,
    )
    frames = []
    for mark in marks:
        frame, found, rendered = rendered.partition(mark)
        if not found:
            raise ValueError("tokenizer: its chat template leaves out a message")
        frames.append(frame)
    return [*frames, rendered]


def chat_tokens(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """A prompt by the chat template, in which no message can open a turn."""
    *frames, last = chat_frames(tokenizer, messages)
    tokens: list[int] = []
    for frame, message in zip(frames, messages):
        tokens += encode(tokenizer, frame)
        tokens += encode(tokenizer, message.content, plain=True)
    return tokens + encode(tokenizer, last)
