"""Results as programs and as spreadsheets want them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from robustjax import data
from robustjax.tools.options.outputs import FORMATS
from robustjax.tools.row_files import check_format, write_rows

ROWS = [
    {"id": np.str_("=1+1"), "label": "éclair, plain", "score": 1 / 3, "hit": True},
    {"id": np.str_("-x"), "label": "'=pie", "score": math.nan, "hit": False},
]


def test_csv_is_safe_in_a_spreadsheet_and_read_back_as_it_was(tmp_path):
    path = tmp_path / "rows.csv"
    write_rows(str(path), ROWS, "csv")
    assert "\n'=1+1," in path.read_text()
    back = data.read_csv(path, name="rows")
    assert [row["id"] for row in back] == ["=1+1", "-x"]
    assert [row["label"] for row in back] == ["éclair, plain", "'=pie"]
    assert back[0]["score"] == "0.333333333"


def test_programs_get_texts_and_numbers_as_they_are(tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    wanted = [
        {"id": "=1+1", "label": "éclair, plain", "score": 1 / 3, "hit": True},
        {"id": "-x", "label": "'=pie", "score": None, "hit": False},
    ]
    write_rows(str(tmp_path / "rows.jsonl"), ROWS, "jsonl")
    text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in text.splitlines()] == wanted
    write_rows(str(tmp_path / "rows.parquet"), ROWS, "parquet")
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == wanted


def test_the_suffix_says_the_format_unless_it_is_given():
    assert check_format("a.csv", None) == check_format("a", None) == "csv"
    assert check_format("a.JSONL", None) == "jsonl"
    assert check_format("a.parquet", None) == "parquet"
    assert [check_format("a.pq", form) for form in FORMATS] == list(FORMATS)
