"""Whether what will be written can be written, asked before the work begins.

Every error names the argument, the path and what is in the way.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping

from robustjax.files import partial_path

Path = str | os.PathLike[str]
"""What functions take as a path."""


def check_output_file(
    name: str, path: Path, *, inputs: Mapping[str, Path | None] | None = None
) -> None:
    """Raises unless a file can be written where `atomic_file` will write it.

    A file that is there already will be replaced. A symbolic link stands for the file
    that it points to. Nothing is left behind.

    Args:
      name: what to call the path in an error.
      path: of the file.
      inputs: paths, by argument, that the file must not overwrite: what is read, and
        other outputs. None, and what is no path, do no harm.

    Raises:
      ValueError: a folder, a device or a write-protected file of that name; a missing
        or read-only parent folder; a broken ring of links; one of `inputs`.
    """
    text = _check_text(name, path)
    with _errors_name(name, text):
        _check_file(name, text, inputs or {})


def _check_file(name: str, text: str, inputs: Mapping[str, Path | None]) -> None:
    target = _resolve(name, text)
    shown = _shown(text, target)
    if target.is_dir() or text.endswith(os.sep):
        raise ValueError(f"{name}: {shown} is a folder, expected a file to write")
    if target.exists():
        if not target.is_file():
            raise ValueError(f"{name}: {shown} is no ordinary file, and stays as it is")
        if not os.access(target, os.W_OK):
            raise ValueError(f"{name}: {shown} is write-protected")
    for other, given in inputs.items():
        if given is not None and _same_file(given, target):
            raise ValueError(
                f"{name}: {shown} is also {other}, which would be overwritten; "
                "choose another file"
            )
    if not target.parent.is_dir():
        raise ValueError(f"{name}: the folder of {shown} does not exist")
    _probe(target)


def check_output_folder(name: str, path: Path) -> None:
    """Raises unless a folder can be made, or written to where it is there already.

    Nothing is made, and nothing is left behind.

    Args:
      name: what to call the path in an error.
      path: of the folder; the folders above it may be missing, too.

    Raises:
      ValueError: something else than a folder of that name or above it, or a folder
        that cannot be written to.
    """
    text = _check_text(name, path)
    with _errors_name(name, text):
        _check_folder(name, text)


def _check_folder(name: str, text: str) -> None:
    target = _resolve(name, text)
    shown = _shown(text, target)
    nearest = target
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        what = "it" if nearest == target else repr(str(nearest))
        raise ValueError(f"{name}: cannot use {shown}: {what} is not a folder")
    # The longest of the missing names must be one that the file system takes.
    below = target.relative_to(nearest).parts
    _probe(nearest / (max(below, key=len) if below else "probe"))


def _check_text(name: str, path: Path) -> str:
    text = os.fspath(path)
    if not text:
        raise ValueError(f"{name}: got an empty path")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name}: {text!r} is not UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{name}: {text!r} holds a zero byte")
    return text


def _resolve(name: str, text: str) -> pathlib.Path:
    """The path behind all links."""
    target = pathlib.Path(os.path.realpath(text))
    # What is left of a ring of links after all that could be followed.
    if target.is_symlink():
        raise ValueError(f"{name}: {text!r} is a symbolic link in a ring of links")
    return target


def _shown(text: str, target: pathlib.Path) -> str:
    if pathlib.Path(text).is_symlink():
        return f"{text!r} (a symbolic link to {str(target)!r})"
    return repr(text)


def _same_file(one: Path, other: pathlib.Path) -> bool:
    try:
        return os.path.realpath(one) == str(other) or os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _probe(path: pathlib.Path) -> None:
    """Writes and removes an empty file beside `path`, for permissions can lie."""
    probe = partial_path(path)
    probe.touch(exist_ok=False)
    probe.unlink()


@contextlib.contextmanager
def _errors_name(name: str, text: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{name}: cannot write {text!r}: {error.strerror}") from None
