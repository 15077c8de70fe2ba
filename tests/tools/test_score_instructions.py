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
    write_csv(path, score_rows(["a", "=b"], made), COLUMNS)
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
    base = {"records": records, "model_folder": "m", "out": out}
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
