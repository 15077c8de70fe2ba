"""What a run's folder alone says: how far it is, and its table or one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from experiments.study.journal import Journal
from experiments.study.records import FILE
from experiments.study.run_folder import RECORD, SUMMARY, open_run_folder, status
from experiments.study.table import Table
from robustjax.files import digest_of_record

MEASURE = {"key": "last", "title": "last", "is_share": True, "in_summary": True}
WHOLE = {
    "study": "tried",
    "title": "a title",
    "config": {"seed": 0},
    "data": {},
    "facts": {},
    "cells": ["ce", "elr"],
    "measures": [MEASURE],
}


def write_cell(folder, name, *, finish=True):
    with Journal(folder, tensorboard=False) as journal:
        cell = journal.cell(name)
        cell.write("epoch", epoch=0)
        cell.attach("surface", "surface.npz", b"content")
        cell.result({"method": name}, {"last": [0.5, 0.7]}, repeats=[0, 1])
        if finish:
            cell.finish()


@pytest.fixture
def finished(tmp_path):
    folder = tmp_path / "run"
    with open_run_folder(folder, WHOLE):
        for name in ("ce", "elr"):
            write_cell(folder, name)
        Table.read(folder).write_files()
    return folder


def rewrite(folder, **changes):
    """Writes `config.json` as another version might have, with a right digest."""
    record = json.loads((folder / RECORD).read_text())
    for name, value in changes.items():
        if value is None:
            del record[name]
        else:
            record[name] = value
    record["digest"] = digest_of_record(record)
    (folder / RECORD).write_text(json.dumps(record))


def test_a_run_from_its_beginning_to_its_end(tmp_path):
    folder = tmp_path / "run"
    assert status(folder) == "new"
    folder.mkdir()
    assert status(str(folder)) == "new"
    with open_run_folder(folder, WHOLE):
        assert status(folder) == "running"
        assert Table.read(folder).settings == []
    assert status(folder) == "interrupted"
    write_cell(folder, "ce")
    write_cell(folder, "elr", finish=False)
    Table.read(folder).write_files()
    assert status(folder) == "interrupted"
    assert len(Table.read(folder).settings) == 2
    with Journal(folder, tensorboard=False) as journal:
        journal.cell("elr").finish()
    (folder / SUMMARY).unlink()
    assert status(folder) == "interrupted", "nothing is written of what is there"
    Table.read(folder).write_files()
    assert status(folder) == "finished"
    with open_run_folder(folder, WHOLE):
        assert status(folder) == "running"
    assert status(folder) == "finished"


def test_the_lock_of_another_process_is_seen_and_ends_with_it(finished):
    code = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(finished)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        assert status(finished) == "running"
        with (
            pytest.raises(ValueError, match="another process is at work"),
            open_run_folder(finished, WHOLE),
        ):
            pass
        other.kill()
    assert status(finished) == "finished"


def test_who_only_looks_does_not_keep_a_run_from_its_folder(finished):
    code = """
import sys
from experiments.study.run_folder import status
print("looking", flush=True)
while True:
    status(sys.argv[1])
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(finished)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"looking\n"
        try:
            for _ in range(50):
                with open_run_folder(finished, WHOLE):
                    pass
        finally:
            other.kill()


def lines(folder):
    return (folder / FILE).read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0].replace(b"0", b"1", 1), *lines[1:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: lines[::-1],
        lambda lines: [*lines[:3], b"\xff\xfe garbage\n", *lines[3:]],
        lambda lines: [*lines[:3], b"[1, 2]\n", *lines[3:]],
    ],
    ids=["altered", "deleted", "moved", "garbage", "no record"],
)
def test_a_journal_that_is_not_as_written_is_no_table(finished, damage):
    (finished / FILE).write_bytes(b"".join(damage(lines(finished))))
    with pytest.raises(ValueError, match=r"folder: line \d+ of .*metrics.jsonl"):
        Table.read(finished)


@pytest.mark.parametrize("keep", [0, 30, 400])
def test_a_journal_that_ends_early_is_an_interrupted_run(finished, keep):
    # As a kill leaves it: nothing, half a line, or some lines and a half.
    (finished / FILE).write_bytes((finished / FILE).read_bytes()[:keep])
    assert len(Table.read(finished).settings) <= 1
    assert status(finished) == "interrupted"


def test_a_file_that_was_altered_is_an_interrupted_run(finished):
    (finished / "ce" / "surface.npz").write_bytes(b"contend")
    assert status(finished) == "interrupted"
    table = Table.read(finished)
    with pytest.raises(ValueError, match=r"surface\.npz' is missing or was altered"):
        list(table.attached("surface"))


@pytest.mark.parametrize(
    ("changes", "matter"),
    [
        ({"config": None}, "another version of robustjax"),
        ({"data": "none"}, "another version of robustjax"),
        ({"measures": None}, "another version of robustjax"),
        ({"measures": [{**MEASURE, "unit": "%"}]}, "another version of robustjax"),
        ({"measures": []}, "measures: 'last' is none of the study's"),
        ({"title": None}, "another version of robustjax"),
        ({"cells": None}, "another version of robustjax"),
    ],
)
def test_a_run_of_another_version_is_one_line(finished, changes, matter):
    rewrite(finished, **changes)
    with pytest.raises(ValueError, match=matter) as error:
        Table.read(finished)
    assert str(finished) in str(error.value)
    assert "\n" not in str(error.value)


def test_results_of_another_version_are_one_line(tmp_path):
    with open_run_folder(tmp_path / "run", WHOLE) as folder:
        with Journal(folder, tensorboard=False) as journal:
            journal.cell("ce").write("result", method="ce", last=0.5)
        with pytest.raises(ValueError, match="run' was written by another version"):
            Table.read(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"digest": "x"}'])
def test_a_damaged_record_is_one_line(finished, content):
    (finished / RECORD).write_bytes(content)
    for look in (Table.read, status):
        with pytest.raises(ValueError, match=r"config\.json' .*was altered"):
            look(finished)


def test_what_is_no_run_folder_is_one_line(tmp_path, finished):
    assert status(tmp_path / "none") == "new"
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match=r"'.*other' holds no config\.json"):
        Table.read(other)
    (other / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path in (other, tmp_path / "file"):
        for look in (Table.read, status):
            with pytest.raises(ValueError, match=path.name):
                look(path)
    rewrite(finished, cells=None)
    with pytest.raises(ValueError, match="holds no run of a study"):
        status(finished)
