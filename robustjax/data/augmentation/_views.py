"""Whole augmentations: the views of an image that published methods train on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax

from robustjax import checks
from robustjax.data._channel_statistics import CIFAR10_MEAN
from robustjax.data.augmentation._color import color_jitter, random_grayscale
from robustjax.data.augmentation._crop import (
    check_bounds,
    cutout,
    random_crop,
    random_flip,
    random_resized_crop,
)
from robustjax.data.augmentation._images import Augmentation, to_float
from robustjax.data.augmentation._policies import auto_augment


def compose(*augmentations: Augmentation) -> Augmentation:
    """One augmentation after the other, each with a key of its own.

    Args:
      *augmentations: functions `(key, images) -> images`; none leaves the images
        alone.

    Returns:
      A function `(key, images) -> images` with float32 images.
    """

    def augment(key: jax.Array, images: jax.Array) -> jax.Array:
        keys = jax.random.split(key, max(len(augmentations), 1))
        for number, augmentation in enumerate(augmentations):
            images = augmentation(keys[number], images)
        return to_float(images)

    return augment


def standard_augmentation(
    *, padding: int = 4, flip: bool = True, mode: str = "zeros"
) -> Augmentation:
    """The usual augmentation of CIFAR: a shifted crop and a mirror image.

    Args:
      padding: see `random_crop`.
      flip: whether mirror images mean the same; not so for digits or text.
      mode: see `random_crop`.

    Returns:
      A function `(key, images) -> images`.

    Raises:
      ValueError: values out of range.
    """
    checks.at_least("padding", padding, 0)
    checks.one_of("mode", mode, ("zeros", "reflect"))
    crop = partial(random_crop, padding=padding, mode=mode)
    return compose(crop, random_flip) if flip else compose(crop)


def strong_augmentation(
    *,
    padding: int = 4,
    flip: bool = True,
    cutout_size: int = 16,
    fill: float | Sequence[float] = CIFAR10_MEAN,
    outside: float | Sequence[float] = 0.0,
) -> Augmentation:
    """The strong view of SOP+ and of Prune4ReL's warm-up.

    AutoAugment's policy for CIFAR-10, a shifted crop, a mirror image, and a square
    cut out (Liu et al., ICML 2022; Park et al., NeurIPS 2023, and their code).

    Args:
      padding: see `random_crop`.
      flip: whether mirror images mean the same; not so for digits or text.
      cutout_size: side of the square in pixels; 0 for none.
      fill: the square's colour in [0, 1], one number or one per channel. The authors
        paint zeros after normalisation, which is the mean colour before; pass the
        mean of your data, and one number for gray images.
      outside: the colour of what AutoAugment moves in; the authors' is black. The
        crop always pads with black.

    Returns:
      A function `(key, images) -> images`.

    Raises:
      ValueError: values out of range.
    """
    checks.at_least("cutout_size", cutout_size, 0)
    checks.in_range("fill", fill, 0, 1)
    checks.in_range("outside", outside, 0, 1)
    steps: list[Augmentation] = [
        partial(auto_augment, fill=outside),
        standard_augmentation(padding=padding, flip=flip),
    ]
    if cutout_size > 0:
        steps.append(partial(cutout, size=cutout_size, fill=fill))
    return compose(*steps)


def simclr_augmentation(
    *,
    crop_scale: tuple[float, float] = (0.08, 1.0),
    flip: bool = True,
    jitter: float = 0.5,
    grayscale: float = 0.2,
) -> Augmentation:
    """SimCLR's augmentation: crop, flip, colour jitter, grayscale.

    Args:
      crop_scale: see `random_resized_crop`.
      flip: whether mirror images mean the same; not so for digits or text.
      jitter: the paper's colour strength, >= 0: 1 for ImageNet, 0.5 for CIFAR-10.
        Brightness, contrast and saturation vary by 0.8 times this and hue by 0.2
        times this.
      grayscale: the share of images without colour.

    Returns:
      A function `(key, images) -> images`.

    Raises:
      ValueError: values out of range.
    """
    check_bounds("crop_scale", crop_scale, 1.0)
    checks.in_range("jitter", jitter, 0, 2.5)
    checks.in_range("grayscale", grayscale, 0, 1)

    def augment(key: jax.Array, images: jax.Array) -> jax.Array:
        crop_key, flip_key, jitter_key, gray_key = jax.random.split(key, 4)
        images = random_resized_crop(crop_key, images, scale=crop_scale)
        if flip:
            images = random_flip(flip_key, images)
        if jitter > 0:
            images = color_jitter(
                jitter_key,
                images,
                brightness=0.8 * jitter,
                contrast=0.8 * jitter,
                saturation=0.8 * jitter,
                hue=0.2 * jitter,
            )
        if grayscale > 0:
            images = random_grayscale(gray_key, images, probability=grayscale)
        return images

    return augment
