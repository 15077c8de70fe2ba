"""Thumbnails of a run's examples, from its data set if that still is the same one."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.reporting.examples import Group
from experiments.reporting.runs import Run
from robustjax import data
from robustjax.files import digest_of
from robustjax.tools.inputs import load

_LARGEST = 64


@dataclasses.dataclass(frozen=True)
class Example:
    """One example as it is shown.

    Attributes:
      name: its id.
      facts: what is known of it, by name.
      picture: a PNG as a data URL, or None.
    """

    name: str
    facts: dict[str, str]
    picture: str | None


class Album:
    """The training set of a run, as far as it can be had.

    Attributes:
      reason: why there are no pictures; empty where there are.
    """

    def __init__(self, run: Run):
        """Loads the data set that the run names, and compares it with the run's."""
        self._remapped = "ood_label" in run.table.record["facts"]
        self._dataset: data.Dataset | None = None
        self._rows: dict[str, int] = {}
        try:
            found = _load(next(iter(run.flags.values())))
            self.reason = _difference(run, found)
        except (ValueError, ImportError, OSError) as error:
            self.reason = str(error)
            return
        if not self.reason:
            self._dataset = found
            self._rows = {str(n): row for row, n in enumerate(found.ids.tolist())}

    def examples(self, group: Group) -> list[Example]:
        """The examples of a group."""
        return [self._example(group, number) for number in range(len(group.ids))]

    def _example(self, group: Group, number: int) -> Example:
        name = str(group.ids[number])
        row = {key: column[number] for key, column in group.columns.items()}
        facts, found = {}, self._dataset
        # Of several data sets, an id begins with the name of its own.
        prefix = f"{found.name}:" if found is not None else ""
        place = self._rows.get(name.removeprefix(prefix))
        if self._remapped:
            if found is not None and place is not None:
                facts["class"] = found.class_names[found.labels[place]]
        else:
            for key, words in (("given", "labelled"), ("true", "right")):
                if key in row:
                    facts[words] = self._class(row[key])
        if "predicted" in row:
            facts["predicted"] = self._class(row["predicted"])
        for key in ("given_probability", "weight", "loss", "round"):
            if key in row and np.isfinite(row[key]):
                facts[key.replace("_", " ")] = f"{row[key]:.3g}"
        image = None if found is None or place is None else _png(found.inputs[place])
        return Example(name, facts, image)

    def _class(self, label: Any) -> str:
        text = str(label)
        if self._dataset is None or not text.isdigit():
            return text
        return self._dataset.class_names[int(text)]


def _load(flags: dict[str, Any]) -> data.Dataset:
    for name in ("dataset", "train_split"):
        if not isinstance(flags.get(name), str):
            raise ValueError(f"{name}: the run does not say which")
    return load(
        flags["dataset"],
        flags["train_split"],
        data_dir=flags.get("data_dir"),
        image_size=flags.get("image_size") or 0,
    )


def _difference(run: Run, found: data.Dataset) -> str:
    """Why the images of a data set are not to be shown; empty if they are."""
    if found.inputs.ndim != 4 or found.inputs.shape[3] not in (1, 3):
        return "the inputs are no images"
    digests = run.table.record["data"]
    # A part may have been held out: what was trained on is what was kept.
    kept = (a["ids"] for label, _, a in run.table.examples() if not label)
    ids = next(kept, found.ids)
    known = {str(name): row for row, name in enumerate(found.ids.tolist())}
    part = [known[str(name)] for name in ids.tolist() if str(name) in known]
    parts: Sequence[Any] = (slice(None), np.array(part, np.int64))
    flags = next(iter(run.flags.values()))
    inputs = [found.inputs]
    if flags.get("standardize"):
        inputs = [data.standardize(found)[0].inputs]
    same = _holds(digests.get("training labels"), [found.labels], parts)
    # Of images that became features, the labels alone can tell.
    if same and not flags.get("features"):
        same = _holds(digests.get("training inputs"), inputs, parts)
    return "" if same else f"{found.name} is not known to be what the run trained on"


def _holds(
    digest: str | None, arrays: Sequence[np.ndarray], parts: Sequence[Any]
) -> bool:
    return any(digest == digest_of(array[part]) for array in arrays for part in parts)


def _png(image: np.ndarray) -> str:
    """An image (H, W, C) as a data URL, not larger than people need it."""
    from PIL import Image

    if image.dtype != np.uint8:
        image = np.clip(np.round(255 * image), 0, 255).astype(np.uint8)
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((_LARGEST, _LARGEST))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
