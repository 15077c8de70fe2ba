"""The two sides of the swapping autoencoder's game.

Park et al., "Swapping Autoencoder for Deep Image Manipulation" (NeurIPS 2020); patches
as in BiaSwap (Kim, Lee, Choo, ICCV 2021). The talks' squared reconstruction error is
an absolute one in public code, and so here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.bias._cam_patches import PatchPlan, cut_patches, draw_centres
from robustjax.models._swapping_autoencoder import (
    ImageDiscriminator,
    PatchDiscriminator,
    SwapEncoder,
    SwapGenerator,
)
from robustjax.training import Convolution

Maps = Callable[[jax.Array, jax.Array], jax.Array]
"""`(images in [-1, 1], labels) -> (B, H, W)`: where a biased network sees the label."""

# Weights of the released code.
_RECONSTRUCTED, _MIXED, _PATCHES = 0.5, 1.0, 1.0
_R1, _PATCH_R1 = 10.0, 1.0


class SwapNetworks(NamedTuple):
    """The four networks of the translator.

    Attributes:
      encoder: from images to structure and style.
      generator: from both to images.
      discriminator: of images.
      patches: of patches.
    """

    encoder: SwapEncoder = SwapEncoder()
    generator: SwapGenerator = SwapGenerator()
    discriminator: ImageDiscriminator = ImageDiscriminator()
    patches: PatchDiscriminator = PatchDiscriminator()


def swap_networks(
    width: int = 32, *, convolution: Convolution = "native"
) -> SwapNetworks:
    """The networks for 28 to 32 pixels.

    Args:
      width: channels of the first layers, >= 1; all else grows with it. Work grows
        with its square.
      convolution: on CPU, "patches" is many times faster in an epoch, see
        `training.choose_execution`.

    Raises:
      ValueError: a width below one.
    """
    checks.at_least("width", width, 1)
    widths = (width, 2 * width, 4 * width)
    return SwapNetworks(
        SwapEncoder(widths, style=4 * width, implementation=convolution),
        SwapGenerator(widths, implementation=convolution),
        ImageDiscriminator((*widths, 4 * width), implementation=convolution),
        PatchDiscriminator(widths, 8 * width, implementation=convolution),
    )


class Pairs(NamedTuple):
    """Images whose structure is kept, and those whose style they get.

    Attributes:
      content: (P, H, W, 3) floats in [-1, 1].
      style: the same.
      style_labels: (P,) integers, the labels of `style`.
    """

    content: jax.Array
    style: jax.Array
    style_labels: jax.Array


def swap_images(
    networks: SwapNetworks, translator: Any, content: jax.Array, style: jax.Array
) -> jax.Array:
    """Images with the structure of some and the style of others, without noise.

    Args:
      networks: of which encoder and generator are used.
      translator: their parameters, "encoder" and "generator".
      content: (B, H, W, 3) floats in [-1, 1].
      style: the same.

    Returns:
      (B, H, W, 3) floats, about in [-1, 1].
    """
    both = jnp.concatenate([content, style])
    structure, looks = _encode(networks, translator, both)
    count = len(content)
    return _generate(networks, translator, structure[:count], looks[count:], None)


def _encode(networks: SwapNetworks, translator: Any, images: jax.Array) -> Any:
    return networks.encoder.apply({"params": translator["encoder"]}, images)


def _generate(
    networks: SwapNetworks,
    translator: Any,
    structure: jax.Array,
    style: jax.Array,
    key: jax.Array | None,
) -> jax.Array:
    variables = {"params": translator["generator"]}
    return jnp.asarray(networks.generator.apply(variables, structure, style, key))


def _made(
    networks: SwapNetworks, translator: Any, pairs: Pairs, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(reconstructions of the contents, contents in the other's style).

    Every network is called once for all its images: it is compiled once.
    """
    count = len(pairs.content)
    both = jnp.concatenate([pairs.content, pairs.style])
    structure, styles = _encode(networks, translator, both)
    twice = jnp.concatenate([structure[:count], structure[:count]])
    made = _generate(networks, translator, twice, styles, key)
    return made[:count], made[count:]


def _looks_real(
    networks: SwapNetworks, critic: Any, *images: jax.Array
) -> list[jax.Array]:
    """Logits of each of several sets of images."""
    variables = {"params": critic["discriminator"]}
    together = jnp.concatenate(images)
    found = jnp.asarray(networks.discriminator.apply(variables, together))
    ends = np.cumsum([len(each) for each in images])[:-1]
    return jnp.split(found, ends)


def _fits(
    networks: SwapNetworks, critic: Any, reference: jax.Array, target: jax.Array
) -> jax.Array:
    variables = {"params": critic["patches"]}
    return jnp.asarray(networks.patches.apply(variables, reference, target))


def _patches(
    key: jax.Array, images: jax.Array, labels: jax.Array, maps: Maps, plan: PatchPlan
) -> jax.Array:
    """(B, K, p, p, 3), where the biased network sees the labels."""
    centre_key, cut_key = jax.random.split(key)
    seen = maps(jax.lax.stop_gradient(images), labels)
    centres = draw_centres(centre_key, seen, plan.per_image, plan.temperature)
    return cut_patches(cut_key, images, centres, plan)


def translator_loss(
    networks: SwapNetworks,
    translator: Any,
    critic: Any,
    pairs: Pairs,
    key: jax.Array,
    maps: Maps,
    plan: PatchPlan,
) -> jax.Array:
    """What encoder and generator minimise; no gradient goes into the critic.

    The absolute error of reconstructions, and non-saturating losses of reconstructions
    (weight 0.5), of swapped images and of their patches beside those of the image whose
    style they have. A swapped image's patches are cut where the biased network sees the
    label that the style is from.
    """
    critic = jax.lax.stop_gradient(critic)
    make_key, patch_key = jax.random.split(key)
    again, mixed = _made(networks, translator, pairs, make_key)
    images, labels = jnp.concatenate([pairs.style, mixed]), pairs.style_labels
    cut = _patches(patch_key, images, jnp.tile(labels, 2), maps, plan)
    reference, target = jnp.split(cut, 2)

    logits = _looks_real(networks, critic, again, mixed)

    def fooled(logits: jax.Array) -> jax.Array:
        return jnp.mean(jax.nn.softplus(-logits))

    return (
        jnp.mean(jnp.abs(again - pairs.content))
        + _RECONSTRUCTED * fooled(logits[0])
        + _MIXED * fooled(logits[1])
        + _PATCHES * fooled(_fits(networks, critic, reference, target))
    )


def critic_loss(
    networks: SwapNetworks,
    translator: Any,
    critic: Any,
    pairs: Pairs,
    key: jax.Array,
    maps: Maps,
    plan: PatchPlan,
    regularize: jax.Array | float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """What both discriminators minimise; no gradient goes into the translator.

    Args:
      networks: see `SwapNetworks`.
      translator: parameters "encoder" and "generator".
      critic: parameters "discriminator" and "patches".
      pairs: of images.
      key: PRNG key.
      maps: see `Maps`.
      plan: see `PatchPlan`.
      regularize: the factor of the gradient penalties (R1), 0 where they are not due:
        then they are not computed.

    Returns:
      (the loss, the share of images that the first discriminator takes for what they
      are).
    """
    translator = jax.lax.stop_gradient(translator)
    make_key, patch_key = jax.random.split(key)
    again, mixed = _made(networks, translator, pairs, make_key)
    real = jnp.concatenate([pairs.content, pairs.style])
    images = (pairs.style, pairs.style, mixed)
    labels = jnp.tile(pairs.style_labels, len(images))
    cut = _patches(patch_key, jnp.concatenate(images), labels, maps, plan)
    reference, other, foreign = jnp.split(cut, len(images))
    logits = _looks_real(networks, critic, real, again, mixed)
    count = reference.shape[1]
    fits = _fits(networks, critic, reference, jnp.concatenate([other, foreign], axis=1))
    loss = (
        jnp.mean(jax.nn.softplus(-logits[0]))
        + _RECONSTRUCTED * jnp.mean(jax.nn.softplus(logits[1]))
        + 0.5 * _MIXED * jnp.mean(jax.nn.softplus(logits[2]))
        + jnp.mean(jax.nn.softplus(-fits[:, :count]))
        + jnp.mean(jax.nn.softplus(fits[:, count:]))
    )

    def penalty() -> jax.Array:
        return gradient_penalty(networks, critic, real, reference, other)

    due = jnp.asarray(regularize) > 0
    added = jax.lax.cond(due, penalty, lambda: jnp.zeros_like(loss))
    right = jnp.concatenate([logits[0] > 0, logits[1] <= 0, logits[2] <= 0])
    return loss + regularize * added, jnp.mean(right)


def gradient_penalty(
    networks: SwapNetworks,
    critic: Any,
    real: jax.Array,
    reference: jax.Array,
    target: jax.Array,
) -> jax.Array:
    """R1 of both discriminators: squared gradients in what is real.

    `5 mean ||dD/dx||^2 + 0.25 mean (||dDp/dref||^2 + ||dDp/dtarget||^2)`, as the
    released code weighs them.
    """

    def squares(gradient: jax.Array) -> jax.Array:
        flat = gradient.reshape(gradient.shape[0], -1)
        return jnp.mean(jnp.sum(flat**2, axis=-1))

    def of_images(images: jax.Array) -> jax.Array:
        return jnp.sum(_looks_real(networks, critic, images)[0])

    def of_patches(patches: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.sum(_fits(networks, critic, *patches))

    slopes = jax.grad(of_patches)((reference, target))
    images = 0.5 * _R1 * squares(jax.grad(of_images)(real))
    return images + 0.25 * _PATCH_R1 * (squares(slopes[0]) + squares(slopes[1]))
