"""Checkpoints that survive kill -9, and fall back when one is damaged."""

from __future__ import annotations

import hashlib
import json
import logging
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from robustjax.files import digest_of_record, is_system_entry
from robustjax.output_paths import check_output_folder
from robustjax.training._processes import from_first_process, on_host, placed_like

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


def _checkpointer() -> ocp.StandardCheckpointer:
    """One that writes and reads in the first process, and waits for no other."""
    alone = ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="first"
    )
    several = jax.process_count() > 1
    return ocp.StandardCheckpointer(
        **({"multiprocessing_options": alone} if several else {})
    )


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
        from_first_process(lambda: check_output_folder("checkpoints", self._path))

    def steps(self) -> list[int]:
        """The steps that have a complete checkpoint, ascending."""
        return from_first_process(self._steps)

    def _steps(self) -> list[int]:
        if not self._path.exists():
            return []
        try:
            names = [entry.name for entry in self._path.iterdir() if entry.is_dir()]
        except OSError as error:
            raise ValueError(
                f"checkpoints: cannot read {str(self._path)!r}: {error.strerror}"
            ) from None
        # As `save` writes them: "07" and "²" are somebody else's.
        steps = [int(n) for n in names if n.isdecimal() and str(int(n)) == n]
        return sorted(step for step in steps if self._counts(self._meta(step)))

    def _counts(self, meta: Mapping[str, Any]) -> bool:
        """Whether a checkpoint with this record may be used; asked of process 0."""
        del meta
        return True

    def _meta(self, step: int) -> dict[str, Any]:
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

        Of several processes, the first writes what all of them hold; all must come
        here.

        Args:
          step: number of the checkpoint; an existing one of that number is replaced.
          tree: pytree of arrays.
          meta: JSON-serialisable record to keep beside it.
        """
        # On the host: of copies on several devices orbax would have each write a
        # slice, a program to compile per device and shape.
        tree = on_host(_plain(tree))
        if jax.process_index():
            return
        final = self._path / str(step)
        partial = self._path / f"{step}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        with _checkpointer() as checkpointer:
            checkpointer.save(partial / _STATE, tree)
            checkpointer.wait_until_finished()
        record = {"files": _file_digests(partial / _STATE), "meta": meta or {}}
        # As it will be read: JSON has no tuples, and only text as keys.
        record = json.loads(json.dumps(record))
        record["digest"] = digest_of_record(record)
        (partial / _META).write_text(json.dumps(record))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(self._path / str(old), ignore_errors=True)

    def restore_latest(
        self, like: Any, *, report: Callable[[str], None] | None = None
    ) -> tuple[int, Any, dict[str, Any]] | None:
        """Reads the newest checkpoint that is intact.

        Of several processes, the first reads for all; all must come here.

        Args:
          like: pytree of arrays (or shapes with shardings) to restore into.
          report: called with a sentence about every damaged checkpoint; by default
            a warning in the log.

        Returns:
          (step, tree, meta), or None where there is no checkpoint at all.

        Raises:
          CheckpointError: checkpoints exist but none can be read.
        """
        plain, form = jax.tree.flatten(_plain(like))
        found = from_first_process(
            lambda: self._read_latest(plain, form, report or _log.warning)
        )
        if found is None:
            return None
        step, leaves, meta = found
        tree = jax.tree.unflatten(form, map(placed_like, leaves, plain))
        return step, _with_keys(tree, like), meta

    def _read_latest(
        self, plain: list[Any], form: Any, report: Callable[[str], None]
    ) -> tuple[int, list[np.ndarray], dict[str, Any]] | None:
        steps = self._steps()
        reasons = []
        for step in reversed(steps):
            try:
                leaves, meta = self._read(step, plain, form)
            except Exception as error:  # Damage shows in many ways inside orbax.
                first_line = str(error).split("\n")[0]
                reasons.append(first_line)
                report(
                    f"checkpoint {self._path / str(step)} cannot be read "
                    f"({type(error).__name__}: {first_line}); falling back to the "
                    "previous one"
                )
                continue
            return step, leaves, meta
        if steps:
            raise CheckpointError(
                f"checkpoints: none of {len(steps)} under {str(self._path)!r} can be "
                f"read (the newest: {reasons[0]}); move that folder away to start from "
                "the beginning"
            )
        return None

    def _read(
        self, step: int, plain: list[Any], form: Any
    ) -> tuple[list[np.ndarray], dict[str, Any]]:
        folder = self._path / str(step)
        record = json.loads((folder / _META).read_text())
        # Before orbax sees it: at damaged files it fails late, and leaves readers
        # behind that complain long after.
        _check_content(folder / _STATE, record)
        target = [np.empty(x.shape, x.dtype) for x in plain]
        with _checkpointer() as checkpointer:
            tree = checkpointer.restore(
                folder / _STATE, jax.tree.unflatten(form, target)
            )
        return jax.tree.leaves(tree), record["meta"]


def _with_keys(tree: Any, like: Any) -> Any:
    """Turns key data back into PRNG keys where `like` has them."""

    def leaf(x: Any, original: Any) -> Any:
        if isinstance(original, jax.Array) and jax.dtypes.issubdtype(
            original.dtype, jax.dtypes.prng_key
        ):
            return jax.random.wrap_key_data(x, impl=jax.random.key_impl(original))
        return x

    return jax.tree.map(leaf, tree, like)
