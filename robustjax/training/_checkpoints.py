"""Checkpoints that survive kill -9, and fall back when one is damaged."""

from __future__ import annotations

import json
import logging
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax

from robustjax.files import digest_of_record
from robustjax.output_paths import check_output_folder
from robustjax.training import _checkpoint_files as files
from robustjax.training._checkpoint_files import is_divided
from robustjax.training._elastic import ExampleRows
from robustjax.training._processes import (
    from_every_process,
    from_first_process,
    on_host,
    placed_like,
)
from robustjax.training._shared_folder import processes_apart

_log = logging.getLogger(__name__)
_STATE = "state"
_Problem = tuple[str, str] | None


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
        self._shared: bool | None = None
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
            record = json.loads((self._path / str(step) / files.META).read_text())
            meta = (
                record["meta"] if digest_of_record(record) == record["digest"] else {}
            )
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return dict(meta)

    def save(self, step: int, tree: Any, meta: dict[str, Any] | None = None) -> None:
        """Writes a checkpoint and removes those that are too old.

        All processes must come here. Where arrays are divided among them and all see
        the folder, each writes its own part; else the first one writes what the others
        send it. Which it is goes to the log.

        Args:
          step: number of the checkpoint; an existing one of that number is replaced.
          tree: pytree of arrays.
          meta: JSON-serialisable record to keep beside it.
        """
        plain = _plain(tree)
        divided = any(map(is_divided, jax.tree.leaves(plain)))
        together = divided and self._is_shared()
        own = jax.tree.map(_own_part if together else _whole, plain)
        final = self._path / str(step)
        partial = self._path / f"{step}.partial"
        first = jax.process_index() == 0
        from_first_process(lambda: _begin(partial))
        from_every_process(
            lambda: files.write(partial / _STATE, own) if together or first else None
        )
        names = from_first_process(lambda: files.finish(partial / _STATE))
        # Who has written a file has it in memory still.
        mine = [n for n in names if files.written_by(n) == jax.process_index()]
        digests = from_every_process(lambda: files.digests(partial / _STATE, mine))
        record = {
            "files": {
                name: digest for part in digests for name, digest in part.items()
            },
            "rows": files.shapes_of_rows(plain),
            "meta": meta or {},
        }
        from_first_process(lambda: self._commit(partial, final, record))

    def _commit(
        self, partial: pathlib.Path, final: pathlib.Path, record: dict[str, Any]
    ) -> None:
        # As it will be read: JSON has no tuples, and only text as keys.
        record = json.loads(json.dumps(record))
        record["digest"] = digest_of_record(record)
        (partial / files.META).write_text(json.dumps(record))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(self._path / str(old), ignore_errors=True)

    def _is_shared(self) -> bool:
        """Whether all processes write to the same folder; found out once."""
        if self._shared is None:
            apart = processes_apart(self._path)
            self._shared = not apart
            if apart:
                self._tell(
                    "checkpoints: process 0 writes all, which the others send it, for "
                    f"process {apart[0]} does not share its folder",
                    logging.WARNING,
                )
            else:
                self._tell(
                    f"checkpoints: each of {jax.process_count()} processes writes its "
                    "own part, for all share the folder"
                )
        return self._shared

    def _is_read_by_all(self, folder: pathlib.Path, record: dict[str, Any]) -> bool:
        """Whether all processes see that checkpoint of the first one."""
        seen = from_every_process(lambda: _sees(folder, record))
        if "rows" not in record:
            reason = "it is from before there were shapes of rows in it"
        elif not all(seen):
            reason = f"process {seen.index(False)} does not see it"
        else:
            return True
        self._tell(
            "checkpoints: process 0 reads all, and sends it to the others, for "
            f"{reason}",
            logging.WARNING,
        )
        return False

    def _tell(self, sentence: str, level: int = logging.INFO) -> None:
        """Says how several processes share the work; all of them come here."""
        if jax.process_index() == 0:
            _log.log(level, sentence)

    def restore_latest(
        self, like: Any, *, report: Callable[[str], None] | None = None
    ) -> tuple[int, Any, dict[str, Any]] | None:
        """Reads the newest checkpoint that is intact.

        All processes must come here. Where arrays are divided among them and all see
        the checkpoint, each reads its own part; else the first one reads for all.

        Args:
          like: pytree of arrays (or shapes with shardings) to restore into.
          report: called by the first process with a sentence about every damaged
            checkpoint; by default a warning in the log.

        Returns:
          (step, tree, meta), or None where there is no checkpoint at all.

        Raises:
          CheckpointError: checkpoints exist but none can be read.
        """
        plain = _plain(like)
        steps = self.steps()
        reasons = []
        for step in reversed(steps):
            found, meta, problem = self._read(step, plain)
            if problem is None:
                return step, _with_keys(found, like), meta
            kind, reason = problem
            reasons.append(reason)
            if jax.process_index() == 0:
                (report or _log.warning)(
                    f"checkpoint {self._path / str(step)} cannot be read "
                    f"({kind}: {reason}); falling back to the previous one"
                )
        if steps:
            raise CheckpointError(
                f"checkpoints: none of {len(steps)} under {str(self._path)!r} can be "
                f"read (the newest: {reasons[0]}); move that folder away to start from "
                "the beginning"
            )
        return None

    def _read(self, step: int, plain: Any) -> tuple[Any, dict[str, Any], _Problem]:
        """(tree, meta, what is wrong with it), the same in all processes."""
        folder = self._path / str(step)
        record, problem = from_first_process(lambda: _attempt(lambda: _record(folder)))
        if problem is not None:
            return None, {}, problem
        divided = any(map(is_divided, jax.tree.leaves(plain)))
        together = divided and self._is_read_by_all(folder, record)
        index, count = jax.process_index(), jax.process_count()
        part = (index, count) if together else (0, 1)
        tree: Any = None

        def read() -> None:
            nonlocal tree
            tree = files.read(folder / _STATE, record, plain, divided=together)

        # The files first: where they are damaged orbax fails late, and leaves readers
        # behind that complain long after.
        for work in (lambda: files.check(folder / _STATE, record, *part), read):
            problem = _first_problem(work, by_all=together)
            if problem is not None:
                return None, {}, problem
        if not together:
            leaves = from_first_process(lambda: jax.tree.leaves(tree))
            tree = jax.tree.unflatten(jax.tree.structure(plain), leaves)
        return jax.tree.map(_placed, tree, plain), record["meta"], None


def _first_problem(work: Callable[[], None], *, by_all: bool) -> _Problem:
    """What goes wrong where it is done: in all processes, or in the first alone."""
    does = by_all or jax.process_index() == 0
    found = from_every_process(lambda: _attempt(work)[1] if does else None)
    return next((each for each in found if each is not None), None)


def _record(folder: pathlib.Path) -> dict[str, Any]:
    record = dict(json.loads((folder / files.META).read_text()))
    return {**record, "meta": dict(record["meta"])}


def _begin(partial: pathlib.Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    (partial / _STATE).mkdir(parents=True)


def _sees(folder: pathlib.Path, record: dict[str, Any]) -> bool:
    """Whether this process sees that checkpoint of the first one."""
    try:
        return _record(folder) == record
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _attempt(make: Callable[[], Any]) -> tuple[Any, _Problem]:
    """What is made, or (kind, first line) of the error instead."""
    try:
        return make(), None
    except Exception as error:  # Damage shows in many ways inside orbax.
        return None, (type(error).__name__, str(error).split("\n")[0])


def _own_part(leaf: Any) -> Any:
    if not is_divided(leaf):
        return _whole(leaf)
    return leaf.array if isinstance(leaf, ExampleRows) else leaf


def _whole(leaf: Any) -> Any:
    # On the host: of copies on several devices orbax would have each write a slice, a
    # program to compile per device and shape.
    return leaf.whole() if isinstance(leaf, ExampleRows) else on_host(leaf)


def _placed(found: Any, like: Any) -> Any:
    divided = isinstance(found, jax.Array)
    if isinstance(like, ExampleRows):
        return like.filled_in_place(found) if divided else like.filled(found)
    return found if divided else placed_like(found, like)


def _with_keys(tree: Any, like: Any) -> Any:
    """Turns key data back into PRNG keys where `like` has them."""

    def leaf(x: Any, original: Any) -> Any:
        if isinstance(original, jax.Array) and jax.dtypes.issubdtype(
            original.dtype, jax.dtypes.prng_key
        ):
            return jax.random.wrap_key_data(x, impl=jax.random.key_impl(original))
        return x

    return jax.tree.map(leaf, tree, like)
