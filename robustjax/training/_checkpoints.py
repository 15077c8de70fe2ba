"""Checkpoints that survive kill -9, and fall back when one is damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from robustjax.files import digest_of_record, is_system_entry
from robustjax.output_paths import check_output_folder

_log = logging.getLogger(__name__)
_STATE = "state"
_META = "meta.json"


class CheckpointError(RuntimeError):
    """No checkpoint of a folder could be read, although there are some."""


def _plain(tree: Any) -> Any:
    """PRNG keys as their data: what every checkpoint format can hold."""

    def leaf(x: Any) -> Any:
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(
            x.dtype, jax.dtypes.prng_key
        ):
            return jax.random.key_data(x)
        return x

    return jax.tree.map(leaf, tree)


def _to_write(tree: Any) -> Any:
    """What orbax is given: arrays on the host where this process holds all of them.

    Of copies on several devices it would have each write a slice: a program to compile
    per device and shape. What several processes hold together stays where it is, and
    each writes its part.
    """
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    if jax.process_count() > 1 or not all(a.is_fully_addressable for a in arrays):
        return tree
    return jax.device_get(tree)


def _file_digests(folder: pathlib.Path) -> dict[str, str]:
    """Relative name -> SHA-256 of every file under a folder."""
    return {
        path.relative_to(folder).as_posix(): _sha256_of(path)
        for path in sorted(p for p in folder.rglob("*") if p.is_file())
    }


def _sha256_of(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_content(folder: pathlib.Path, record: dict[str, Any]) -> None:
    """Raises `ValueError` unless all that was written is there as it was written.

    What else lies there, such as a file manager's notes, is not looked at.
    """
    if "files" not in record:
        _check_old_content(folder, record["digest"])
        return
    if digest_of_record(record) != record["digest"]:
        raise ValueError(f"{_META} does not match its digest")
    for name, digest in record["files"].items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"its file {name} is missing")
        if _sha256_of(path) != digest:
            raise ValueError(f"its file {name} does not match its digest")


def _check_old_content(folder: pathlib.Path, digest: str) -> None:
    """The same of a checkpoint from before the files were listed."""
    hasher = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if is_system_entry(path.name):
            continue
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix()
        hasher.update(f"{name} {len(content)};".encode())
        hasher.update(content)
    if hasher.hexdigest() != digest:
        raise ValueError("its content does not match its digest")


class CheckpointFolder:
    """The last few checkpoints of a run.

    A checkpoint is a pytree (by orbax, so that it can be restored onto another
    number of devices) and a small JSON record. It appears under its final name only
    when complete, carries digests of its files, and the one before it is kept: a
    process killed while writing, or a file damaged later, costs one step. Files that
    are added later, by a file manager say, do no harm.
    """

    def __init__(self, path: str | pathlib.Path, *, keep: int = 2):
        """Opens (or will create) a folder.

        Args:
          path: the folder.
          keep: how many checkpoints to keep.

        Raises:
          ValueError: a path that is not a folder or cannot be read.
        """
        self._path = pathlib.Path(path).absolute()
        self._keep = keep
        if self._path.exists() and not self._path.is_dir():
            raise ValueError(f"checkpoints: {str(path)!r} is not a folder")

    def check_writable(self) -> None:
        """Raises `ValueError` where `save` could not write; makes nothing."""
        check_output_folder("checkpoints", self._path)

    def steps(self) -> list[int]:
        """The steps that have a complete checkpoint, ascending."""
        if not self._path.exists():
            return []
        try:
            names = [entry.name for entry in self._path.iterdir() if entry.is_dir()]
        except OSError as error:
            raise ValueError(
                f"checkpoints: cannot read {str(self._path)!r}: {error.strerror}"
            ) from None
        # As `save` writes them: "07" and "²" are somebody else's.
        return sorted(int(n) for n in names if n.isdecimal() and str(int(n)) == n)

    def meta(self, step: int) -> dict[str, Any]:
        """The record beside a checkpoint; empty if it is missing or was altered."""
        try:
            record = json.loads((self._path / str(step) / _META).read_text())
            meta = (
                record["meta"] if digest_of_record(record) == record["digest"] else {}
            )
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return dict(meta)

    def save(self, step: int, tree: Any, meta: dict[str, Any] | None = None) -> None:
        """Writes a checkpoint and removes those that are too old.

        Args:
          step: number of the checkpoint; an existing one of that number is replaced.
          tree: pytree of arrays.
          meta: JSON-serialisable record to keep beside it.
        """
        tree = _plain(tree)
        final = self._path / str(step)
        partial = self._path / f"{step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(partial / _STATE, _to_write(tree))
            checkpointer.wait_until_finished()
        record = {"files": _file_digests(partial / _STATE), "meta": meta or {}}
        # As it will be read: JSON has no tuples, and only text as keys.
        record = json.loads(json.dumps(record))
        record["digest"] = digest_of_record(record)
        (partial / _META).write_text(json.dumps(record))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in self.steps()[: -self._keep]:
            shutil.rmtree(self._path / str(old), ignore_errors=True)

    def restore_latest(
        self, like: Any, *, report: Callable[[str], None] | None = None
    ) -> tuple[int, Any, dict[str, Any]] | None:
        """Reads the newest checkpoint that is intact.

        Args:
          like: pytree of arrays (or shapes with shardings) to restore into.
          report: called with a sentence about every damaged checkpoint; by default
            a warning in the log.

        Returns:
          (step, tree, meta), or None where there is no checkpoint at all.

        Raises:
          CheckpointError: checkpoints exist but none can be read.
        """
        report = report or _log.warning
        steps = self.steps()
        reasons = []
        for step in reversed(steps):
            try:
                tree, meta = self._restore(step, like)
            except Exception as error:  # Damage shows in many ways inside orbax.
                first_line = str(error).split("\n")[0]
                reasons.append(first_line)
                report(
                    f"checkpoint {self._path / str(step)} cannot be read "
                    f"({type(error).__name__}: {first_line}); falling back to the "
                    "previous one"
                )
                continue
            return step, tree, meta
        if steps:
            raise CheckpointError(
                f"checkpoints: none of {len(steps)} under {str(self._path)!r} can be "
                f"read (the newest: {reasons[0]}); move that folder away to start from "
                "the beginning"
            )
        return None

    def _restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        folder = self._path / str(step)
        record = json.loads((folder / _META).read_text())
        # Before orbax sees it: at damaged files it fails late, and leaves readers
        # behind that complain long after.
        _check_content(folder / _STATE, record)
        target = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=getattr(x, "sharding", None)
            ),
            _plain(like),
        )
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(folder / _STATE, target)
        return _with_keys(_as_free(tree, like), like), record["meta"]


def _as_free(tree: Any, like: Any) -> Any:
    """Frees arrays from their device where those of `like` are free.

    What orbax restores is committed to its device, and would refuse to meet arrays
    on several devices in one computation, although its original did so.
    """

    def leaf(x: Any, original: Any) -> Any:
        if isinstance(original, jax.Array) and not original.committed:
            return jax.device_put(np.asarray(x))
        return x

    return jax.tree.map(leaf, tree, _plain(like))


def _with_keys(tree: Any, like: Any) -> Any:
    """Turns key data back into PRNG keys where `like` has them."""

    def leaf(x: Any, original: Any) -> Any:
        if isinstance(original, jax.Array) and jax.dtypes.issubdtype(
            original.dtype, jax.dtypes.prng_key
        ):
            return jax.random.wrap_key_data(x, impl=jax.random.key_impl(original))
        return x

    return jax.tree.map(leaf, tree, like)
