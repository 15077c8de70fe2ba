"""The tests' own cache: whose it is, and how large it gets."""

from __future__ import annotations

import os
import pathlib

import jax
import numpy as np
import pytest

from tests import compilation_cache


def test_the_longest_unused_go_first(tmp_path):
    for age, name in enumerate(("new", "middle", "old", "oldest")):
        path = tmp_path / name
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    compilation_cache.trim(tmp_path, 400)
    assert len(list(tmp_path.iterdir())) == 4
    compilation_cache.trim(tmp_path, 399)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle"}


def test_what_is_read_counts_as_used(tmp_path):
    for name, read in (("read", 2e9), ("written", 1e9)):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (read, 1e9 if name == "read" else 1.5e9))
    compilation_cache.trim(tmp_path, 150)
    assert [path.name for path in tmp_path.iterdir()] == ["read"]


def test_a_folder_that_others_can_write_is_not_ours(tmp_path):
    folder = tmp_path / "a" / "b"
    assert compilation_cache.is_ours(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    assert not compilation_cache.is_ours(folder)
    folder.chmod(0o700)
    (tmp_path / "link").symlink_to(folder)
    assert compilation_cache.is_ours(tmp_path / "link")
    folder.chmod(0o707)
    assert not compilation_cache.is_ours(tmp_path / "link")
    (tmp_path / "file").write_text("x")
    assert not compilation_cache.is_ours(tmp_path / "file")


@pytest.mark.parametrize("given", [True, False])
def test_it_lies_in_the_users_cache_folder(monkeypatch, tmp_path, given):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg") if given else "")
    root = tmp_path / ("xdg" if given else ".cache")
    assert compilation_cache.default_folder() == root / "robustjax" / "tests-xla"


def test_this_process_has_the_settings_that_its_children_inherit():
    found = {
        name: str(getattr(jax.config, name.lower()))
        for name in (
            "JAX_COMPILATION_CACHE_DIR",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
            "JAX_TRACEBACK_IN_LOCATIONS_LIMIT",
        )
    }
    wanted = {name: os.environ[name] for name in found}
    assert {k: float(v) if v[0].isdigit() else v for k, v in found.items()} == {
        k: float(v) if v[0].isdigit() else v for k, v in wanted.items()
    }


def test_programs_are_kept():
    folder = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    for path in folder.glob("jit_kept_by_a_test-*"):
        path.unlink(missing_ok=True)

    def kept_by_a_test(x):
        return x + 1

    jax.jit(kept_by_a_test).lower(np.ones(3)).compile()
    assert list(folder.glob("jit_kept_by_a_test-*"))
