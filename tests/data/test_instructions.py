"""Instruction data in its published layouts, and what is refused, with its line."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from robustjax import data

ALPACA = [
    {"instruction": "Add", "input": "1, 2", "output": "3"},
    {"instruction": "Say hi", "input": "", "output": "hi"},
]


def write(path: pathlib.Path, rows: list[dict], lines: bool) -> pathlib.Path:
    if lines:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = json.dumps(rows, indent=2)
    path.write_text(text)
    return path


@pytest.mark.parametrize("lines", [False, True])
def test_alpaca_as_an_array_and_as_lines(tmp_path, lines):
    path = write(tmp_path / "a", ALPACA, lines)
    found = data.load_instructions(path)
    assert [r.question for r in found.records] == ["Add\n1, 2", "Say hi"]
    assert [r.output for r in found.records] == ["3", "hi"]
    assert found.findings == ()
    assert {r.source for r in found.records} == {"alpaca"}


def test_ids_do_not_depend_on_order_or_layout(tmp_path):
    here = data.load_instructions(write(tmp_path / "a", ALPACA, False)).records
    dolly = [
        {
            "instruction": r["instruction"],
            "context": r["input"],
            "response": r["output"],
        }
        for r in reversed(ALPACA)
    ]
    there = data.load_instructions(write(tmp_path / "b", dolly, True)).records
    assert [r.id for r in here] == [r.id for r in reversed(there)]
    assert len({r.id for r in here}) == 2


def test_own_ids_are_kept_and_equal_records_counted(tmp_path):
    rows = [{"id": 7, **ALPACA[0]}, ALPACA[1], ALPACA[1]]
    found = data.load_instructions(write(tmp_path / "a", rows, True))
    ids = [r.id for r in found.records]
    assert ids[0] == "7"
    assert ids[2] == f"{ids[1]}-2"
    assert [(f.kind, f.place) for f in found.findings] == [
        ("duplicate record", "line 3")
    ]
    rows[1] = {"id": "7", **ALPACA[1]}
    with pytest.raises(ValueError, match=r"line 1 and line 2 .* same id '7'"):
        data.load_instructions(write(tmp_path / "b", rows, True))


def test_another_answer_to_one_question_is_told(tmp_path):
    rows = [ALPACA[0], {**ALPACA[0], "output": "4 \N{REPLACEMENT CHARACTER}"}]
    found = data.load_instructions(write(tmp_path / "a", rows, True))
    assert len(found.records) == 2
    assert found.summary() == (
        "1 duplicate question (line 2); 1 replacement character (line 2)"
    )


def test_incomplete_records_are_refused_or_dropped(tmp_path):
    rows = [ALPACA[0], {**ALPACA[1], "output": " \n"}]
    path = write(tmp_path / "a", rows, False)
    with pytest.raises(ValueError, match=r"1 record.*empty answer, line 7"):
        data.load_instructions(path)
    found = data.load_instructions(path, incomplete="drop")
    assert [r.instruction for r in found.records] == ["Add"]
    assert [(f.kind, f.place) for f in found.findings] == [("empty answer", "line 7")]
    with pytest.raises(ValueError, match="no record with an answer"):
        data.load_instructions(write(tmp_path / "b", rows[1:], True), incomplete="drop")


def test_chats_of_both_kinds(tmp_path):
    turns = [
        ("system", "Be kind."),
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "Add 1 and 2"),
        ("assistant", "3"),
    ]
    messages = [{"messages": [{"role": a, "content": b} for a, b in turns]}]
    sharegpt_roles = {"user": "human", "assistant": "gpt", "system": "system"}
    sharegpt = [
        {"conversations": [{"from": sharegpt_roles[a], "value": b} for a, b in turns]}
    ]
    one = data.load_instructions(write(tmp_path / "a", messages, True)).records[0]
    two = data.load_instructions(write(tmp_path / "b", sharegpt, False)).records[0]
    assert one.instruction == "Add 1 and 2"
    assert one.input == "system: Be kind.\nuser: Hello\nassistant: Hi"
    assert one.output == "3"
    assert (one.id, one.instruction, one.input) == (two.id, two.instruction, two.input)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "user", "content": "a"}], "the last answer does not follow|empty"),
        ([{"role": "tool", "content": "a"}], "a message is from 'tool'"),
        ([{"role": "assistant", "content": "a"}], "does not follow"),
        (
            [
                {"role": "user", "content": [{"type": "image_url"}]},
                {"role": "assistant", "content": "a"},
            ],
            "not text",
        ),
        ("hello", "not a list"),
    ],
)
def test_bad_chats(tmp_path, messages, message):
    path = write(tmp_path / "a", [{"messages": messages}], True)
    with pytest.raises(ValueError, match=message) as error:
        data.load_instructions(path)
    assert "line 1" in str(error.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"[]", "empty array"),
        (b"hello", "neither a JSON array nor JSON lines"),
        (b'{"instruction": "a", "output": "b"}\nhello\n', "line 2"),
        (b'{\n"instruction": "a"\n}', "neither .* line 1"),
        (b'[{"instruction": "a", "output": "b"}', "the end"),
        (b'[{"instruction": "a", "output": "b"}]\nmore', "line 2 .* goes on"),
        (b'[{"instruction": "a", "output": "b"},\n3]', "line 2 .* holds a int"),
        (b'[{"instruction": "a", "output": "b"},\n{"x": 1}]', "line 2 .* lacks"),
        (b'[{"instruction": 3, "output": "b"}]', "instruction is a int"),
        (b'[{"question": "a", "answer": "b"}]', "keys question, answer"),
        (b'[\n{"instruction": "\xff", "output": "b"}]', "line 2 .* not UTF-8"),
        (b'[{"instruction": "\\ud800", "output": "b"}]', "half of a character"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, raw, message):
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message) as error:
        data.load_instructions(path, name="records")
    assert str(error.value).startswith("records: ")
    assert "\n" not in str(error.value)


def test_missing_files_and_splits(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        data.load_instructions(tmp_path / "none")
    path = write(tmp_path / "a", ALPACA, True)
    with pytest.raises(ValueError, match="has no splits"):
        data.load_instructions(path, split="train")
    with pytest.raises(ValueError, match="folder without Parquet"):
        data.load_instructions(tmp_path)


def test_parquet_and_saved_data_sets(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.Table.from_pylist(ALPACA)
    expected = data.load_instructions(write(tmp_path / "a", ALPACA, True)).records
    parquet.write_table(table, tmp_path / "b.parquet")
    assert data.load_instructions(tmp_path / "b.parquet").records == expected
    with pytest.raises(ValueError, match=r"split: got 'test', but .* has no splits"):
        data.load_instructions(tmp_path / "b.parquet", split="test")

    hub = tmp_path / "hub"
    hub.mkdir()
    parquet.write_table(table, hub / "train-00000-of-00001.parquet")
    assert data.load_instructions(hub).records == expected
    parquet.write_table(table.slice(1), hub / "test-00000-of-00001.parquet")
    assert data.load_instructions(hub, split="test").records == expected[1:]
    with pytest.raises(ValueError, match=r"split: got None .* test, train"):
        data.load_instructions(hub)

    saved = tmp_path / "saved" / "train"
    saved.mkdir(parents=True)
    file = "data-00000-of-00001.arrow"
    with pa.ipc.new_stream(str(saved / file), table.schema) as stream:
        stream.write_table(table)
    state = {"_data_files": [{"filename": file}], "_indices_files": None}
    (saved / "state.json").write_text(json.dumps(state))
    assert data.load_instructions(saved).records == expected
    with pytest.raises(ValueError, match=r"split: got 'test', but .* has no splits"):
        data.load_instructions(saved, split="test")
    (saved / "state.json").write_text(json.dumps({**state, "_split": "train"}))
    assert data.load_instructions(saved, split="train").records == expected
    with pytest.raises(ValueError, match="has the split 'train' alone"):
        data.load_instructions(saved, split="test")
    (saved.parent / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert data.load_instructions(saved.parent, split="train").records == expected
    state["_indices_files"] = [{"filename": "indices.arrow"}]
    (saved / "state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="flatten_indices"):
        data.load_instructions(saved)

    (tmp_path / "bad.parquet").write_bytes(b"hello")
    with pytest.raises(ValueError, match="cannot read"):
        data.load_instructions(tmp_path / "bad.parquet")


def halueval_row(query, mark, **more):
    return {
        "ID": "",
        "user_query": query,
        "chatgpt_response": f"re: {query}",
        "hallucination": mark,
        "hallucination_spans": ["re"] if mark == "yes" else [],
        **more,
    }


def test_halueval_joins_by_the_question(tmp_path):
    rows = [
        halueval_row("Say hi", "yes"),
        halueval_row("Add\n1, 2", "no"),
        halueval_row("Elsewhere", "yes"),
    ]
    halueval = data.load_halueval(write(tmp_path / "h", rows, True))
    assert halueval.hallucinated.tolist() == [True, False, True]
    assert halueval.spans == (("re",), (), ("re",))
    records = data.load_instructions(write(tmp_path / "a", ALPACA, True)).records
    joined = data.join_halueval(records, halueval)
    assert joined.rows.tolist() == [0, 1]
    assert joined.answers.tolist() == [1, 0]
    assert joined.hallucinated.tolist() == [False, True]
    with pytest.raises(ValueError, match="none of 1"):
        data.join_halueval([data.Record("x", "What?", "", "That.")], halueval)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([halueval_row("a", "maybe")], "line 1 .* 'maybe'"),
        ([halueval_row("a", "yes"), halueval_row("a", "no")], "line 2 .* line 1"),
        ([halueval_row("a", "yes", chatgpt_response=None)], "line 1 .* no text"),
        ([halueval_row("a", "yes", chatgpt_response=" ")], "line 1 .* empty chatgpt_r"),
        ([halueval_row("", "yes")], "line 1 .* empty user_query"),
        (
            [halueval_row("a", "yes", hallucination_spans="abc")],
            "line 1 .* hallucination_spans 'abc', expected a list of texts",
        ),
    ],
)
def test_bad_halueval(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        data.load_halueval(write(tmp_path / "h", rows, True))


def test_hallucinations_are_nested():
    records = [data.Record(str(i), f"q{i}", "", f"a{i}", "alpaca") for i in range(40)]
    answers = tuple(
        data.Record(f"h{i}", f"q{i}", "", f"wrong {i}", "halueval")
        for i in range(0, 40, 2)
    )
    marks = np.arange(20) % 2 == 0
    halueval = data.HaluEval(answers, marks, ((),) * 20)
    sets = data.nested_hallucinations(records, halueval, (0, 3, 7), seed=1)
    for (chosen, replaced), count in zip(sets, (0, 3, 7)):
        assert [r.id for r in chosen] == [str(i) for i in range(0, 40, 2)]
        assert replaced.sum() == count
        assert not (replaced & ~marks).any()
        for record, new in zip(chosen, replaced):
            assert record.output == (f"wrong {record.id}" if new else f"a{record.id}")
            assert record.source == ("halueval" if new else "alpaca")
    assert not (sets[1][1] & ~sets[2][1]).any()
    others = data.nested_hallucinations(records, halueval, (7,), seed=2)
    assert (others[0][1] != sets[2][1]).any()
    with pytest.raises(ValueError, match="counts: got 11, expected at most 10"):
        data.nested_hallucinations(records, halueval, (11,))


@pytest.mark.data
def test_the_published_files(data_dir):
    folder = data_dir / "instructions"
    halueval = data.load_halueval(folder / "halueval_general.json")
    assert len(halueval.records) == 4507
    assert halueval.hallucinated.sum() == 815
    path = folder / "alpaca_random_9k.json"
    found = data.load_instructions(path, incomplete="drop")
    assert len(found.records) == 9225
    assert [f.kind for f in found.findings] == ["empty answer"] * 4
    assert len({r.id for r in found.records}) == 9225
    # 832 with the answers that are empty; by the README's looser match, 830.
    assert data.join_halueval(found.records, halueval).rows.size == 831


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"instruction": "a", "context": "b", "output": "c"},
            "context has a text, which this layout does not read, expected it as input",
        ),
        (
            {"instruction": "a", "input": "b", "response": "c"},
            "input has a text, .*expected it as context",
        ),
    ],
)
def test_no_text_is_left_out_because_another_layout_names_it_so(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        data.load_instructions(write(tmp_path / "a", [row], True))
    (name,) = {"context", "input"} & set(row)
    empty = write(tmp_path / "b", [{**row, name: ""}], True)
    (record,) = data.load_instructions(empty).records
    assert record.input == ""
