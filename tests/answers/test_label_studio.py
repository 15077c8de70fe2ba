"""Exports of Label Studio as tables of answers."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from robustjax import answers, data, methods


@pytest.fixture
def birds():
    names = ["owl", "crow"]
    ids = [f"img {i}.png" for i in range(6)]
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(6, 2)).astype(np.float32)
    return data.make_dataset(inputs, [0, 1] * 3, ids=ids, class_names=names)


def _annotation(choice, who=1, **more):
    result = (
        []
        if choice is None
        else [
            {
                "from_name": "bird",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": choice if isinstance(choice, list) else [choice]},
            }
        ]
    )
    return {"id": 7, "completed_by": who, "result": result, **more}


def _task(row, *annotations, field="id", **more):
    fields = {field: f"img {row}.png", "image": f"/data/upload/1/{row:x}-img.png"}
    return {"id": 100 + row, "data": fields | more, "annotations": list(annotations)}


def _write(path, tasks):
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def test_choices_are_answers_by_whom_and_blanks_are_open(birds, tmp_path):
    tasks = [
        _task(3, _annotation("owl", who={"id": 4, "email": "ann@x.org"})),
        _task(0, _annotation("crow", was_cancelled=True), _annotation("owl", who=2)),
        _task(1),
        _task(5, _annotation("don't know"), _annotation("crow", who=2)),
        _task(4, _annotation(None)),
        _task(2, _annotation("owl", who=None)),
    ]
    found = answers.read_answers(_write(tmp_path / "export.json", tasks), birds)
    assert found.rows.tolist() == [3, 0, 1, 5, 5, 4, 2]
    unknown, still_open = answers.UNKNOWN, answers.OPEN
    assert found.said.tolist() == [0, 0, still_open, unknown, 1, still_open, 0]
    assert found.annotators == ("ann@x.org", "2", "", "1", "2", "1", "")
    assert found.lines.tolist() == [1, 2, 3, 4, 4, 5, 6]


def test_ids_are_in_the_one_field_that_has_them(birds, tmp_path):
    tasks = [_task(row, _annotation("owl"), field="file", about="x") for row in (2, 4)]
    found = answers.read_answers(_write(tmp_path / "export.json", tasks), birds)
    assert found.rows.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "is no export of Label Studio with some tasks"),
        ({"a": 1}, "is no export of Label Studio"),
        (
            [{"id": "img 0.png", "choice": "owl"}],
            "choose its format JSON (not JSON-MIN)",
        ),
        (
            [_task(0, _annotation(["owl", "crow"]))],
            "task 1 has 2 choices, expected one",
        ),
        (
            [_task(0, {"result": [{"type": "rectanglelabels", "value": {}}]})],
            "task 1 has rectanglelabels, expected one choice",
        ),
        ([_task(0), _task(1, _annotation("gull"))], "(task 2)"),
        ([_task(9, _annotation("owl"))], "(task 1: 'img 9.png')"),
        ([_task(9, field="file")], "0 fields of the tasks' data hold ids of arrays"),
        (
            [_task(0, _annotation("owl")), _task(0, _annotation("crow"))],
            "tasks 1 and 2 both answer id 'img 0.png' by '1' ('owl' and 'crow')",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(birds, tmp_path, tasks, message):
    path = _write(tmp_path / "export.json", tasks)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        answers.read_answers(path, birds)
    assert str(caught.value).startswith("export.json")
    assert "\n" not in str(caught.value)


def test_no_json_is_one_line(birds, tmp_path):
    (tmp_path / "export.json").write_bytes(b"\xff\xfe[")
    with pytest.raises(
        ValueError, match=r"export.json: cannot read .*: no JSON in UTF"
    ):
        answers.read_answers(tmp_path / "export.json", birds)


def test_an_export_amends_a_correction(birds, tmp_path):
    said = []
    settings = methods.ClassifierSettings(hidden=(4, 4, 4), epochs=1, batch_size=3)
    exchange = methods.LabelExchange(
        tmp_path / "correction",
        birds,
        batch=2,
        settings=settings,
        method=methods.make_correction_method("random"),
        report=said.append,
    )
    tasks = [_task(3, _annotation("owl")), _task(0, _annotation("owl")), _task(1)]
    exchange.advance(amend=_write(tmp_path / "export.json", tasks))
    assert said == ["export.json: took in 2: 1 confirmed, 1 changed; 0 still open"]
    assert exchange.labels.tolist() == [0, 1, 0, 0, 0, 1]
    assert exchange.status.tolist()[:4] == ["confirmed", "given", "given", "corrected"]
