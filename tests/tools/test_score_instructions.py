"""Scores of instructions by a language model, as a person asks for them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robustjax import data
from robustjax.methods import instructions
from robustjax.methods.instructions import RecordScores
from robustjax.tools.record_scores import COLUMNS, read_scores, score_rows
from robustjax.training import write_csv
from tests.harness.tool_runs import endings

N = 20


def test_files_of_scores(tmp_path):
    path = tmp_path / "scores.csv"
    nan = float("nan")
    made = RecordScores(
        np.array([3, 5]),
        np.array([1.5, nan]),
        np.array([2.0, nan]),
        np.array([False, True]),
    )
    write_csv(path, score_rows(["a", "=b"], made, ["x", "y"]), COLUMNS)
    there, found = read_scores(str(path), ["=b", "c", "a"])
    assert there.tolist() == [True, False, True]
    assert found.length.tolist() == [5, 0, 3]
    np.testing.assert_array_equal(found.answer_loss, [nan, nan, 1.5])
    assert found.cut.tolist() == [True, False, False]
    with pytest.raises(ValueError, match="has none of the 1 records"):
        read_scores(str(path), ["c"])
    path.write_text("id,length\na,3\n")
    with pytest.raises(ValueError, match="has no column answer_loss"):
        read_scores(str(path), ["a"])
    path.write_text("id,length,answer_loss,alone_loss,cut\na,x,1,1,False\n")
    with pytest.raises(ValueError, match="holds what is no number"):
        read_scores(str(path), ["a"])
    # As spreadsheets write it; of the same id twice, the last one counted.
    path.write_text("id,length,answer_loss,alone_loss,cut\na,3,1,1,TRUE\n")
    assert read_scores(str(path), ["a"])[1].cut.tolist() == [True]
    path.write_text(path.read_text() + "a,4,2,1,False\n")
    with pytest.raises(ValueError, match="has the id 'a' twice"):
        read_scores(str(path), ["a"])
    path.write_text("id,length,answer_loss,alone_loss,cut\na,3,1,1,yes\n")
    with pytest.raises(ValueError, match="no truth as cut"):
        read_scores(str(path), ["a"])


def test_scoring_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    records, out = tmp_path / "records.json", tmp_path / "scores.csv"
    rows = [
        {"instruction": f"ask {i}", "input": "", "output": f"answer {i}"}
        for i in range(N)
    ]
    records.write_text(json.dumps(rows))
    asked = []

    def scores(some, model, *, max_tokens):
        asked.extend(each.id for each in some)
        count = len(some)
        return RecordScores(
            np.full(count, max_tokens),
            np.ones(count),
            np.full(count, 2.0),
            np.zeros(count, bool),
        )

    monkeypatch.setattr(instructions, "load_local_model", lambda folder: folder)
    monkeypatch.setattr(instructions, "record_scores", scores)
    for name in ("m", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(f'{{"name": "{name}"}}')
    base = {"records": records, "model_folder": tmp_path / "m", "out": out}
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("id,score\nx,1\n")
    runs = [base | {"limit": 6}, base, base, base | {"out": wrong}]
    runs += [base | {"out": None}, base | {"model_folder": None}]
    found = endings("score-instructions", runs)
    assert found[:3] == ["fine"] * 3
    assert "wrong.csv' holds no scores of these records" in found[3]
    assert found[4] == "out: got nothing, expected --out=…"
    assert found[5] == "model_folder: got nothing, expected --model-folder=…"
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" of ")[0].split()[-1] for line in lines] == ["scores"] * 3
    assert "scores of 6 of 20 records" in lines[0]
    assert lines[1] == lines[2]
    assert lines[1].endswith("holds the scores of 20 of 20 records")
    ids = [each.id for each in data.load_instructions(str(records)).records]
    assert sorted(asked) == sorted(ids)
    assert asked != ids
    there, known = read_scores(str(out), ids)
    assert there.all()
    assert known.ifd.tolist() == [0.5] * N


def test_scores_of_another_model_or_text_are_not_taken_for_these(tmp_path, monkeypatch):
    records, out = tmp_path / "records.json", tmp_path / "scores.csv"

    def write(last):
        rows = [
            {"id": str(i), "instruction": f"ask {i}", "input": "", "output": "yes"}
            for i in range(4)
        ]
        rows[-1]["output"] = last
        records.write_text(json.dumps(rows))

    def scores(some, model, *, max_tokens):
        ones = np.ones(len(some))
        return RecordScores(ones.astype(int), ones, ones, ones > 1)

    monkeypatch.setattr(instructions, "load_local_model", lambda folder: folder)
    monkeypatch.setattr(instructions, "record_scores", scores)
    for name in ("m", "same", "other"):
        (tmp_path / name).mkdir()
        text = "{}" if name != "other" else "{ }"
        (tmp_path / name / "config.json").write_text(text)
    write("yes")
    base = {"records": records, "model_folder": tmp_path / "m", "out": out}
    found = endings(
        "score-instructions",
        [
            base,
            base | {"model_folder": tmp_path / "same"},
            base | {"model_folder": tmp_path / "other"},
            base | {"max_tokens": 64},
            base | {"model_folder": tmp_path / "none"},
        ],
    )
    assert found[:2] == ["fine"] * 2
    for text in found[2:4]:
        assert "by another model, with another max_tokens or of another text" in text
    assert "model_folder: " in found[4]
    write("no")
    (changed,) = endings("score-instructions", [base])
    assert "holds the score of '3' by another model" in changed
