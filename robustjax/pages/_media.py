"""What there is to see of a data set's rows."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from robustjax import data
from robustjax.pages._pictures import picture_of, picture_of_file

Media = Callable[[int], tuple[str, bytes | None]]
"""Row -> what there is to read, and a small picture or None."""

# Numbers of a vector that are shown where there is nothing else.
_FEW = 8


def dataset_media(
    dataset: data.Dataset,
    *,
    texts: Sequence[str] | None = None,
    folder: str | pathlib.Path | None = None,
) -> Media:
    """Shows the rows of a data set as what they are.

    Args:
      dataset: with images, or features.
      texts: N texts to show with each.
      folder: where the pictures of features lie: ids are paths below it.

    Returns:
      A function from rows to texts and pictures. Without images, texts and folder, the
      first numbers of a row are shown.

    Raises:
      ValueError: another number of texts, or a folder that is none.
    """
    if texts is not None and len(texts) != len(dataset):
        raise ValueError(
            f"texts: got {len(texts)}, expected one for each of {len(dataset)} examples"
        )
    root = None if folder is None else pathlib.Path(folder)
    if root is not None and not root.is_dir():
        raise ValueError(f"pictures: {str(root)!r} is not a folder")

    def media(row: int) -> tuple[str, bytes | None]:
        text = "" if texts is None else str(texts[row])
        inputs = dataset.inputs[row]
        if root is not None:
            picture = picture_of_file(root / str(dataset.ids[row]))
            missing = "" if picture else "(no picture of this name)"
            return text or missing, picture
        if inputs.ndim == 3 and inputs.shape[-1] in (1, 3):
            return text, picture_of(inputs)
        return text or _numbers(inputs), None

    return media


def _numbers(inputs: np.ndarray) -> str:
    flat = inputs.reshape(-1)
    shown = ", ".join(f"{value:.3g}" for value in flat[:_FEW].tolist())
    more = f" … ({flat.size:,} numbers)" if flat.size > _FEW else ""
    return shown + more
