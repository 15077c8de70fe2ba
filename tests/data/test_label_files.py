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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,label,label\na,dog,cat\n",
            "file: '.*' has 2 columns called 'label', expected one",
        ),
        ("id,label,id\na,dog,b\n", "has 2 columns called 'id'"),
        ("id,label,label \na,dog,cat\n", "has 2 columns called 'label'"),
        (
            f'id,label\na,dog\nb,"{131073 * "x"}"\n',
            r"file: cannot read '.*' from line 3 on: field larger than field limit",
        ),
        # An open quote takes the rest of the file into its cell.
        (
            'id,label\na,"dog\nb,cat\nc,cat\n',
            "file: cannot read '.*' from line 2 on: unexpected end of data",
        ),
        ('id,label\na,"dog"x\n', "from line 2 on: .* expected after"),
        ('id,label,note\na,dog,"two\nlines"\nb,cat,x,y\n', "line 4 of .* more cells"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(tmp_path, animals, text, message):
    path = _write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        data.read_labels(path, animals, "label", name="file")
    assert "\n" not in str(error.value)


def test_blank_cells_and_columns_that_spreadsheets_add_or_leave_out(tmp_path, animals):
    path = _write(tmp_path, "id,label,,\na,dog,,\nb\n\nc,,\nd,cat\n")
    rows, labels = data.read_labels(path, animals, "label", name="file")
    np.testing.assert_array_equal(rows, [0, 3])
    np.testing.assert_array_equal(labels, [1, 0])


def test_classes_of_one_name_are_refused_wherever_they_come_from(animals):
    names = ["cat", "dog", "cat"]
    with pytest.raises(ValueError, match="classes 0 and 2 are both called 'cat'"):
        data.make_dataset(animals.inputs, animals.labels, class_names=names)
    with pytest.raises(ValueError, match="classes 0 and 2 are both called 'cat'"):
        data.parse_labels(["cat"], names, name="x")


def test_indices_do_not_count_where_names_are_numbers():
    names = ["1", "10", "2"]
    np.testing.assert_array_equal(
        data.parse_labels(["2", "10", "1"], names, name="x"), [2, 1, 0]
    )
    with pytest.raises(ValueError, match=r"1 value\(s\) are no class \(first: '0'\)"):
        data.parse_labels(["1", "0"], names, name="x")


def test_accents_in_either_form():
    got = data.parse_labels(["cafe\u0301", " caf\xe9"], ["tea", "caf\xe9"], name="x")
    np.testing.assert_array_equal(got, [1, 1])
