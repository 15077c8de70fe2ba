"""Labels in CSV files."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import data


@pytest.fixture
def animals():
    inputs = np.arange(8, dtype=np.float32).reshape(4, 2)
    return data.make_dataset(
        inputs,
        [0, 1, 2, 0],
        ids=["a", "b", "c", "d"],
        class_names=["cat", "dog", "2"],
    )


def _write(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_names_and_indices_by_id_in_the_files_order(tmp_path, animals):
    path = _write(tmp_path, "id,label,note\nd,dog,x\na,0,\nb, cat ,y\n")
    rows, labels = data.read_labels(path, animals, "label", name="file")
    np.testing.assert_array_equal(rows, [3, 0, 1])
    np.testing.assert_array_equal(labels, [1, 0, 0])
    assert labels.dtype == np.int32


def test_blank_labels_are_left_out(tmp_path, animals):
    path = _write(tmp_path, "id,label\na,\nb,dog\nc,  \n")
    rows, labels = data.read_labels(path, animals, "label", name="file")
    np.testing.assert_array_equal(rows, [1])
    np.testing.assert_array_equal(labels, [1])


def test_a_spreadsheets_byte_order_mark_is_no_part_of_the_header(tmp_path, animals):
    path = _write(tmp_path, "\ufeffid,label\na,dog\n")
    rows, _ = data.read_labels(path, animals, "label", name="file")
    np.testing.assert_array_equal(rows, [0])


def test_a_class_called_like_an_index_wins():
    names = ["cat", "2", "dog"]
    np.testing.assert_array_equal(
        data.parse_labels(["2", "0"], names, name="x"), [1, 0]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,lable\na,dog\n",
            r"file: .* lacks the column\(s\) label; it has id, lable",
        ),
        ("", r"file: .* lacks the column\(s\) id, label; it has no rows"),
        ("id,label\na,horse\n", r"file\[label\]: 1 value\(s\) are no class .*'horse'"),
        ("id,label\na,3\n", r"no class \(first: '3'\)"),
        ("id,label\nz,dog\n", r"file\[id\]: 1 id\(s\) do not occur .*'z'"),
        ("id,label\na,dog\na,cat\n", r"file\[id\]: 1 id\(s\) occur more than once"),
        ("id,label\na,dog,extra\n", r"file: line 2 .* more cells than"),
    ],
)
def test_faulty_files_are_named_with_the_fault(tmp_path, animals, text, message):
    path = _write(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        data.read_labels(path, animals, "label", name="file")


def test_a_missing_file_is_an_error_of_the_argument(tmp_path, animals):
    with pytest.raises(ValueError, match="file: cannot read .*No such file"):
        data.read_labels(tmp_path / "none.csv", animals, "label", name="file")
