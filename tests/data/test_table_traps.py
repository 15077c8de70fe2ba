"""Tables of which something would be lost without a word."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import data
from robustjax.answers import _said
from robustjax.data._label_files import parse_labels

pytest.importorskip("pyarrow")


@pytest.mark.parametrize("column", ["text", "label", "x"])
def test_a_quote_that_never_ends_swallows_no_rows(tmp_path, column):
    columns = ["id", *{"label", "x", "text"} - {column}, column]
    values = {"id": "abcd", "label": "cdcd", "x": "1234", "text": "wxyz"}
    rows = [[values[name][i] for name in columns] for i in range(4)]
    rows[1][-1] = '"open'
    path = tmp_path / "table.csv"
    path.write_text("\n".join([",".join(columns), *map(",".join, rows)]) + "\n")
    with pytest.raises(ValueError, match="cannot read .*table.csv': line"):
        data.load_table(path, text_column="text")


def test_lines_within_quotes_are_read_as_ever(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('id,label,x,text\na,c,1,"two\nlines, ""quoted"""\nb,d,2,fine\n')
    found = data.load_table(path, text_column="text")
    assert found.ids.tolist() == ["a", "b"]
    assert data.read_texts(path, "text") == ['two\nlines, "quoted"', "fine"]


def test_texts_that_were_made_safe_are_embedded_as_they_were(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("id,label,text\na,c,'-5 degrees\nb,d,'quoted'\n")
    seen = []

    def embed(texts):
        seen.extend(texts)
        return np.eye(len(texts))

    data.load_text_table(path, "text", embed=embed)
    assert seen == data.read_texts(path, "text") == ["-5 degrees", "'quoted'"]


def test_integers_that_floats_do_not_tell_apart_are_refused(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "table.parquet"
    columns = {"label": ["a", "b"], "x": [2**60, 2**60 + 1], "y": [2**53, 1]}
    parquet.write_table(pa.table(columns), path)
    for load in (data.load_table, lambda p: data.open_table_rows(p, ["x"])):
        with pytest.raises(ValueError, match=r"columns?: 'x' .*beyond 2\^53"):
            load(path)
    np.testing.assert_array_equal(
        data.open_table_rows(path, ["y"])[:], [[2.0**53], [1]]
    )


def test_a_long_cell_is_no_missing_quote(tmp_path):
    long = "word " * 40_000
    path = tmp_path / "table.csv"
    path.write_text(f'id,label,x,text\na,c,1,"{long}"\nb,d,2,fine\n')
    assert data.read_texts(path, "text") == [long, "fine"]
    path.write_text(f'id,label,x,text\na,c,1,"{long}\nb,d,2,fine\n')
    with pytest.raises(ValueError, match="cannot read .*table.csv': line"):
        data.read_texts(path, "text")


@pytest.mark.parametrize("kind", ["frame", "parquet"])
@pytest.mark.parametrize("rows", [slice(6, None), slice(None, None, 3)])
def test_rows_of_a_slice_keep_their_numbers(tmp_path, kind, rows):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"label": ["a", "b"] * 6, "x": np.arange(12) / 2 + 0.25})
    part = frame.iloc[rows]
    source = part
    if kind == "parquet":
        source = tmp_path / "part.parquet"
        part.to_parquet(source)
    found = data.load_table(source)
    assert found.ids.tolist() == part.index.tolist()
    np.testing.assert_array_equal(found.inputs[:, 0], frame.x.loc[found.ids])
    whole = data.load_table(frame)
    assert whole.ids.tolist() == list(range(12))


@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_a_named_index_is_ids_and_no_input(tmp_path, kind):
    pd = pytest.importorskip("pandas")
    index = pd.Index([100, 107, 103, 111], name="user_id")
    frame = pd.DataFrame({"label": list("abab"), "x": [0.5, 1, 2, 3]}, index=index)
    source = frame
    if kind == "parquet":
        source = tmp_path / "users.parquet"
        frame.to_parquet(source)
    for given in ({}, {"id_column": "user_id"}):
        found = data.load_table(source, **given)
        assert found.ids.tolist() == index.tolist()
        np.testing.assert_array_equal(found.inputs[:, 0], frame.x)
        assert found.inputs.shape == (4, 1)


def test_classes_that_are_numbers_are_meant_by_their_names_alone():
    for names in (("-1", "1"), ("1.0", "2.0"), ("0.5", "cat")):
        assert parse_labels(names, names, name="x").tolist() == [0, 1]
        with pytest.raises(ValueError, match="x: 1 value.s. are no class"):
            parse_labels(["0"], names, name="x")
    assert parse_labels(["0", "1"], ("1", "cat"), name="x").tolist() == [0, 0]
    assert parse_labels(["1", "0"], ("inf", "nan"), name="x").tolist() == [1, 0]


def test_a_word_that_is_a_class_but_for_its_capitals_is_asked_about():
    for label in ("Don't know", "None of them"):
        with pytest.raises(ValueError, match="class_names: got"):
            _said.check_words((label, "cat"))
    names = ("None", "Skip")
    assert _said.parse_said(["None", "Skip"], names, name="x").tolist() == [0, 1]
    with pytest.raises(ValueError, match="x: got 'none', which may mean the class"):
        _said.parse_said(["none"], names, name="x")
