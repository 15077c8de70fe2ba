"""Tables as people have them: CSV of any kind, Parquet, data frames."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import data

pa = pytest.importorskip("pyarrow")


def _csv(tmp_path, text, name="t.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


PLAIN = "id,size,label,far\n007,1.5,owl,1\n8,2,cat,0\nx,-3,owl,1\n"


def _is_plain(found):
    assert found.ids.tolist() == ["007", "8", "x"]
    assert found.class_names == ("cat", "owl")
    np.testing.assert_array_equal(found.labels, [1, 0, 1])
    np.testing.assert_array_equal(found.inputs, [[1.5, 1], [2, 0], [-3, 1]])
    assert found.inputs.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("t.csv", lambda text: text),
        ("t.CSV", lambda text: "\ufeff" + text),
        ("t.csv", lambda text: text.replace("\n", "\r\n")),
        ("t.csv", lambda text: text.replace(",", ";")),
        ("t.csv", lambda text: text.replace(",", ";").replace(".", ",")),
        ("t.csv", lambda text: text.replace(",", "\t")),
        ("t.tsv", lambda text: text.replace(",", "\t")),
        ("t.csv", lambda text: text.replace("owl", '"owl"').rstrip("\n")),
        ("t.csv", lambda text: text.replace("owl", " owl ")),
    ],
)
def test_one_table_in_many_spellings(tmp_path, name, change):
    _is_plain(data.load_table(_csv(tmp_path, change(PLAIN), name)))


class Streamed:
    """What polars and other libraries have in common: a stream of Arrow's."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "kind", ["parquet", "feather", "arrow", "frame", "pandas", "polars"]
)
def test_other_forms(tmp_path, kind):
    from pyarrow import feather, parquet

    table = pa.table(
        {
            "id": ["007", "8", "x"],
            "size": [1.5, 2, -3],
            "label": pa.array(["owl", "cat", "owl"]).dictionary_encode(),
            "far": [True, False, True],
        }
    )
    source = tmp_path / f"t.{kind}"
    if kind == "parquet":
        parquet.write_table(table, source)
    elif kind in ("feather", "arrow"):
        feather.write_feather(table, source)
    elif kind == "frame":
        source = table
    elif kind == "polars":
        source = Streamed(table)
    else:
        pytest.importorskip("pandas")
        source = table.to_pandas()
    _is_plain(data.load_table(source))


def test_index_of_a_frame_is_its_ids():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2], "label": ["x", "y"]}, index=["r", "s"])
    assert data.load_table(frame).ids.tolist() == ["r", "s"]
    named = frame.rename_axis("id")
    assert data.load_table(named).ids.tolist() == ["r", "s"]
    assert data.load_table(frame.reset_index(drop=True)).ids.tolist() == [0, 1]


def test_embeddings_become_inputs(rng):
    vectors = rng.normal(size=(4, 3))
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float64(), 3)):
        table = pa.table(
            {"e": pa.array(vectors.tolist(), kind), "label": [0, 1, 0, 1], "b": [5] * 4}
        )
        found = data.load_table(table)
        np.testing.assert_allclose(found.inputs[:, :3], vectors, rtol=1e-6)
        np.testing.assert_array_equal(found.inputs[:, 3], 5)
    ragged = pa.table({"e": [[1.0], [1.0, 2.0]], "label": [0, 1]})
    with pytest.raises(ValueError, match="lists of 'e' have 1 to 2 numbers"):
        data.load_table(ragged)


@pytest.mark.parametrize(
    ("labels", "names", "wanted"),
    [
        ([1, 2, 10, 2], ("1", "2", "10"), [0, 1, 2, 1]),
        (["1", "2", "10", "2"], ("1", "2", "10"), [0, 1, 2, 1]),
        ([1.0, 0.0, 1.0, 0.0], ("0", "1"), [1, 0, 1, 0]),
        (["1.0", "0", "1", "0.0"], ("0", "1"), [1, 0, 1, 0]),
        (["1.0", "b", "1.0", "b"], ("1.0", "b"), [0, 1, 0, 1]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (["NA", "nan", "NA", "null"], ("NA", "nan", "null"), [0, 1, 0, 2]),
    ],
)
def test_labels_of_any_kind(tmp_path, labels, names, wanted):
    table = pa.table({"a": [1, 1, 2, 3], "label": labels})
    lines = "".join(f"{a},{b}\n" for a, b in zip([1, 1, 2, 3], labels))
    for source in (table, _csv(tmp_path, "a,label\n" + lines)):
        found = data.load_table(source)
        assert found.class_names == names
        assert found.labels.tolist() == wanted


def test_splits(tmp_path):
    text = "a,label,split\n1,x,train\n2,y,train\n3,y,test\n4,x,test\n5,x,test\n"
    path = _csv(tmp_path, text)
    assert data.load(str(path), "train").inputs[:, 0].tolist() == [1, 2]
    test = data.load(str(path), "test")
    assert test.inputs[:, 0].tolist() == [3, 4, 5]
    assert test.ids.tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="got 'valid', expected one of 'test', 'tr"):
        data.load(str(path), "valid")
    whole = _csv(tmp_path, "a,label\n1,x\n2,y\n")
    assert len(data.load(str(whole), "train")) == 2
    with pytest.raises(ValueError, match="so it has no 'test'"):
        data.load(str(whole), "test")


def test_columns_by_name(tmp_path):
    path = _csv(tmp_path, "key,a,b,kind\nq,1,2,x\nr,3,4,y\n")
    found = data.load_table(
        path, label_column="kind", id_column="key", feature_columns=("b", "a")
    )
    assert found.ids.tolist() == ["q", "r"]
    assert found.inputs.tolist() == [[2, 1], [4, 3]]
    loaded = data.load(str(path), "train", label_key="kind", id_column="key")
    assert loaded.inputs.tolist() == [[1, 2], [3, 4]]


def test_what_counts_rows_is_no_input(tmp_path):
    lines = "".join(f"{n},{n + 1},{n % 3},{'xy'[n % 2]}\n" for n in range(12))
    said: list[str] = []
    found = data.load_table(_csv(tmp_path, ",n,a,label\n" + lines), report=said.append)
    assert found.inputs.shape == (12, 1)
    assert len(said) == 1
    assert "left out '', 'n'" in said[0]
    named = _csv(tmp_path, "m,n,a,label\n" + lines)
    kept = data.load_table(named, feature_columns=("n", "a"))
    assert kept.inputs.shape == (12, 2)


@pytest.mark.parametrize("heading", ["Id", "ID ", "Split"])
def test_what_reads_like_ids_or_splits_is_no_input(tmp_path, heading):
    """Ids under another heading were an input, and rows counted instead."""
    path = _csv(tmp_path, f"{heading},a,label\n17,1,x\n11,2,y\n")
    with pytest.raises(ValueError, match=f"column '{heading}', which is not read"):
        data.load_table(path)
    named = data.load_table(path, feature_columns=("a",))
    assert named.inputs.tolist() == [[1], [2]]
    if heading == "Split":
        # All rows were of any split.
        with pytest.raises(ValueError, match="split: .* has a column 'Split', expect"):
            data.load_table(path, "train", feature_columns=("a",))
    if heading != "Split":
        found = data.load_table(path, id_column=heading)
        assert found.inputs.tolist() == [[1], [2]]
        # What it has been taken for, it is.
        assert len(data.load_table(path, text_column=heading)) == 2


def test_numbers_beyond_float32_are_kept():
    times = [1_700_000_000_001.0, 1_700_000_000_002.0]
    found = data.load_table(pa.table({"t": times, "label": [0, 1]}))
    assert found.inputs[:, 0].tolist() == times


def test_neutralised_cells_are_restored(tmp_path):
    path = _csv(tmp_path, "id,a,label\n'=1+1,1,'-x\n'@b,2,y\n")
    found = data.load_table(path)
    assert found.ids.tolist() == ["=1+1", "@b"]
    assert found.class_names == ("-x", "y")


BAD = {
    "a,label\n": "has no rows",
    "": "cannot read",
    "a,label\n1,x\n2\n": "cannot read",
    "a,a,label\n1,1,x\n2,2,y\n": "2 columns called 'a'",
    "a,b\n1,2\n": "label_column: .* has no column 'label'; expected one of 'a', 'b'",
    "label\nx\ny\n": "feature_columns: .* has none",
    "a,label\n1,x\n,y\n": "row 1 .from 0. has nothing in 'a'",
    "a,label\n1,x\n2,\n": "row 1 .from 0. has a blank in 'label'",
    "a,label\n1,x\nred,y\n": "'a' holds string, expected numbers",
    "a,label\n1,x\ninf,y\n": "inputs",
    "id,a,label\nq,1,x\nq,2,y\n": "ids",
    "id,a,label\nq,1,x\n,2,y\n": "id_column: row 1 .from 0. has nothing in 'id'",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_tables(tmp_path, text):
    with pytest.raises(ValueError, match=BAD[text]):
        data.load_table(_csv(tmp_path, text))


def test_bad_arguments(tmp_path):
    path = _csv(tmp_path, PLAIN)
    with pytest.raises(ValueError, match="label_column: got 'kind', expected one of"):
        data.load_table(path, label_column="kind")
    with pytest.raises(ValueError, match="label_key: got 'kind', expected one of"):
        data.load(str(path), "train", label_key="kind")
    with pytest.raises(ValueError, match="id_column: got 'key', expected one of"):
        data.load(str(path), "train", id_column="key")
    with pytest.raises(ValueError, match="feature_columns: got 'q', expected any of"):
        data.load_table(path, feature_columns=("q",))
    with pytest.raises(ValueError, match="expected a file of the suffix"):
        data.load_table(tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match="got int, expected the path of a table"):
        data.load_table(3)
    with pytest.raises(ValueError, match="cannot read"):
        data.load_table(tmp_path / "absent.csv")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="cannot read"):
        data.load_table(tmp_path / "damaged.parquet")
    for argument in ("label_key", "id_column"):
        with pytest.raises(ValueError, match=f"{argument}: got 'x' for 'digits'"):
            data.load("digits", "train", **{argument: "x"})


def test_lists_of_lists_become_a_number_each():
    table = pa.table({"m": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "label": [0, 1]})
    assert data.load_table(table).inputs.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    ragged = pa.table({"m": [[[1, 2], [3]], [[5, 6], [7, 8]]], "label": [0, 1]})
    with pytest.raises(ValueError, match="the lists of 'm' have 1 to 2 numbers"):
        data.load_table(ragged)
