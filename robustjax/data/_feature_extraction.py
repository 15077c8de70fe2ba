"""Features of a whole data set: batched, cached on disk, and resumable."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from robustjax import arrays, checks
from robustjax.data._dataset import Dataset
from robustjax.files import digest_of, write_atomically

_log = logging.getLogger(__name__)
_FORMAT = 1
_DIGEST_BYTES = hashlib.sha256().digest_size


FeatureFunction = Callable[[np.ndarray], Any]


def extract_features(
    dataset: Dataset,
    feature_function: FeatureFunction,
    *,
    cache_dir: str | os.PathLike[str],
    fingerprint: str,
    batch_size: int = 64,
    block_size: int = 1024,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> Dataset:
    """Replaces the inputs of a data set by their features.

    Blocks of rows are kept under `cache_dir`, in a folder named after the inputs'
    content, `fingerprint` and `block_size`, so that an extraction that was killed
    goes on after its last block and a finished one is read back without a call of
    `feature_function`. The features are the same, bit for bit, with or without an
    interruption. Another `batch_size` finds the same blocks: it should change
    features by rounding only.

    Every block carries its SHA-256. One that is damaged is computed again.

    Args:
      dataset: of N examples.
      feature_function: maps a batch of inputs, always of shape (batch_size, ...), to
        (batch_size, D) finite numbers, every row by itself; so it is compiled once if
        it is jitted. The last batch of a block is filled up with its last row.
      cache_dir: the folder of all caches; it is created.
      fingerprint: names the function; to be changed with whatever changes features.
      batch_size: rows per call.
      block_size: rows per file; at most that much is lost with a kill.
      progress: called with (rows done, N) at the start, after every block read back
        and after every batch.
      report: called with a sentence about every damaged block; by default a warning
        in the log.

    Returns:
      The data set with (N, D) float32 inputs; all else is kept.

    Raises:
      ValueError: an empty data set or fingerprint, sizes below one, a folder that
        cannot be written, or features of a wrong shape or not finite.
    """
    checks.at_least("dataset", len(dataset), 1)
    checks.at_least("batch_size", batch_size, 1)
    checks.at_least("block_size", block_size, 1)
    if not fingerprint:
        raise ValueError("fingerprint: got none, expected a name of the function")
    report = report or _log.warning
    progress = progress or (lambda done, total: None)
    folder = _open_folder(dataset, pathlib.Path(cache_dir), fingerprint, block_size)
    total = len(dataset)
    features: np.ndarray | None = None
    progress(0, total)
    for number, start in enumerate(range(0, total, block_size)):
        inputs = dataset.inputs[start : start + block_size]
        path = folder / f"{number:05d}.npy"
        width = None if features is None else features.shape[1]
        block = _read_block(path, len(inputs), width, report)
        if block is None:
            parts = []
            for row in range(0, len(inputs), batch_size):
                batch = inputs[row : row + batch_size]
                part = _apply(feature_function, batch, batch_size, width)
                _check_finite(part, dataset, start + row)
                width = part.shape[1]
                parts.append(part)
                progress(start + row + len(batch), total)
            block = np.concatenate(parts)
            _write_block(path, block)
        else:
            progress(start + len(inputs), total)
        if features is None:
            features = np.empty((total, block.shape[1]), np.float32)
        features[start : start + len(inputs)] = block
    assert features is not None
    return dataclasses.replace(dataset, inputs=features)


def _apply(
    feature_function: FeatureFunction,
    batch: np.ndarray,
    batch_size: int,
    width: int | None,
) -> np.ndarray:
    """Features of a batch that may be short, as (len(batch), D) float32."""
    filled = batch
    if len(batch) < batch_size:
        filler = np.repeat(batch[-1:], batch_size - len(batch), axis=0)
        filled = np.concatenate([batch, filler])
    features = np.asarray(feature_function(filled))
    fits = features.ndim == 2 and len(features) == batch_size and features.size
    if not fits or width not in (None, features.shape[1]):
        wanted = "D" if width is None else str(width)
        raise ValueError(
            f"feature_function: got features of shape {features.shape}, expected "
            f"({batch_size}, {wanted})"
        )
    features = arrays.numbers("feature_function", features)[: len(batch)]
    return arrays.cast("feature_function", features)


def _check_finite(features: np.ndarray, dataset: Dataset, first_row: int) -> None:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        row = first_row + int(bad[0])
        raise ValueError(
            "feature_function: got NaN or infinity for the example of id "
            f"{dataset.ids[row].item()!r} (row {row}), expected finite features"
        )


def _open_folder(
    dataset: Dataset, cache_dir: pathlib.Path, fingerprint: str, block_size: int
) -> pathlib.Path:
    """Creates the folder of an extraction, with a note of what it is for."""
    identity = {
        "format": _FORMAT,
        "inputs": digest_of(dataset.inputs),
        "features": fingerprint,
        "block_size": block_size,
    }
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
    folder = cache_dir / name
    note = folder / "about.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not note.exists():
            about = {"data": dataset.name, "rows": len(dataset), **identity}
            write_atomically(note, (json.dumps(about, indent=2) + "\n").encode())
    except OSError as error:
        raise ValueError(
            f"cache_dir: cannot write to {str(cache_dir)!r}: {error.strerror}"
        ) from None
    return folder


def _write_block(path: pathlib.Path, block: np.ndarray) -> None:
    """Writes an `.npy` file with its SHA-256 behind it, which NumPy does not read."""
    buffer = io.BytesIO()
    np.save(buffer, block, allow_pickle=False)
    content = buffer.getvalue()
    write_atomically(path, content + hashlib.sha256(content).digest())


def _read_block(
    path: pathlib.Path,
    rows: int,
    width: int | None,
    report: Callable[[str], None],
) -> np.ndarray | None:
    """A block, or None where it is missing or, as reported, damaged."""
    try:
        content = path.read_bytes()
        content, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("its content does not match its digest")
        block = np.load(io.BytesIO(content), allow_pickle=False)
        if block.ndim != 2 or block.shape != (rows, width or block.shape[1]):
            raise ValueError(f"its shape {block.shape} does not fit the others")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        report(f"features {path} cannot be read ({error}); computing them again")
        return None
    return block
