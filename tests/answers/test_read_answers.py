"""Tables of answers as people and their programs leave them."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import answers, data

OPEN, UNKNOWN, NONE = answers.OPEN, answers.UNKNOWN, answers.NONE


@pytest.fixture
def animals():
    return data.make_dataset(
        np.eye(5),
        [0, 1, 2, 0, 1],
        ids=["a", "b", "c", "=1+1", "e 1"],
        class_names=["cat", "dog", "cow"],
    )


def read(tmp_path, content, dataset):
    path = tmp_path / "labeled.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return answers.read_answers(path, dataset)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_delimiter_line_end_and_byte_order_mark(
    tmp_path, animals, delimiter, end, mark
):
    rows = ["id|note|new_label", "b|x|dog", "a||1.0", "c|y|", "'=1+1|| 2", "e 1||cow"]
    text = mark + "".join(row.replace("|", delimiter) + end for row in rows)
    found = read(tmp_path, text, animals)
    assert found.rows.tolist() == [1, 0, 2, 3, 4]
    assert found.said.tolist() == [1, 1, OPEN, 2, 2]
    assert found.lines.tolist() == [2, 3, 4, 5, 6]
    assert found.annotators == ("",) * 5


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("don't know", UNKNOWN),
        ("Don\N{RIGHT SINGLE QUOTATION MARK}t know ", UNKNOWN),
        ("?", UNKNOWN),
        ("none of them", NONE),
        ("ood", NONE),
        ("skip", OPEN),
        ("   ", OPEN),
        ("2,0", 2),
        ("0", 0),
    ],
)
def test_words_and_numbers(tmp_path, animals, cell, said):
    found = read(tmp_path, f"id;new_label\na;{cell}\n", animals)
    assert found.said.tolist() == [said]


def test_a_class_wins_over_a_word_and_a_number():
    names = ["none", "1.0", "dog"]
    assert answers.parse_said(["none", "1.0", "2"], names, name="x").tolist() == [
        0,
        1,
        2,
    ]
    with pytest.raises(ValueError, match='class_names: got "don\'t know"'):
        answers.check_words(["dog", "don't know"])
    # A spreadsheet's 1 for "01" was taken for the second class.
    assert answers.parse_said(["1"], ["owl", "01"], name="x").tolist() == [1]
    for text in ("1", "1.0"):
        with pytest.raises(ValueError, match="no class"):
            answers.parse_said([text], ["01", "owl"], name="x")


def test_integer_ids_that_a_spreadsheet_made_floats_and_empty_lines(tmp_path):
    numbers = data.make_dataset(np.eye(2), [0, 1], ids=[7, 12], class_names=["x", "y"])
    found = read(tmp_path, "id;new_label\n12,0;x\n;\n7.0;y\n;;\n"[:-3], numbers)
    assert found.rows.tolist() == [1, 0]
    assert found.said.tolist() == [0, 1]


@pytest.mark.parametrize("cell", ['"1,000"', "1.000", "-1.000 "])
def test_an_id_that_may_be_a_thousand_of_them_is_refused(tmp_path, cell):
    """It was taken for 1."""
    ids = [1, 1000, 2, -1, -1000]
    numbers = data.make_dataset(np.eye(5), [0, 1, 0, 0, 1], ids=ids)
    with pytest.raises(ValueError, match="line 2.*write ids without separators"):
        read(tmp_path, f"id,new_label\n{cell},0\n", numbers)
    assert read(tmp_path, "id,new_label\n2.000,0\n", numbers).rows.tolist() == [2]


def test_several_people_may_answer_and_one_not_twice(tmp_path, animals):
    found = read(
        tmp_path, "id,new_label,annotator\na,cat,Ann\na,dog,Ben \na,,Ann\n", animals
    )
    assert found.annotators == ("Ann", "Ben", "Ann")
    for second, what in (("dog", "'cat' and 'dog'"), ("cat", "twice 'cat'")):
        with pytest.raises(
            ValueError, match=f"lines 2 and 4 both answer id 'a'.*{what}"
        ):
            read(tmp_path, f"id,new_label\na,cat\nb,dog\na,{second}\n", animals)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,new_label\na,cat\nz,dog\n", r"1 id\(s\) do not occur .*line 3: 'z'"),
        ("id,new_label\na,cat\nb,cats\n", r"no class \(first: 'cats'\).*\(line 3\)"),
        ("id,label\na,cat\n", "lacks the column"),
        ("", "lacks the column"),
        ("id,new_label\na,3\n", "no class"),
        (b"\xff\xfei\0d\0", "not UTF-8 text"),
        ('id,new_label\na,"cat\n', "cannot read"),
        # Answers of nobody would settle what others said.
        ("id,new_label,Annotator\na,cat,Ann\n", "got a column 'Annotator'"),
        ("id,new_label,annotator \na,cat,Ann\n", "expected 'annotator'"),
    ],
)
def test_faults_are_named_with_their_lines(tmp_path, animals, text, message):
    with pytest.raises(ValueError, match=message) as raised:
        read(tmp_path, text, animals)
    assert "\n" not in str(raised.value)
