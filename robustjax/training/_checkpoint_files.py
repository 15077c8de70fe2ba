"""One checkpoint's files: written by orbax, listed with digests, checked, read."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from robustjax.files import digest_of_record, is_system_entry
from robustjax.training._elastic import ExampleRows

META = "meta.json"


def is_divided(leaf: Any) -> bool:
    """Whether no process holds all of a leaf: an array, or its shape with a sharding.

    Such a leaf is the same kind in every process.
    """
    if isinstance(leaf, ExampleRows):
        leaf = leaf.array
    sharding = getattr(leaf, "sharding", None)
    if sharding is None or sharding.is_fully_addressable:
        return False
    return not sharding.is_fully_replicated


def write(folder: pathlib.Path, tree: Any) -> None:
    """Writes what this process owns of a tree into a new folder, which all may share.

    Of NumPy arrays and numbers that is all for the first process, and nothing for the
    others; of arrays on devices it is what lies on this process' devices.

    Args:
      folder: is there already.
      tree: of NumPy arrays and of arrays that are divided among processes.
    """
    # Without orbax's checkpointers: these wait for all processes at barriers of their
    # own, where nobody hears that another one has failed or is gone.
    ocp.PyTreeCheckpointHandler().save(
        epath.Path(folder), args=ocp.args.PyTreeSave(tree)
    )


def finish(folder: pathlib.Path) -> list[str]:
    """Joins what all have written, by one process; gives the names of all files."""
    ocp.PyTreeCheckpointHandler().finalize(epath.Path(folder))
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def written_by(name: str) -> int:
    """The process that wrote a file of such a folder."""
    top = name.partition("/")[0]
    number = top.removeprefix("ocdbt.process_")
    return int(number) if number != top and number.isdecimal() else 0


def digests(folder: pathlib.Path, names: Iterable[str]) -> dict[str, str]:
    """Relative name -> SHA-256."""
    return {name: _sha256_of(folder / name) for name in names}


def _sha256_of(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(
    folder: pathlib.Path, record: Mapping[str, Any], part: int = 0, parts: int = 1
) -> None:
    """Raises `ValueError` unless all that was written is there as it was written.

    What else lies there, such as a file manager's notes, is not looked at.

    Args:
      folder: of the checkpoint's arrays.
      record: what lies beside it.
      part: which of so many parts of the files to read.
      parts: into which they are divided.
    """
    if "files" not in record:
        _check_old(folder, record["digest"])
        return
    if digest_of_record(record) != record["digest"]:
        raise ValueError(f"{META} does not match its digest")
    for name in sorted(record["files"])[part::parts]:
        path = folder / name
        if not path.is_file():
            raise ValueError(f"its file {name} is missing")
        if _sha256_of(path) != record["files"][name]:
            raise ValueError(f"its file {name} does not match its digest")


def _check_old(folder: pathlib.Path, digest: str) -> None:
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


def shapes_of_rows(tree: Any) -> dict[str, list[int]]:
    """Where in a tree there are rows of examples -> their shape without padding."""
    return {
        jax.tree_util.keystr(path): list(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if isinstance(leaf, ExampleRows)
    }


def read(
    folder: pathlib.Path, record: Mapping[str, Any], like: Any, *, divided: bool
) -> Any:
    """Reads a checkpoint's tree; of rows of examples no padding counts.

    Args:
      folder: of the checkpoint's arrays.
      record: what lies beside it.
      like: the tree to read into.
      divided: whether leaves that are divided among processes are read so, each
        process its own part; then they are arrays on the devices, and rows of examples
        have the padding that they are like, of any content. All else is NumPy's.

    Raises:
      ValueError: rows of examples, or other arrays, of another shape.
    """
    known: dict[str, list[int]] | None = record.get("rows")
    if known is not None:
        for name, shape in shapes_of_rows(like).items():
            if known.get(name) != shape:
                raise ValueError(
                    f"its rows {name} have shape {known.get(name)}, expected {shape}"
                )
    leaves, form = jax.tree.flatten(like)
    restored = ocp.PyTreeCheckpointHandler().restore(
        epath.Path(folder),
        args=ocp.args.PyTreeRestore(
            jax.tree.unflatten(form, [0] * len(leaves)),
            restore_args=jax.tree.unflatten(
                form, [_how(leaf, divided=divided) for leaf in leaves]
            ),
        ),
    )
    found: Sequence[Any] = jax.tree.leaves(restored)
    _check_shapes(found, like)
    return jax.tree.unflatten(
        form,
        [
            _without_padding(one, leaf, padded=known is not None)
            if isinstance(leaf, ExampleRows) and isinstance(one, np.ndarray)
            else one
            for one, leaf in zip(found, leaves)
        ],
    )


def _check_shapes(found: Sequence[Any], like: Any) -> None:
    """A network of other widths, or other repeats, would go on in this one's place."""
    for one, (path, leaf) in zip(found, jax.tree_util.tree_leaves_with_path(like)):
        if not isinstance(leaf, ExampleRows) and one.shape != leaf.shape:
            raise ValueError(
                f"its {jax.tree_util.keystr(path)} has shape {one.shape}, expected "
                f"{leaf.shape}"
            )


def _how(leaf: Any, *, divided: bool) -> ocp.RestoreArgs:
    rows = isinstance(leaf, ExampleRows)
    array = leaf.array if rows else leaf
    if not (divided and is_divided(array)):
        return ocp.RestoreArgs(restore_type=np.ndarray, dtype=array.dtype)
    return ocp.ArrayRestoreArgs(
        sharding=array.sharding,
        global_shape=array.shape,
        dtype=array.dtype,
        # Rows were saved with another padding, or without any.
        strict=not rows,
    )


def _without_padding(
    found: np.ndarray, like: ExampleRows, *, padded: bool
) -> np.ndarray:
    repeats, count, *rest = found.shape
    _, examples, *_ = like.shape
    fits = count >= examples if padded else count == examples
    if not fits or [repeats, examples, *rest] != list(like.shape):
        raise ValueError(f"its rows have shape {found.shape}, expected {like.shape}")
    return found[:, :examples]
