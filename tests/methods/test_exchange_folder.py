"""Folders of exchanges as they are found: begun, foreign, damaged or in the way."""

from __future__ import annotations

import pytest

from robustjax.methods._exchange_folder import (
    check_folder,
    claim_folder,
    file_away,
)

PURPOSE = {"data": "abc", "batch": 3, "sizes": (1, 2)}


def test_checking_makes_nothing_and_claiming_does(tmp_path):
    folder = tmp_path / "a" / "b"
    assert not check_folder(folder, PURPOSE)
    assert not (tmp_path / "a").exists()
    claim_folder(folder, PURPOSE)
    assert check_folder(folder, PURPOSE)
    assert (folder / "answers").is_dir()
    claim_folder(folder, PURPOSE)
    said = "folder: .* was begun with other batch: it was 3, is 4; use the same"
    with pytest.raises(ValueError, match=said):
        check_folder(folder, {**PURPOSE, "batch": 4})
    with pytest.raises(ValueError, match="begun with other data; use the same"):
        check_folder(folder, {**PURPOSE, "data": "abd"})


def test_the_setting_that_differs_is_named_alone(tmp_path):
    begun = {"settings": {"epochs": 20, "hidden": [8, 8], "rate": 0.1}}
    claim_folder(tmp_path, begun)
    for changes, said in (
        ({"rate": 0.01}, "other settings: rate was 0.1, is 0.01; use the same"),
        ({"hidden": (8, 4)}, "other settings: hidden was 8,8, is 8,4; use the same"),
        ({"dtype": "x" * 99}, f"settings: dtype was None, is {'x' * 58} …; use"),
    ):
        with pytest.raises(ValueError, match=said):
            check_folder(tmp_path, {"settings": begun["settings"] | changes})


def test_foreign_files_do_no_harm(tmp_path):
    for name in (".DS_Store", "Thumbs.db", "notes.txt", ".~lock.labeled.csv#"):
        (tmp_path / name).write_bytes(b"\xff")
    claim_folder(tmp_path, PURPOSE)
    (tmp_path / "answers" / ".DS_Store").write_bytes(b"\xff")
    assert check_folder(tmp_path, PURPOSE)


def test_answers_are_filed_away_by_content(tmp_path):
    folder = tmp_path / "exchange"
    claim_folder(folder, PURPOSE)
    (tmp_path / "mine.csv").write_text("id,new_label\n")
    (folder / "labeled.csv").symlink_to("../mine.csv")
    file_away(folder, "answers/round_0002.csv", folder / "labeled.csv")
    filed = folder / "answers" / "round_0002.csv"
    assert filed.read_text() == "id,new_label\n"
    assert not filed.is_symlink()
    assert not (folder / "labeled.csv").is_symlink()
    assert (tmp_path / "mine.csv").exists()
    file_away(folder, "answers/round_0002.csv", filed)
    assert filed.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe"])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "exchange.json").write_bytes(content)
    with pytest.raises(ValueError, match="folder: '.*exchange.json' cannot be read"):
        claim_folder(tmp_path, PURPOSE)
    assert (tmp_path / "exchange.json").read_bytes() == content


@pytest.mark.parametrize("name", ["to_label.csv", "labels.csv"])
def test_folders_in_the_way_of_files(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"folder: '.*{name}' is a folder, expected"):
        claim_folder(tmp_path, PURPOSE)


def test_files_in_the_way_of_folders(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            ValueError, match="folder: cannot use '.*': .* is not a folder"
        ):
            claim_folder(folder, PURPOSE)
    (tmp_path / "answers").write_text("x")
    with pytest.raises(
        ValueError, match="folder: cannot use '.*answers': it is not a folder"
    ):
        claim_folder(tmp_path, PURPOSE)
