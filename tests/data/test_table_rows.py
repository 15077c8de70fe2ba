"""Rows of Parquet files, read group by group."""

import numpy as np
import pytest

from robustjax import data, scores, selection

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def written(folder, columns, **how):
    path = folder / "rows.parquet"
    parquet.write_table(pa.table(columns), path, **how)
    return path


@pytest.fixture
def both(tmp_path):
    """An array, and its rows in groups of seven."""
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    flat = pa.array(x[:, :3].reshape(-1))
    columns = {
        "text": ["a"] * 40,
        "x": pa.FixedSizeListArray.from_arrays(flat, 3),
        "y": x[:, 3],
        "z": x[:, 4],
    }
    path = written(tmp_path, columns, row_group_size=7)
    return x, data.open_table_rows(path, ["x", "y", "z"])


def test_rows_are_those_of_the_table(both):
    x, rows = both
    assert (rows.shape, rows.dtype, len(rows)) == (x.shape, np.float32, 40)
    for at in (slice(5, 23), np.array([39, 0, 8, 8]), x[:, 0] > 0, slice(None)):
        np.testing.assert_array_equal(rows[at], x[at])
    np.testing.assert_array_equal(rows[-1], x[-1])
    with pytest.raises(IndexError):
        rows[np.array([40])]


def test_groups_without_rows(tmp_path):
    lists, numbers = [[1.0, 2.0], [3.0, 4.0]], [5, 6]
    table = pa.table({"x": lists, "y": numbers})
    path = tmp_path / "rows.parquet"
    with parquet.ParquetWriter(path, table.schema) as writer:
        for part in (slice(0, 0), slice(0, 1), slice(0, 0), slice(1, 2), slice(2, 2)):
            writer.write_table(table.slice(part.start, part.stop - part.start))
    rows = data.open_table_rows(path)
    assert parquet.ParquetFile(path).metadata.num_row_groups == 5
    np.testing.assert_array_equal(rows[:], [[1, 2, 5], [3, 4, 6]])
    np.testing.assert_array_equal(rows[np.array([1, 0])], [[3, 4, 6], [1, 2, 5]])


def test_what_takes_rows_of_a_file_takes_these(both):
    x, rows = both
    np.testing.assert_array_equal(
        selection.k_center(rows, 6).indices, selection.k_center(x, 6).indices
    )


def test_label_issues_of_a_table(tmp_path):
    rng = np.random.default_rng(0)
    labels, p = rng.integers(3, size=60), rng.dirichlet(np.ones(3), size=60)
    path = written(tmp_path, {f"p{i}": p[:, i] for i in range(3)}, row_group_size=13)
    rows = data.open_table_rows(path)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(
        scores.find_label_issues(labels, rows), scores.find_label_issues(labels, p)
    )


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        ({"x": [1.0]}, ["y"], "columns: got 'y', expected any of x"),
        ({"x": ["a"]}, None, "columns: 'x' of .* is string, expected numbers"),
        ({"x": [1.0, None]}, None, r"'x' of .* has 1 missing value\(s\)"),
        ({"x": [[1.0], [1.0, 2.0]]}, None, "has lists of 1 and 2 numbers"),
        ({"x": pa.array([], pa.float32())}, None, "has no rows"),
        ({"x": [1.0]}, [], "columns: got none"),
    ],
)
def test_bad_tables(tmp_path, columns, wanted, message):
    path = written(tmp_path, columns)
    with pytest.raises(ValueError, match=message):
        data.open_table_rows(path, wanted)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*No such file"):
        data.open_table_rows(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="path: cannot read"):
        data.open_table_rows(tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="expected a file of the suffix .parquet"):
        data.open_table_rows(tmp_path / "x.csv")
