"""Out-of-distribution images beside a target data set: hold out, crop, mix.

All run on the host, once, before anything trains. What is random takes a NumPy
generator.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from robustjax import checks
from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._match_images import check_ood_images
from robustjax.data._resize import check_image_array, resize_image
from robustjax.data.augmentation._crop import check_bounds


def held_out_classes(
    dataset: Dataset, classes: Collection[int | str]
) -> tuple[Dataset, np.ndarray]:
    """Splits a data set into a target of some classes and OOD images of the others.

    Args:
      dataset: with image inputs or any others.
      classes: the *target's* classes, as indices or names; at least one class has to
        be left over.

    Returns:
      The target, a `Dataset` whose labels are renumbered 0 … k - 1 in the ascending
      order of the original ones, with their names and ids kept; and the inputs (M,
      ...) of all examples of the other classes. No example is in both.

    Raises:
      ValueError: a class that is unknown or named twice, none, or all of them.
    """
    chosen: list[int] = []
    for value in classes:
        if isinstance(value, str):
            checks.one_of("classes", value, dataset.class_names)
            value = dataset.class_names.index(value)
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not 0 <= value < dataset.num_classes:
            raise ValueError(
                f"classes: got {value!r}, expected a name or an integer 0 … "
                f"{dataset.num_classes - 1}"
            )
        chosen.append(int(value))
    if len(set(chosen)) != len(chosen) or not 0 < len(chosen) < dataset.num_classes:
        raise ValueError(
            f"classes: got {chosen}, expected 1 … {dataset.num_classes - 1} different "
            "ones, so that some are left as OOD"
        )
    chosen.sort()
    is_target = np.isin(dataset.labels, chosen)
    target = make_dataset(
        dataset.inputs[is_target],
        np.searchsorted(chosen, dataset.labels[is_target]).astype(np.int32),
        ids=dataset.ids[is_target],
        class_names=[dataset.class_names[c] for c in chosen],
        name=f"{dataset.name} without {dataset.num_classes - len(chosen)} class(es)",
    )
    return target, dataset.inputs[~is_target]


def textured_crops(
    images: Any,
    rng: np.random.Generator,
    *,
    count: int,
    side: tuple[float, float] = (0.2, 0.35),
    size: tuple[int, int] | None = None,
    fill: str = "magnify",
) -> np.ndarray:
    """Small squares of natural images at full size: texture stays, objects vanish.

    Each crop is a square whose side is drawn uniformly from `side`, as a share of the
    image's shorter side, and whose place is uniform among all that lie inside. With
    the default, 4 % to 12 % of a square image's area are seen, 6 to 11 pixels of 32:
    local colour, edges and grain, but no whole object. The square fills `size` in one
    of two ways. "magnify" enlarges it bicubically (cut at fractions of a pixel), 3 to
    5 times by default: large images keep texture, images as small as CIFAR's become
    soft patches. "mirror" cuts whole pixels and repeats them by reflection at its
    sides, so that the grain stays as fine as in the image.

    Args:
      images: (N, H, W, C) uint8 or floats, N >= 1.
      rng: draws images, sides and places.
      count: number of crops, >= 1. Images are drawn without replacement until all
        have been used, then again from all.
      side: lowest and highest side, 0 < low <= high <= 1.
      size: (height, width) of the result, >= 1; by default (H, W).
      fill: "magnify" or "mirror".

    Returns:
      (count, *size, C) of the images' dtype.

    Raises:
      ValueError: bad images, a count or size below 1, sides out of range or order, or
        an unknown `fill`.
    """
    images = check_image_array("images", images)
    checks.one_of("fill", fill, ("magnify", "mirror"))
    checks.at_least("count", count, 1)
    check_bounds("side", side, 1.0)
    height, width = images.shape[1:3]
    size = (height, width) if size is None else size
    checks.at_least("size", min(size), 1)
    rounds = -(-count // len(images))
    rows = np.concatenate([rng.permutation(len(images)) for _ in range(rounds)])[:count]
    sides = rng.uniform(*side, count) * min(height, width)
    tops = rng.random(count) * (height - sides)
    lefts = rng.random(count) * (width - sides)
    result = np.empty((count, *size, images.shape[-1]), images.dtype)
    for i, row in enumerate(rows):
        left, top, length = float(lefts[i]), float(tops[i]), float(sides[i])
        if fill == "mirror":
            result[i] = _mirrored(images[row], int(top), int(left), int(length), size)
            continue
        # Rounding must not push the box over the edge.
        right, bottom = min(left + length, width), min(top + length, height)
        result[i] = resize_image(
            images[row], size, box=(left, top, right, bottom), method="bicubic"
        )
    return result


def _mirrored(
    image: np.ndarray, top: int, left: int, length: int, size: tuple[int, int]
) -> np.ndarray:
    """A square cut out of the image, reflected at its sides until it fills `size`."""
    length = max(length, 1)
    square = image[top : top + length, left : left + length]
    square = square[: size[0], : size[1]]
    missing = [(0, wanted - have) for wanted, have in zip(size, square.shape)]
    return np.pad(square, [*missing, (0, 0)], mode="symmetric")


def mix_ood(
    sources: Sequence[Any],
    count: int,
    rng: np.random.Generator,
    shares: Sequence[float] | None = None,
) -> np.ndarray:
    """Mixes several OOD sources into one shuffled set of `count` images.

    Each source is sampled without replacement over all of it and the result is
    shuffled. Taking the leading images instead gives one category only where a source
    is stored category by category (the published TAUFE code does so with LSUN).

    Args:
      sources: (N_s, H, W, C) images each, all of one shape and dtype.
      count: images in the result, >= 1.
      rng: draws and shuffles.
      shares: the share of each source, >= 0 with sum 1; by default equal ones. Counts
        are rounded by largest remainder, so that they add up to `count`.

    Returns:
      (count, H, W, C) of the sources' dtype.

    Raises:
      ValueError: no source, an empty one, shapes or dtypes that differ, shares out of
        range, or a source with fewer images than its share asks for.
    """
    if len(sources) == 0:
        raise ValueError("sources: got none, expected at least one")
    checks.at_least("count", count, 1)
    first = check_image_array("sources[0]", sources[0])
    arrays = [
        check_ood_images(source, first.shape[1:], first.dtype, name=f"sources[{i}]")
        for i, source in enumerate(sources)
    ]
    if shares is None:
        shares = [1 / len(arrays)] * len(arrays)
    parts = np.asarray(shares, np.float64)
    if parts.shape != (len(arrays),):
        raise ValueError(
            f"shares: got {len(shares)} of them, expected one for each of "
            f"{len(arrays)} sources"
        )
    if not (parts >= 0).all() or abs(parts.sum() - 1) > 1e-6:
        raise ValueError(
            f"shares: got {list(shares)}, expected numbers >= 0 with sum 1"
        )
    exact = parts * count
    # Without the small number, a share of 0.1 + 0.2 would not reach its 0.3.
    counts = np.floor(exact + 1e-9).astype(int)
    largest_first = np.argsort(counts - exact, kind="stable")
    counts[largest_first[: count - counts.sum()]] += 1
    picked = []
    for number, (array, wanted) in enumerate(zip(arrays, counts)):
        if wanted > len(array):
            raise ValueError(
                f"sources[{number}]: got {len(array)} images, expected at least the "
                f"{wanted} that its share of {count} asks for"
            )
        picked.append(array[rng.choice(len(array), wanted, replace=False)])
    return rng.permutation(np.concatenate(picked))
