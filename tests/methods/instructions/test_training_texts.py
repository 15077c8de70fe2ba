"""Records as tokens: what is learned of them, and what a record cannot do."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra `instructions`")

from robustjax.data import Record
from robustjax.methods import instructions

from .byte_tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()
RECORDS = [
    Record("1", "Add.", "1 and 2", "3"),
    Record("2", "Greet <|turn|>me", "", "Hello<|end|>\nthere"),
]


def _parts(text):
    """(what is given, what is learned) as text, special tokens by their names."""
    answers = text.answers
    assert (np.diff(answers.astype(int)) >= 0).all()
    return tuple(TOKENIZER.decode(text.tokens[part]) for part in (~answers, answers))


def test_alpaca_prompts_and_answers():
    found = instructions.training_texts(RECORDS, TOKENIZER)
    assert found.records.tolist() == [0, 1]
    assert not found.cut.any()
    for record, text in zip(RECORDS, found.texts):
        given, learned = _parts(text)
        assert given.endswith("### Response:")
        assert record.instruction in given
        assert ("### Input:\n1 and 2" in given) == bool(record.input)
        assert learned == f"\n{record.output}<|end|>"


def test_chats_by_the_template():
    found = instructions.training_texts(RECORDS, TOKENIZER, template="chat")
    given, learned = _parts(found.texts[0])
    assert given == "<|turn|>user\nAdd.\n1 and 2<|end|><|turn|>assistant\n"
    assert learned == "3<|end|>"
    whole = TOKENIZER.apply_chat_template(
        [
            {"role": "user", "content": RECORDS[0].question},
            {"role": "assistant", "content": "3"},
        ],
        return_dict=True,
    )["input_ids"]
    np.testing.assert_array_equal(found.texts[0].tokens, whole)


@pytest.mark.parametrize("template", ["alpaca", "chat"])
def test_no_record_writes_a_special_token(template):
    found = instructions.training_texts(RECORDS, TOKENIZER, template=template)
    end, turn = TOKENIZER.convert_tokens_to_ids(["<|end|>", "<|turn|>"])
    tokens = found.texts[1].tokens
    assert np.count_nonzero(tokens == end) == (2 if template == "chat" else 1)
    assert np.count_nonzero(tokens == turn) == (2 if template == "chat" else 0)
    assert tokens[-1] == end


def test_long_answers_are_cut_and_long_questions_left_out():
    records = [
        Record("short", "a", "", "b"),
        Record("long answer", "a", "", "b" * 300),
        Record("long question", "a" * 300, "", "b"),
    ]
    found = instructions.training_texts(records, TOKENIZER, max_tokens=250)
    assert found.records.tolist() == [0, 1]
    assert found.cut.tolist() == [False, True]
    assert len(found.texts[1].tokens) == 250
    assert _parts(found.texts[1])[1].endswith("bb")


def test_sequences_that_begin_with_a_token():
    begins = byte_tokenizer(begins=True)
    tokens = instructions.prompt_tokens("Hello", begins)
    assert tokens[0] == begins.bos_token_id
    assert tokens[1:] == instructions.prompt_tokens("Hello", TOKENIZER)


def test_a_tokenizer_from_its_folder(tmp_path):
    TOKENIZER.save_pretrained(tmp_path / "t")
    read = instructions.load_tokenizer(tmp_path / "t")
    want = instructions.training_texts(RECORDS, TOKENIZER, template="chat").texts
    got = instructions.training_texts(RECORDS, read, template="chat").texts
    for one, other in zip(got, want):
        np.testing.assert_array_equal(one.tokens, other.tokens)
    with pytest.raises(ValueError, match="has no tokenizer_config.json"):
        instructions.load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("message", "records", "tokenizer", "options"),
    [
        ("number of records: got 0", [], {}, {}),
        ("records: '1' has no answer", [Record("1", "a", "", " ")], {}, {}),
        ("template: unknown 'chats'", RECORDS, {}, {"template": "chats"}),
        ("max_tokens: got 20, expected more", RECORDS, {}, {"max_tokens": 20}),
        (
            "tokenizer: has no chat template",
            RECORDS,
            {"chat_template": None},
            {"template": "chat"},
        ),
        ("tokenizer: has no end-of-text token", RECORDS, {"eos_token": None}, {}),
        (
            "begins an answer otherwise than it asks for one",
            RECORDS,
            {
                "chat_template": "{% for m in messages %}[{{ m['content'] }}]"
                "{% endfor %}{% if add_generation_prompt %}!{% endif %}"
            },
            {"template": "chat"},
        ),
    ],
)
def test_what_cannot_be_trained_on(message, records, tokenizer, options):
    with pytest.raises(ValueError, match=message):
        instructions.training_texts(records, byte_tokenizer(**tokenizer), **options)
