"""A folder of photographs from Debian's packages, of which a test makes its own."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

from experiments import debian_photographs
from robustjax.training import StopRequest

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"
)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """An `apt-get` that knows one package with two photographs in it."""
    tree = tmp_path / "tree"
    for name in ("share/dune.jpg", "share/Path/contents/images/2560x1600.jpg"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode())
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: walls\nVersion: 1\nArchitecture: all\n"
        "Maintainer: nobody <n@example.com>\nDescription: walls\n"
    )
    archive = tmp_path / "walls_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", tree, archive], check=True, capture_output=True)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    apt = binaries / "apt-get"
    apt.write_text(
        f'#!/bin/sh\n[ "$2" = walls ] && exec cp {archive} .\n'
        'echo "E: Unable to locate package $2" >&2\nexit 100\n'
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")


def fetch(monkeypatch, out: pathlib.Path, photographs: dict[str, list[str]]) -> None:
    config = debian_photographs.PhotographConfig(str(out))
    monkeypatch.setattr(debian_photographs, "read_config", lambda _: config)
    monkeypatch.setattr(debian_photographs, "PHOTOGRAPHS", photographs)
    debian_photographs.main(StopRequest())


def test_files_are_taken_out_under_names_of_their_own(tmp_path, packages, monkeypatch):
    names = ["share/dune.jpg", "share/Path/contents/images/2560x1600.jpg"]
    fetch(monkeypatch, tmp_path / "out", {"walls": names})
    found = {f.name: f.read_text() for f in (tmp_path / "out").iterdir()}
    assert found == {"dune.jpg": names[0], "Path.jpg": names[1]}
    with pytest.raises(ValueError, match="out: .*is there, expected a new folder"):
        fetch(monkeypatch, tmp_path / "out", {"walls": names})


@pytest.mark.parametrize(
    ("photographs", "message"),
    [
        ({"wals": ["a.jpg"]}, "out: apt-get download wals: E: Unable to locate pack"),
        ({"walls": ["share/a.jpg"]}, "out: walls_1_all.deb has no share/a.jpg"),
    ],
)
def test_what_cannot_be_had_is_a_line_and_no_folder(
    tmp_path, packages, monkeypatch, photographs, message
):
    with pytest.raises(ValueError, match=message):
        fetch(monkeypatch, tmp_path / "out", photographs)
    assert not (tmp_path / "out").exists()


def test_no_two_photographs_have_one_name():
    names = [
        pathlib.PurePosixPath(name).parts[-4] if name.endswith("00.jpg") else name
        for each in debian_photographs.PHOTOGRAPHS.values()
        for name in each
    ]
    assert len(names) == len(set(names)) == 28
