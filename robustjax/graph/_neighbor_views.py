"""What the search for neighbours looks at of some points, wherever these are."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from robustjax import arrays, conditioning
from robustjax.graph._neighbor_search import Asked, Part
from robustjax.placement import Placement
from robustjax.row_source import RowSource, row_blocks, take
from robustjax.sharded_conditioning import divided_by
from robustjax.sharded_rows import ShardedRows


class Views:
    """What the search looks at of some points, made when it is asked for.

    Attributes:
      shape: of the points, (N, d).
      read: the points in float64, less a common offset; unit rows for the cosine.
      scale: of the centred points.
      unit: of what is compared by differences.
      wide: whether float32 may round the points, so that the compared ones are not
        exact and candidates are ranked again.
      by: the metric of what is compared.
    """

    def __init__(self, given: np.ndarray | RowSource, metric: str):
        self._given = given
        self.shape = given.shape
        # ||a - b||^2 = 2 (1 - cos) for unit vectors.
        unit = metric == "cosine"
        self.read: conditioning.Reader = (
            conditioning.UnitRows(given) if unit else conditioning.Rows(given)
        )
        self._frame = conditioning.frame_of("points", self.read)
        self.scale = self._frame.scale
        self.wide = arrays.is_wide(given)
        self.by = "euclidean" if self.wide else metric
        far = not unit and not 2.0**-40 < self.scale < 2.0**40
        self.unit = self.scale if far and not self.wide else 1.0

    @functools.cached_property
    def _held(self) -> tuple[ShardedRows, ShardedRows] | None:
        """All that `make` makes, of points that devices hold."""
        if not isinstance(self._given, ShardedRows):
            return None
        points = self._frame.sharded(self.read)
        compared: Any = points
        if not self.wide and self.by == "cosine":
            compared = conditioning.scaled_source("points", self._given)
        elif not self.wide:
            compared = divided_by(self._given, self.unit)
        return points, compared

    @property
    def ratio(self) -> np.float32:
        """By which compared squares become those of centred points."""
        return np.float32(1.0 if self.wide else (self.unit / self.scale) ** 2)

    def make(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centred and compared points (M, d) float32 of some rows."""
        points = self._frame.points(self.read, rows)
        if self.wide:
            return points, points
        block = take(self._given, rows)
        if self.by == "cosine":
            return points, conditioning.scaled_on_host("points", block)
        compared = block.astype(np.float32, copy=False)
        return points, compared if self.unit == 1 else compared / np.float32(self.unit)

    def parts(self, place: Placement) -> Iterator[Part]:
        """All points that lie in memory, or as many of a file as may be there."""
        if self._held is not None:
            size = np.int32(len(self._given))
            on_devices = (each.array for each in self._held)
            yield Part(*on_devices, *place.whole((np.int32(0), size)))
            return
        whole = [slice(0, len(self._given))]
        if isinstance(self._given, RowSource):
            whole = list(row_blocks(self._given, multiple=place.devices))
        for here in whole:
            points, compared = self.make(here)
            on_device = place.rows(points)
            yield Part(
                on_device,
                on_device if compared is points else place.rows(compared),
                *place.whole((np.int32(here.start), np.int32(here.stop - here.start))),
            )

    def asked(self, rows: np.ndarray, place: Placement) -> Asked:
        """Points (M, d) of some rows, int32, on all devices."""
        if self._held is None:
            return Asked(*place.whole((*self.make(rows), rows)))
        points, compared = self._held
        centred = points.everywhere(rows)
        shared = compared is points
        return Asked(
            centred, centred if shared else compared.everywhere(rows), place.whole(rows)
        )


class NarrowViews(Views):
    """Of points that are rounded: what is read, searched and compared are those."""

    def __init__(self, given: np.ndarray | RowSource, metric: str, kind: str):
        super().__init__(given, metric)
        self._kind, self._exact = kind, self.read
        self.read = conditioning.KeptRows(self._exact, self._frame, kind)
        self.wide, self.by, self.unit = False, "euclidean", self.scale

    @functools.cached_property
    def _held(self) -> tuple[ShardedRows, ShardedRows] | None:
        if not isinstance(self._given, ShardedRows):
            return None
        points = self._frame.sharded(self._exact, self._kind)
        return points, points

    def make(self, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rounded points (M, d) as they are kept, twice the same array."""
        points = self._frame.points(self._exact, rows, self._kind)
        return points, points
