"""The layouts in which instruction data is published, each read into the same texts."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_ROLES = types.MappingProxyType(
    {
        "system": "system",
        "user": "user",
        "human": "user",
        "prompter": "user",
        "assistant": "assistant",
        "gpt": "assistant",
        "chatgpt": "assistant",
        "bing": "assistant",
        "bard": "assistant",
    }
)


class Texts(NamedTuple):
    """What a record says, see `Record`."""

    instruction: str
    input: str
    output: str


class Layout(NamedTuple):
    """How a published file holds its records.

    Attributes:
      needs: the keys by which it is told from others.
      read: an object into its texts; raises `ValueError` saying what is wrong with it.
    """

    needs: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Texts]


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{key} is a {type(value).__name__}, expected text")
    return value


# What other layouts call the input: left out, it would be missed by nobody.
_INPUTS = ("input", "context")


def _fields(instruction: str, given: str | None, output: str) -> Layout:
    def read(record: Mapping[str, Any]) -> Texts:
        for name in _INPUTS:
            if name != given and _text(record, name):
                raise ValueError(
                    f"{name} has a text, which this layout does not read, expected it "
                    f"{'nowhere' if given is None else f'as {given}'}"
                )
        return Texts(
            _text(record, instruction),
            "" if given is None else _text(record, given),
            _text(record, output),
        )

    return Layout((instruction, output), read)


def _content(value: Any) -> str:
    """The text of a message; content in parts must be text throughout."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        kinds = {part.get("type") if isinstance(part, dict) else None for part in value}
        if kinds <= {"text"}:
            return "".join(_text(part, "text") for part in value)
        raise ValueError("a message has parts that are not text")
    raise ValueError(f"a message is a {type(value).__name__}, expected text")


def _conversation(key: str, role_key: str, content_key: str) -> Layout:
    """The last answer, the question before it, and what was said before that."""

    def read(record: Mapping[str, Any]) -> Texts:
        messages = record.get(key)
        if not isinstance(messages, list) or not all(
            isinstance(message, dict) for message in messages
        ):
            raise ValueError(f"{key} is not a list of messages")
        turns = []
        for message in messages:
            role = message.get(role_key)
            if role not in _ROLES:
                raise ValueError(
                    f"a message is from {role!r}, expected one of {', '.join(_ROLES)}"
                )
            turns.append((_ROLES[role], _content(message.get(content_key))))
        output = turns.pop()[1] if turns and turns[-1][0] == "assistant" else ""
        if not turns or turns[-1][0] != "user":
            raise ValueError("the last answer does not follow a message of the user")
        instruction = turns.pop()[1]
        before = "\n".join(f"{role}: {text}" for role, text in turns)
        return Texts(instruction, before, output)

    return Layout((key,), read)


INSTRUCTION_LAYOUTS: Mapping[str, Layout] = types.MappingProxyType(
    {
        "alpaca": _fields("instruction", "input", "output"),
        "dolly": _fields("instruction", "context", "response"),
        "halueval": _fields("user_query", None, "chatgpt_response"),
        "messages": _conversation("messages", "role", "content"),
        "sharegpt": _conversation("conversations", "from", "value"),
    }
)
"""By name. Of a conversation, the last answer is the record's, to the message before
it; earlier messages are its input, a line each, "role: text"."""


def layout_of(record: Mapping[str, Any]) -> str | None:
    """The first layout whose keys a record has, or None."""
    for name, layout in INSTRUCTION_LAYOUTS.items():
        if all(key in record for key in layout.needs):
            return name
    return None
