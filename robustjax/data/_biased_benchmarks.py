"""Colored MNIST and Corrupted CIFAR-10, made of the plain data sets.

Nam, Cha, Ahn, Lee, Shin, "Learning from Failure: Training Debiased Classifier from
Biased Classifier" (NeurIPS 2020).
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import jax
import numpy as np

from robustjax import checks, corruption
from robustjax.corruption._image_batches import at_severity
from robustjax.data._biased import BiasedDataset, make_biased
from robustjax.data._dataset import Dataset

COLOR_STYLES = ("lff", "pgd")
"""Whose colours Colored MNIST has: of LfF or of PGD."""

_SEVERITY = 4


def colored_mnist(
    digits: Dataset,
    aligned_ratio: float,
    key: jax.Array,
    *,
    severity: int = _SEVERITY,
    style: str = "lff",
    assignment: str = "file_order",
    order: Any = None,
) -> BiasedDataset:
    """Paints digits in ten colours, most of each class in its own.

    The target is the digit and the bias its colour; `swap_roles` exchanges them. For
    training 95, 98, 99 or 99.5 % are aligned, for the unbiased test set 10 %. Colours
    of training and test set jitter alike; give them different keys.

    The published networks for these data divide their input, in [0, 1] already, by 255
    once more; that is a matter of the input, not of these images:
    `data.normalize(0.0, 255.0)` does so, and `data.normalize(0.0, 1.0)` does not.

    Args:
      digits: ten classes of (28, 28, 1) uint8 images such as MNIST's, of any size.
      aligned_ratio: in (0, 1), see `corruption.assign_bias`.
      key: PRNG key of the jitter, and of an assignment that is random.
      severity: 1 … 5, of the jitter .05, .02, .01, .005, .002 in "lff": a higher one is
        a *stronger* bias. "pgd" has 1e-4 throughout, and no severity.
      style: "lff", the colours of Nam et al. (2020) in uint8, or "pgd", those of Ahn et
        al. (2022), in floats that are not rounded.
      assignment: "file_order", "random" or "bernoulli"; see `corruption.assign_bias`.
        Published with "pgd" is "bernoulli".
      order: what sorts the examples into the file's order; tfds has another, for which
        its ids are of no help.

    Returns:
      A `BiasedDataset` of (N, H, W, 3) images with the ids of the digits. The jitter of
      an image depends on the key and its id alone.

    Raises:
      ValueError: other images or another number of classes, an unknown style, a bad
        severity or one for "pgd", and as `corruption.assign_bias`.
    """
    checks.one_of("style", style, COLOR_STYLES)
    jitter = at_severity(tuple(corruption.LFF_JITTER.values()), severity)
    if style == "pgd" and severity != _SEVERITY:
        raise ValueError(
            f"severity: got {severity} with style='pgd', expected it with 'lff' alone: "
            f"the jitter of 'pgd' is {corruption.PGD_JITTER:g} throughout"
        )
    _check_classes("digits", digits, len(corruption.LFF_COLORS))
    assign_key, paint_key = jax.random.split(key)
    bias = _assigned(digits, aligned_ratio, assign_key, assignment, order)
    is_lff = style == "lff"
    images = corruption.color_digits(
        digits.inputs,
        bias,
        paint_key,
        colors=corruption.LFF_COLORS if is_lff else corruption.PGD_COLORS,
        jitter=jitter if is_lff else corruption.PGD_JITTER,
        as_float=not is_lff,
        ids=numbers_of_ids(digits.ids),
    )
    colors = [f"color of {name}" for name in digits.class_names]
    return _with_images(digits, images, "colored", bias, colors)


def corrupted_cifar10(
    images: Dataset,
    aligned_ratio: float,
    key: jax.Array,
    *,
    kind: int = 1,
    severity: int = corruption.CORRUPTED_CIFAR10_SEVERITY,
    assignment: str = "file_order",
    order: Any = None,
) -> BiasedDataset:
    """Corrupts images in ten ways, most of each class in its own.

    The target is the object and the bias the corruption; `swap_roles` exchanges them.
    Ratios as for `colored_mnist`. Frost is procedural, see `corruption.frost`.

    Args:
      images: ten classes of (32, 32, 3) uint8 images in the order of CIFAR-10, of any
        size from 8.
      aligned_ratio: in (0, 1), see `corruption.assign_bias`.
      key: PRNG key of the corruptions, and of an assignment that is random.
      kind: 1 or 2, the superscript in the papers: which corruptions.
      severity: 1 … 5; papers call the default "severity 4".
      assignment: see `corruption.assign_bias`.
      order: what sorts the examples into the file's order; for tfds's CIFAR-10 that
        is their ids.

    Returns:
      A `BiasedDataset` with the ids of the images. What happens to an image depends on
      the key, its id and its attribute alone.

    Raises:
      ValueError: other images or another number of classes, an unknown kind, a bad
        severity, and as `corruption.assign_bias`.
      ImportError: Pillow is not installed.
    """
    if kind not in corruption.CORRUPTED_CIFAR10:
        raise ValueError(f"kind: got {kind!r}, expected 1 or 2")
    names = corruption.CORRUPTED_CIFAR10[kind]
    _check_classes("images", images, len(names))
    assign_key, change_key = jax.random.split(key)
    bias = _assigned(images, aligned_ratio, assign_key, assignment, order)
    changed = corruption.corrupt_by_bias(
        images.inputs,
        bias,
        change_key,
        corruptions=names,
        severity=severity,
        ids=numbers_of_ids(images.ids),
    )
    return _with_images(images, changed, f"corrupted^{kind}", bias, names)


def numbers_of_ids(ids: np.ndarray) -> np.ndarray:
    """(N,) uint64 that stand for ids: integers as they are, text by a digest.

    What is drawn for an example by its number stays the same in every part of the data
    set, in any order.
    """
    if ids.dtype.kind in "iu":
        # Whether another one is negative says nothing of an id: those that are wrap.
        return ids.astype(np.uint64)
    digests = (hashlib.blake2b(str(i).encode(), digest_size=8) for i in ids.tolist())
    return np.array([int.from_bytes(d.digest(), "little") for d in digests], np.uint64)


def _check_classes(name: str, dataset: Dataset, expected: int) -> None:
    if dataset.num_classes != expected:
        raise ValueError(
            f"{name}: {dataset.name} has {dataset.num_classes} classes, expected "
            f"{expected}"
        )


def _assigned(
    dataset: Dataset, aligned_ratio: float, key: jax.Array, assignment: str, order: Any
) -> np.ndarray:
    """The attributes; the file's order draws nothing, and takes no key."""
    return corruption.assign_bias(
        dataset.labels,
        aligned_ratio,
        dataset.num_classes,
        assignment=assignment,
        key=None if assignment == "file_order" else key,
        order=order,
    )


def _with_images(
    dataset: Dataset, images: np.ndarray, prefix: str, bias: np.ndarray, names: Any
) -> BiasedDataset:
    changed = dataclasses.replace(
        dataset, inputs=images, name=f"{prefix} {dataset.name}"
    )
    return make_biased(changed, bias, bias_names=names)
