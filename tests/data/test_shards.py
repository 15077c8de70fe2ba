"""Rows read from files when they are wanted, and folders of shards."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustjax import data
from robustjax.data import _file_rows
from robustjax.data._file_rows import FileRows, inspect_npy
from robustjax.files import digest_of_record

SHAPE = (23, 2, 3)
LABELS = np.arange(23) % 3


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.fixture
def folder(tmp_path, inputs):
    """Shards of seven rows, from blocks of five."""
    blocks = (inputs[first : first + 5] for first in range(0, 23, 5))
    path = tmp_path / "set" / "train"
    path.parent.mkdir()
    data.write_shards(
        path,
        blocks,
        LABELS,
        ids=[f"id{n}" for n in range(23)],
        class_names=["ant", "bee", "cat"],
        name="insects and a cat",
        shard_bytes=7 * 24 + 5,
    )
    return path


def test_what_was_written_is_read(folder, inputs):
    dataset = data.load(str(folder.parent), "train")
    assert sorted(p.name for p in folder.iterdir()) == [
        *("ids.npy", "inputs-00000.npy", "inputs-00001.npy", "inputs-00002.npy"),
        *("inputs-00003.npy", "labels.npy", "shards.json"),
    ]
    assert len(dataset) == 23
    assert dataset.num_classes == 3
    assert dataset.ids.tolist() == [f"id{n}" for n in range(23)]
    assert dataset.name == "insects and a cat"
    np.testing.assert_array_equal(dataset.labels, LABELS)
    np.testing.assert_array_equal(np.asarray(dataset.inputs), inputs)
    assert data.load_shards(folder, verify=True).inputs.digest() == (
        dataset.inputs.digest()
    )


@settings(max_examples=40, deadline=None)
@given(
    wanted=st.lists(st.integers(-23, 22), max_size=30),
    cut=st.slices(23),
)
def test_rows_are_those_of_an_array(tmp_path_factory, inputs, wanted, cut):
    root = tmp_path_factory.mktemp("rows")
    files = []
    for number, part in enumerate(np.split(inputs, [4, 5, 17])):
        np.save(root / f"{number}.npy", part)
        files.append(inspect_npy(root / f"{number}.npy", "part"))
    rows = FileRows(files)
    wanted = np.array(wanted, int)
    np.testing.assert_array_equal(rows[wanted], inputs[wanted])
    np.testing.assert_array_equal(rows[cut], inputs[cut])
    mask = np.isin(np.arange(23), wanted)
    np.testing.assert_array_equal(rows[mask], inputs[mask])
    chosen = rows.select(wanted[wanted >= 0])
    assert chosen.shape == (sum(wanted >= 0), 2, 3)
    np.testing.assert_array_equal(np.asarray(chosen), inputs[wanted[wanted >= 0]])
    np.testing.assert_array_equal(chosen[::-1], inputs[wanted[wanted >= 0]][::-1])
    np.testing.assert_array_equal(rows[3], inputs[3])
    with pytest.raises(IndexError):
        rows[[23]]


def test_rows_are_chosen_by_a_mask(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(3, 2))
    rows = data.open_rows(tmp_path / "x.npy")
    chosen = rows.select(np.array([False, False, True]))
    np.testing.assert_array_equal(chosen[:], [[4, 5]])
    with pytest.raises(IndexError, match="rows: got int64 3"):
        rows.select(np.array([3]))
    np.save(tmp_path / "y.npy", np.arange(600.0).reshape(300, 2))
    many = data.open_rows(tmp_path / "y.npy")
    np.testing.assert_array_equal(many[np.array([5, -1], np.int8)], many[[5, 299]])


def test_choosing_rows_reads_nothing(folder, inputs):
    dataset = data.load_shards(folder)
    part = data.take(dataset, np.array([20, 3]))
    assert isinstance(part.inputs, FileRows)
    assert part.ids.tolist() == ["id20", "id3"]
    np.testing.assert_array_equal(part.inputs[:], inputs[[20, 3]])
    other = data.take(dataset, np.array([3, 20])).inputs
    assert len({x.digest() for x in (dataset.inputs, part.inputs, other)}) == 3


def test_one_file_of_rows(tmp_path, inputs):
    np.save(tmp_path / "x.npy", inputs)
    rows = data.open_rows(tmp_path / "x.npy")
    assert (rows.shape, rows.dtype, rows.nbytes) == (SHAPE, inputs.dtype, inputs.nbytes)
    before = rows.digest()
    np.save(tmp_path / "x.npy", inputs[:20])
    assert data.open_rows(tmp_path / "x.npy").digest() != before
    with pytest.raises(ValueError, match=r"x\.npy' is shorter than when it was opened"):
        rows[:]


def test_systems_that_read_few_bytes_at_a_time(folder, inputs, monkeypatch):
    monkeypatch.setattr(_file_rows, "_MOST_BYTES", 7)
    rows = data.load_shards(folder).inputs
    np.testing.assert_array_equal(rows[[22, 0, 1, 2, 9]], inputs[[22, 0, 1, 2, 9]])
    with open(folder / "inputs-00003.npy", "r+b") as file:
        file.truncate(file.seek(0, 2) - 5)
    with pytest.raises(ValueError, match=r"inputs-00003\.npy' is shorter than when"):
        rows[[22]]
    np.testing.assert_array_equal(rows[[21, 20]], inputs[[21, 20]])


def test_rows_are_read_to_where_they_are_wanted(folder, inputs):
    rows = data.load_shards(folder).inputs
    wanted = np.array([-1, 4, 4, 0])
    for out in (
        np.empty((4, 2, 3), np.float32),
        np.empty((4, 2, 3), np.float64),
        np.empty((4, 3, 2), np.float32).transpose(0, 2, 1),
    ):
        rows.read_into(wanted, out)
        np.testing.assert_array_equal(out, inputs[wanted])
    with pytest.raises(IndexError, match="rows: got"):
        rows.read_into(np.array([0, 23]), np.empty((2, 2, 3), np.float32))


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def rewritten(record):
    def change(path):
        found = json.loads(path.read_text()) | record
        found["digest"] = digest_of_record(found)
        path.write_text(json.dumps(found))

    return change


def one_bit_off(path):
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("inputs-00002.npy", lambda path: path.unlink(), "No such file"),
        ("inputs-00002.npy", cut_short, "it is truncated"),
        ("labels.npy", cut_short, "it is truncated"),
        ("shards.json", lambda path: path.unlink(), "No such file"),
        ("shards.json", lambda path: path.write_text("{"), "damaged: no JSON"),
        ("shards.json", rewritten({"format": 2}), "is of version 2, expected 1"),
        ("shards.json", one_bit_off, "is damaged"),
        ("inputs-00001.npy", one_bit_off, "does not match its digest"),
        (
            "shards.json",
            rewritten({"inputs": {"inputs-00000.npy": 8}}),
            r"holds float32 of \(7, 2, 3\), expected 8 rows",
        ),
    ],
)
def test_damage_is_one_line_before_anything_trains(folder, name, damage, message):
    damage(folder / name)
    with pytest.raises(ValueError, match=message) as caught:
        data.load_shards(folder, verify=True)
    assert str(caught.value).startswith("dataset: ")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": [np.zeros((2, 3)), np.zeros((2, 4))]}, "block 1: got float64 of"),
        ({"blocks": [np.zeros((4, 3), "f4"), np.zeros((4, 3))]}, "expected float32 of"),
        ({"blocks": [np.full((4, 3), np.nan)]}, "block 0: 4 row"),
        ({"blocks": [np.zeros(4)]}, r"block 0: got shape \(4,\)"),
        ({"blocks": [np.zeros((4, 2, 2, 1), "i4")]}, "block 0: got int32 .* is white"),
        ({"blocks": [np.zeros((3, 3))]}, "lengths differ"),
        ({"labels": [0, 1, 3, 1]}, "labels"),
        ({"ids": [1, 1, 2, 3]}, "ids"),
        ({"shard_bytes": 0}, "shard_bytes: got 0"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, changes, message):
    arguments = {"blocks": [np.zeros((4, 3))], "labels": [0, 1, 0, 1]} | changes
    with pytest.raises(ValueError, match=message):
        data.write_shards(tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_files_stays_as_it_is(folder):
    with pytest.raises(ValueError, match="holds files, expected none"):
        data.write_shards(folder, [np.zeros((2, 3))], [0, 1])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "expected rows"),
        (np.array([["a"]]), "expected native numbers"),
        (np.zeros((2, 3), ">f4"), "expected native numbers"),
        (np.asfortranarray(np.zeros((2, 3))), "columns first"),
        (np.asfortranarray(np.zeros((1, 2, 3))), "columns first"),
    ],
)
def test_files_whose_rows_are_no_rows(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=message):
        data.open_rows(tmp_path / "x.npy")
