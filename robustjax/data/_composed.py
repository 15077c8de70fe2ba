"""Digits on natural backgrounds: true boxes, and a background that tells the class.

Built from real images. In training the background's class goes with the digit's; at
test time it does not. A model that looks at the background fails there, and the same
backgrounds without digits are the OOD images that should teach it not to look.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from robustjax import checks
from robustjax.data._dataset import Dataset, make_dataset
from robustjax.data._located import LocatedDataset, make_located
from robustjax.data._match_images import LUMA, check_ood_images
from robustjax.data._resize import resize_image, resize_images
from robustjax.data.augmentation._crop import check_bounds

# An opacity below this is the soft rim of a stroke, not the digit.
DIGIT_THRESHOLD = 0.25


@dataclasses.dataclass(frozen=True)
class ComposedSet:
    """What `compose_digits` builds.

    Attributes:
      located: images (N, size, size, 3) uint8, the digits' labels and names, boxes.
      background_class: (N,) int32, the class of each image's background.
      digit_ids: (N,) ids of the digits used.
      background_ids: (N,) ids of the backgrounds used.
      background_crops: (M, size, size, 3) uint8, backgrounds without a digit, none of
        them used in `located`: the OOD images.
      background_crop_ids: (M,) their ids.
    """

    located: LocatedDataset
    background_class: np.ndarray
    digit_ids: np.ndarray
    background_ids: np.ndarray
    background_crops: np.ndarray
    background_crop_ids: np.ndarray


def compose_digits(
    digits: Dataset,
    backgrounds: Dataset,
    *,
    count: int,
    size: int,
    rng: np.random.Generator,
    class_correlation: float,
    position_correlation: float = 0.0,
    digit_scale: tuple[float, float] = (0.35, 0.6),
    contrast: float = 0.7,
    ood_count: int = 0,
) -> ComposedSet:
    """Places real digits on real backgrounds, one on each.

    Digit classes are balanced. Let C be the number of classes, equal in both sets. An
    example of digit class c gets a background of class c with probability
    `class_correlation`, else one of a class drawn uniformly among the C - 1 others.
    So 1 / C (0.1 for ten classes) means that background and digit are independent, as
    a test set should be, 1 that the background gives the class away, and 0 that it
    rules one class out.

    With probability `position_correlation` the digit's centre lies in the quadrant
    `background class mod 4` (0 top left, 1 top right, 2 bottom left, 3 bottom right),
    uniformly in it, its borders included; else the place is uniform. Here 0 means
    independent; the quadrant then agrees by chance in a quarter of the examples. The
    digit always lies wholly inside the image.

    A digit is cut to its strokes, its longer side resized to a share of `size`, and
    blended: its opacity is its grey level, scaled to reach 1. The ink is one grey
    level, lighter than the mean luma of the background under it where that is below
    one half, else darker.

    Args:
      digits: (N, H, W, 1) uint8, bright strokes on black, such as MNIST.
      backgrounds: (M, H', W', 3) uint8 with labels, such as CIFAR-10. Pass disjoint
        sets for training and test; nothing is shared then.
      count: number of composed images, >= C.
      size: their side in pixels, >= 8; backgrounds are resized to it.
      rng: draws everything.
      class_correlation: in [0, 1], see above.
      position_correlation: in [0, 1], see above.
      digit_scale: lowest and highest longer side, as a share of `size`, in (0, 1];
        drawn uniformly.
      contrast: how far the ink lies from that mean luma, in (0, 1]; less where it
        would leave [0, 1], but never below the smaller of `contrast` and one half.
      ood_count: number of backgrounds to set aside as `background_crops`, drawn
        uniformly over all classes before anything is composed; each class must keep
        one.

    Returns:
      A `ComposedSet`; ids are 0 … count - 1. The box is the tightest one around all
      pixels where the digit's opacity is at least `DIGIT_THRESHOLD`; a fainter rim
      beyond is not painted, so outside the box the background is untouched. The
      digits and the backgrounds of each class are used without replacement until all
      of that class have occurred, then again in another order.

    Raises:
      ValueError: images of another kind, numbers of classes that differ, values out
        of range, a class without background, or a digit without strokes.
    """
    _check_images("digits", digits, 1)
    _check_images("backgrounds", backgrounds, 3)
    classes = digits.num_classes
    if backgrounds.num_classes != classes:
        raise ValueError(
            f"backgrounds: got {backgrounds.num_classes} classes, expected {classes} "
            "as in digits, to pair them"
        )
    if classes < 2:
        raise ValueError(f"digits: got {classes} class(es), expected at least two")
    checks.at_least("count", count, classes)
    checks.at_least("size", size, 8)
    checks.at_least("ood_count", ood_count, 0)
    checks.in_range("class_correlation", class_correlation, 0, 1)
    checks.in_range("position_correlation", position_correlation, 0, 1)
    checks.in_range("contrast", contrast, 0, 1, low_open=True)
    check_bounds("digit_scale", digit_scale, 1.0)

    order = rng.permutation(len(backgrounds))
    aside, kept = order[:ood_count], order[ood_count:]
    labels = rng.permutation(np.arange(count) % classes).astype(np.int32)
    other = (labels + rng.integers(1, classes, count)) % classes
    paired = rng.random(count) < class_correlation
    background_class = np.where(paired, labels, other).astype(np.int32)
    every = np.arange(len(digits))
    digit_rows = _draw_rows("digits", digits, every, labels, rng)
    background_rows = _draw_rows(
        "backgrounds", backgrounds, kept, background_class, rng
    )
    quadrant = np.where(
        rng.random(count) < position_correlation, background_class % 4, -1
    )
    sides = rng.uniform(*digit_scale, count) * size

    # A copy, because digits are painted into it.
    images = np.array(resize_images(backgrounds.inputs[background_rows], (size, size)))
    boxes = np.empty((count, 4), np.float32)
    for i, row in enumerate(digit_rows):
        opacity = _opacity(digits, int(row), float(sides[i]))
        top, left = _place(opacity.shape, size, int(quadrant[i]), rng)
        height, width = opacity.shape
        window = images[i, top : top + height, left : left + width]
        window[:] = _blend(window, opacity, contrast)
        boxes[i] = (left, top, left + width - 1, top + height - 1)
    dataset = make_dataset(
        images,
        labels,
        class_names=digits.class_names,
        name=f"{digits.name} on {backgrounds.name}",
    )
    crops = np.empty((0, size, size, 3), np.uint8)
    if ood_count:
        crops = resize_images(backgrounds.inputs[aside], (size, size))
    return ComposedSet(
        located=make_located(dataset, boxes),
        background_class=background_class,
        digit_ids=digits.ids[digit_rows],
        background_ids=backgrounds.ids[background_rows],
        background_crops=crops,
        background_crop_ids=backgrounds.ids[aside],
    )


def _check_images(name: str, dataset: Dataset, channels: int) -> None:
    shape = dataset.inputs.shape[1:3]
    if dataset.inputs.ndim == 4 and dataset.inputs.shape[-1] != channels:
        raise ValueError(
            f"{name}: got {dataset.inputs.shape[-1]} channel(s), expected {channels}"
        )
    check_ood_images(dataset.inputs, (*shape, channels), np.uint8, name=name)


def _draw_rows(
    name: str,
    dataset: Dataset,
    pool: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """A row of `pool` of each wanted class, reused only when a class runs out."""
    rows = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = pool[dataset.labels[pool] == label]
        if not len(mine):
            raise ValueError(
                f"{name}: class {dataset.class_names[label]!r} has no image left, "
                "expected at least one; pass more images or a lower ood_count"
            )
        places = np.flatnonzero(labels == label)
        rounds = -(-len(places) // len(mine))
        drawn = np.concatenate([rng.permutation(mine) for _ in range(rounds)])
        rows[places] = drawn[: len(places)]
    return rows


def _opacity(digits: Dataset, row: int, side: float) -> np.ndarray:
    """(h, w) in [0, 1], the digit cut to its strokes and resized."""
    image = digits.inputs[row].astype(np.float32) / 255
    if image.max() < DIGIT_THRESHOLD:
        raise ValueError(
            f"digits: id {digits.ids[row].item()!r} shows no stroke, expected bright "
            "pixels on black"
        )
    glyph = _trim(image[..., 0])[..., None]
    factor = side / max(glyph.shape[:2])
    height, width = (max(1, round(length * factor)) for length in glyph.shape[:2])
    opacity = resize_image(glyph, (height, width))[..., 0]
    return _trim(opacity / opacity.max())


def _trim(opacity: np.ndarray) -> np.ndarray:
    """The tightest part of an (h, w) array that holds all it has of a digit."""
    rows, columns = np.nonzero(opacity >= DIGIT_THRESHOLD)
    return opacity[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _place(
    shape: tuple[int, ...], size: int, quadrant: int, rng: np.random.Generator
) -> tuple[int, int]:
    """The (top, left) pixel: uniform, in a quadrant unless `quadrant` is -1."""
    corner = []
    for length, half in ((shape[0], quadrant // 2), (shape[1], quadrant % 2)):
        places = np.arange(size - length + 1)
        if quadrant >= 0:
            middle = places + length / 2
            near = middle <= size / 2 if half == 0 else middle >= size / 2
            places = places[near]
        corner.append(int(rng.choice(places)))
    return corner[0], corner[1]


def _blend(window: np.ndarray, opacity: np.ndarray, contrast: float) -> np.ndarray:
    """The (h, w, 3) uint8 window with the digit in one grey level over it."""
    pixels = window.astype(np.float32) / 255
    luma = float((pixels @ np.asarray(LUMA, np.float32)).mean())
    ink = min(luma + contrast, 1.0) if luma < 0.5 else max(luma - contrast, 0.0)
    alpha = opacity[..., None]
    return np.rint(255 * ((1 - alpha) * pixels + alpha * ink)).astype(np.uint8)
