"""OOD images by the names of their sources, in the shape of a task's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.targets import OWN_SOURCES, Target
from experiments.study.flags import Use, check_of_use, errors_name_flags
from robustjax import data
from robustjax.tools.inputs import load_foreign

TEXTURES = {"textures": "magnify", "mirrored_textures": "mirror"}
"""Sources that are cut from the target's own images, with how they fill an image."""
_PHOTOGRAPHS = "photographs"
# Of so many photographs one is kept to measure on.
_HELD_OUT_PHOTOGRAPHS = 5


class OodImages(NamedTuple):
    """What belongs to no class of the task.

    Attributes:
      train: (M, H, W, C) to draw from in training, shaped like training images.
      test: (K, H', W', C) from the same sources, to measure on; none is in `train`.
      detection: (L, H', W', C) to detect, from other sources, or None.
    """

    train: np.ndarray
    test: np.ndarray
    detection: np.ndarray | None


def _data_sets(names: Sequence[str]) -> list[str]:
    """Those sources that are data sets of their own."""
    others = (*TEXTURES, *OWN_SOURCES, _PHOTOGRAPHS)
    return [name for name in names if name not in others]


def check_split_flags(given: Mapping[str, Any], config: FeatureDebiasingConfig) -> None:
    """Raises `ValueError` for a flag of OOD data sets where there are none.

    Args:
      given: the fields that were given as flags; presets may have it.
      config: every field.
    """
    names = {"ood": config.ood, "detection_ood": config.detection_ood}
    trained = bool(_data_sets(config.ood))
    measured = trained or bool(_data_sets(config.detection_ood))
    shown = " and ".join(f"{flag}={','.join(x)}" for flag, x in names.items() if x)
    why = f"with {shown}, expected a data set among them"
    check_of_use(
        given,
        [
            Use(
                "ood_split",
                trained,
                f"with ood={','.join(config.ood)}, expected a data set among them",
            ),
            Use("ood_test_split", measured, why),
            Use("allow_overlap", measured, why),
        ],
    )


def _same_images(split: str, other: str) -> bool:
    """Whether two splits, by their names, have images in common."""
    bases = [name.partition("[")[0] for name in (split, other)]
    return split == other or (bases[0] == bases[1] and bases[0] in (split, other))


def check_sources(config: FeatureDebiasingConfig) -> None:
    """Raises `ValueError` for names that do not fit the flags."""
    if not config.ood:
        raise ValueError("ood: got none, expected at least one source")
    for flag, names in (("ood", config.ood), ("detection_ood", config.detection_ood)):
        if len(set(names)) < len(names):
            raise ValueError(f"{flag}: got {','.join(names)}, expected each name once")
        if "held_out" in names and not config.target_classes:
            raise ValueError(
                f"{flag}: got held_out without --target_classes, which says what is "
                "not held out"
            )
        if "backgrounds" in names and config.dataset != "composed":
            raise ValueError(
                f"{flag}: got backgrounds with dataset={config.dataset}, expected "
                "dataset=composed"
            )
    asked = _PHOTOGRAPHS in (*config.ood, *config.detection_ood)
    if asked != bool(config.photographs):
        wanted = "a folder of image files" if asked else "nothing"
        raise ValueError(
            f"photographs: got {config.photographs!r} with ood={','.join(config.ood)} "
            f"and detection_ood={','.join(config.detection_ood)}, expected {wanted}"
        )
    if config.detection_ood and config.task != "classification":
        raise ValueError(
            f"detection_ood: got {','.join(config.detection_ood)} with "
            f"task={config.task}, expected task=classification"
        )
    splits = config.ood_split, config.ood_test_split
    if _data_sets(config.ood) and _same_images(*splits):
        raise ValueError(
            f"ood_test_split: got {splits[1]} with ood_split={splits[0]}, expected "
            "images that are not trained on"
        )
    both = sorted(set(config.ood) & set(config.detection_ood))
    if both:
        raise ValueError(
            f"detection_ood: got {','.join(both)}, which is trained on too (--ood), "
            "expected other sources"
        )


def load_ood(config: FeatureDebiasingConfig, target: Target) -> OodImages:
    """Loads, cuts, resizes and mixes the OOD images of a study.

    Raises:
      ValueError: a source that cannot be read, is empty, shares a class name with the
        target, or does not fit the target's images.
    """
    count = config.ood_count or len(target.train)
    train = _mixture(config, target, "ood", config.ood, count, training=True)
    if config.ood_count and len(train) < config.ood_count:
        raise ValueError(
            f"ood_count: got {config.ood_count}, but {','.join(config.ood)} give "
            f"{len(train)} images in equal shares"
        )
    rest = config.ood_test_count
    test = _mixture(config, target, "ood", config.ood, rest, training=False)
    detection = None
    if config.detection_ood:
        detection = _mixture(
            config, target, "detection_ood", config.detection_ood, rest, training=False
        )
    return OodImages(train, test, detection)


def _mixture(
    config: FeatureDebiasingConfig,
    target: Target,
    flag: str,
    names: Sequence[str],
    count: int,
    *,
    training: bool,
) -> np.ndarray:
    """At most `count` images, equally many of every source."""
    stream = 20 + 2 * (flag == "detection_ood") + training
    rng = np.random.default_rng([config.seed, stream])
    share = -(-count // len(names))
    parts = []
    for name in names:
        with errors_name_flags(
            images=f"{flag} ({name})",
            dataset=f"{flag} ({name})",
            path=f"{flag} ({name})",
            labels=f"{flag} ({name})",
            split=f"{flag} ({name}), split",
            ood_names=f"{flag} ({name}, --allow_overlap)",
        ):
            parts.append(_images(config, target, name, share, rng, training))
    count = min(count, len(names) * min(map(len, parts)))
    return data.mix_ood(parts, count, rng)


def _images(
    config: FeatureDebiasingConfig,
    target: Target,
    name: str,
    count: int,
    rng: np.random.Generator,
    training: bool,
) -> np.ndarray:
    """At most `count` images of one source, shaped like the target's."""
    own = target.train if training else target.test
    like = own.inputs
    if name in TEXTURES:
        return data.textured_crops(like, rng, count=count, fill=TEXTURES[name])
    if name == _PHOTOGRAPHS:
        with errors_name_flags(path=_PHOTOGRAPHS):
            files = data.image_files(config.photographs)
            if len(files) < 2:
                raise ValueError(
                    f"path: got {len(files)} image file, expected two or more: some to "
                    "train with, others to measure on"
                )
            images = data.photograph_crops(
                [
                    file
                    for number, file in enumerate(files)
                    if (number % _HELD_OUT_PHOTOGRAPHS > 0) == training
                ],
                rng,
                count=count,
                size=like.shape[1:3],
            )
    elif name in OWN_SOURCES:
        images = target.sources[name][0 if training else 1]
        if len(images) > count:
            images = images[rng.choice(len(images), count, replace=False)]
    else:
        size = config.train_image_size if training else config.image_size
        return load_foreign(
            name,
            config.ood_split if training else config.ood_test_split,
            own,
            data_dir=config.data_dir,
            image_size=size or config.image_size,
            allow_overlap=config.allow_overlap,
            most=count,
            rng=rng,
        ).inputs
    return data.match_images(
        images, like.shape[1:], like_dtype=like.dtype, convert_color=True
    )
