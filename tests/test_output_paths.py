"""Whether something can be written is known before the work begins."""

from __future__ import annotations

import os

import pytest

from robustjax.files import atomic_file, is_system_entry, write_atomically
from robustjax.output_paths import check_output_file, check_output_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path):
    """A folder, a file, links to them, to nothing and to each other."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    for name, target in (
        ("to_folder", "folder"),
        ("to_file", "file"),
        ("to_new", "folder/new"),
        ("to_nowhere", "absent/new"),
        ("ring", "gnir"),
        ("gnir", "ring"),
    ):
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize("name", ["new", "file", "to_file", "to_new", "folder/new"])
def test_what_can_be_written_passes_and_leaves_nothing(place, name):
    before = names(place)
    check_output_file("out", place / name)
    assert names(place) == before
    assert names(place / "folder") == []
    write_atomically(place / name, "text")
    assert (place / name).read_text() == "text"
    # A link stays one: the file that it points to is written.
    assert (place / name).is_symlink() == name.startswith("to_")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", r"out: '.*/folder' is a folder, expected a file"),
        ("new/", r"out: '.*/new/' is a folder"),
        (
            "to_folder",
            r"out: '.*to_folder' \(a symbolic link to '.*/folder'\) is a fold",
        ),
        (
            "to_nowhere",
            r"out: the folder of '.*to_nowhere' \(a symbolic link to '.*new'",
        ),
        ("ring", r"out: '.*ring' is a symbolic link in a ring"),
        ("pipe", r"out: '.*pipe' is no ordinary file"),
        ("absent/new", r"out: the folder of '.*absent/new' does not exist"),
        ("file/new", r"out: the folder of '.*file/new' does not exist"),
        ("x" * 250, r"out: cannot write '.*': File name too long"),
        ("\udce9", r"out: '.*udce9' is not UTF-8"),
        ("a\0b", r"out: '.*' holds a zero byte"),
    ],
)
def test_files_that_cannot_be_written(place, name, message):
    before = names(place)
    path = f"{place}/{name}"
    with pytest.raises(ValueError, match=message) as error:
        check_output_file("out", path)
    assert "\n" not in str(error.value)
    assert names(place) == before


def test_devices_and_empty_paths():
    with pytest.raises(ValueError, match="'/dev/null' is no ordinary file"):
        check_output_file("out", "/dev/null")
    for check in (check_output_file, check_output_folder):
        with pytest.raises(ValueError, match="out: got an empty path"):
            check("out", "")


def test_permissions(place, monkeypatch):
    # Tests may run as somebody whom permissions do not stop.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ValueError, match="out: '.*file' is write-protected"):
        check_output_file("out", place / "file")
    monkeypatch.undo()
    if os.path.isdir("/proc/self/fd"):
        for check in (check_output_file, check_output_folder):
            with pytest.raises(ValueError, match="out: cannot write '/proc/new': "):
                check("out", "/proc/new")


def test_inputs_and_other_outputs_are_not_overwritten(place):
    os.link(place / "file", place / "same")
    for path in ("file", "to_file", "same", "folder/../file"):
        with pytest.raises(ValueError, match="out: .* is also labels, which would be"):
            check_output_file("out", place / path, inputs={"labels": place / "file"})
    # What is not there yet is the same by its path alone.
    with pytest.raises(ValueError, match="save: .* is also out"):
        check_output_file("save", place / "new", inputs={"out": f"{place}/./new"})
    check_output_file(
        "out", place / "new", inputs={"a": None, "b": "mnist", "c": place / "file"}
    )


@pytest.mark.parametrize("name", ["folder", "to_folder", "new", "a/b/c", "to_nowhere"])
def test_folders_that_can_be_made_are_not_made(place, name):
    before = names(place)
    check_output_folder("folder", place / name)
    assert names(place) == before
    assert names(place / "folder") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file", r"folder: cannot use '.*file': it is not a folder"),
        (
            "to_file",
            r"folder: cannot use '.*to_file' \(a symbolic link to '.*file'\): it",
        ),
        ("file/a/b", r"folder: cannot use '.*file/a/b': '.*file' is not a folder"),
        ("ring", "folder: '.*ring' is a symbolic link in a ring"),
        (f"a/{'x' * 300}/b", "folder: cannot write '.*': File name too long"),
    ],
)
def test_folders_that_cannot_be_made(place, name, message):
    with pytest.raises(ValueError, match=message):
        check_output_folder("folder", place / name)


def test_an_error_while_writing_keeps_the_old_file(place):
    before = names(place)

    def fail():
        with atomic_file(place / "to_file") as file:
            file.write(b"half")
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert (place / "file").read_text() == "old"
    assert names(place) == before


def test_entries_of_systems_and_of_people():
    for name in (".DS_Store", "Thumbs.db", "THUMBS.DB", "._a.png", "__MACOSX", "~$a"):
        assert is_system_entry(name)
    for name in ("a.png", "_a", ".hidden", "DS_Store", "thumbs", "~a", "MACOSX"):
        assert not is_system_entry(name)
