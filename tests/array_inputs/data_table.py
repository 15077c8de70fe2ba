"""Plain variants of `robustjax.data`."""

from __future__ import annotations

import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import data

from .variants import Row

_RNG = np.random.default_rng(5)
_KEY = jax.random.key(2)
_LABELS = np.array([0, 1, 0, 1, 0, 1])
IMAGES = _RNG.integers(0, 17, (6, 4, 4, 3)) / 16.0
_INPUTS = _RNG.integers(-64, 64, (6, 3)) / 16.0
_TARGETS = np.eye(3)[_RNG.integers(0, 3, 6)]
_BOXES = np.tile([0.0, 1, 2, 3], (6, 1))
_IDS = np.array([13, 11, 15, 10, 12, 14])
_SMALL = data.make_dataset(_INPUTS, _LABELS, ids=_IDS)
_LOCATED = data.make_located(
    data.make_dataset(IMAGES.astype(np.float32), _LABELS), _BOXES
)
_INKED = np.zeros((6, 8, 8, 1), np.uint8)
_INKED[:, 2:6, 3:5] = 200
_GROUNDS = _RNG.integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)


def _set(inputs):
    return data.make_dataset(inputs, _LABELS[: len(inputs)])


def _standardized(inputs):
    return data.standardize(_set(inputs))[0].inputs


def _plain_standardized(inputs):
    moved = inputs - inputs[:1]
    deviation = moved.std(axis=0)
    moved = moved - moved.mean(axis=0)
    return np.where(deviation > 0, moved / np.where(deviation > 0, deviation, 1), 0)


def _extracted(inputs):
    with tempfile.TemporaryDirectory() as folder:
        return data.extract_features(
            _set(inputs), lambda x: 2 * x, cache_dir=folder, fingerprint="f"
        ).inputs


def _mixed(inputs, targets):
    found = data.mixup(_KEY, inputs, targets)
    return found.inputs, found.targets


def _plain_mixed(inputs, targets):
    drawn = data.mixup(_KEY, jnp.zeros((len(inputs), 1)), jnp.zeros((len(inputs), 1)))
    lam, order = float(drawn.lam), np.asarray(drawn.permutation)
    return tuple(lam * x + (1 - lam) * x[order] for x in (inputs, targets))


def _plain_mix(images):
    rng = np.random.default_rng(0)
    return rng.permutation(images[rng.choice(len(images), 3, replace=False)])


def _same_dtype(images):
    return np.asarray(images).dtype.newbyteorder("=")


def _composed(digits, backgrounds):
    made = data.compose_digits(
        data.make_dataset(digits, _LABELS),
        data.make_dataset(backgrounds, _LABELS),
        count=4,
        size=8,
        rng=np.random.default_rng(0),
        class_correlation=0.5,
    )
    return made.located.dataset.inputs, made.located.boxes


# Of programs that take seconds to compile and are compiled at every call: what goes
# through to the same program, or to one of another size, is looked at in two forms.
_HEAVY = (
    *("half", "single", "double", "fortran", "read_only", "memmap", "series"),
    *("down", "duplicates", "one_row"),
)


def _augmentation(function, *, clips: bool = False, heavy: bool = False) -> Row:
    """Images in any form, against the same as float32 on the device."""
    wrong = ("offset", "up") if clips else ()
    return Row(
        lambda images: function(_KEY, images),
        lambda images: function(_KEY, jnp.asarray(images, jnp.float32)),
        {"images": IMAGES},
        must_refuse=(*wrong, "nan", "inf", "empty"),
        skips=_HEAVY if heavy else (),
    )


_BAD = ("nan", "inf", "empty")
_NAMES = ("inputs", "labels", "rows", "ids")

TABLE = {
    "make_dataset": Row(
        lambda inputs, labels, ids: (
            (made := data.make_dataset(inputs, labels, ids=ids)).inputs,
            made.labels,
            made.ids,
        ),
        lambda inputs, labels, ids: (inputs, labels, ids),
        {"inputs": _INPUTS},
        {"labels": _LABELS, "ids": _IDS},
        must_refuse=("duplicates", *_BAD),
    ),
    "take": Row(
        lambda rows: data.take(_SMALL, rows).inputs,
        lambda rows: _INPUTS[rows],
        {},
        {"rows": np.array([4, 1, 3])},
    ),
    "rows_of": Row(
        lambda ids: data.rows_of(_SMALL, ids),
        lambda ids: np.array([_IDS.tolist().index(value) for value in ids], int),
        {},
        {"ids": _IDS[[4, 1, 3]]},
        must_refuse=("duplicates",),
    ),
    "join": Row(
        lambda ids, values: data.join(_SMALL, ids, values),
        lambda ids, values: values[np.argsort(ids)][np.argsort(np.argsort(_IDS))],
        {"values": _INPUTS},
        {"ids": np.array([15, 14, 13, 12, 11, 10])},
        must_refuse=("duplicates", "one_row", "empty"),
    ),
    "check_clean_labels": Row(
        lambda labels: data.check_clean_labels(_SMALL, labels, name="labels"),
        lambda labels: None,
        {},
        {"labels": _LABELS},
        must_refuse=("duplicates", "one_row", "empty"),
    ),
    "standardize": Row(
        _standardized,
        _plain_standardized,
        {"inputs": _INPUTS},
        must_refuse=_BAD,
        names=_NAMES,
    ),
    "normalize": Row(
        lambda images: data.normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))(images),
        lambda images: (images - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4],
        {"images": IMAGES},
        must_refuse=_BAD,
    ),
    "mixup": Row(
        _mixed,
        _plain_mixed,
        {"inputs": _INPUTS},
        {"targets": _TARGETS},
        must_refuse=("empty",),
        skips=("fortran", "read_only", "memmap", "nan", "inf"),
        rtol=2e-3,  # float16 stays float16.
        atol=2e-3,
    ),
    "mix_ood": Row(
        lambda images: data.mix_ood([images], 3, np.random.default_rng(0)),
        _plain_mix,
        {"images": IMAGES},
        must_refuse=(*_BAD, "one_row"),
        names=("sources",),
    ),
    "held_out_classes": Row(
        lambda inputs: data.held_out_classes(_set(inputs), [0])[0].inputs,
        lambda inputs: inputs[::2],
        {"inputs": _INPUTS},
        must_refuse=(*_BAD, "one_row"),
        names=(*_NAMES, "classes"),
    ),
    "textured_crops": Row(
        lambda images: data.textured_crops(
            images, np.random.default_rng(0), count=3, fill="mirror"
        ),
        lambda images: data.textured_crops(
            images, np.random.default_rng(0), count=3, fill="mirror"
        ),
        {"images": IMAGES},
        must_refuse=_BAD,
    ),
    "match_images": Row(
        lambda images: data.match_images(
            images, (2, 2, 3), like_dtype=_same_dtype(images)
        ),
        lambda images: data.match_images(
            images.astype(np.float32), (2, 2, 3), like_dtype=np.float32
        ),
        {"images": IMAGES},
        must_refuse=_BAD,
        rtol=1e-3,
        atol=1e-3,
    ),
    "check_ood_images": Row(
        lambda images: data.check_ood_images(
            images, (4, 4, 3), _same_dtype(images), name="images"
        ),
        lambda images: images,
        {"images": IMAGES},
        must_refuse=_BAD,
    ),
    "make_biased": Row(
        lambda bias: data.make_biased(_SMALL, bias).bias,
        lambda bias: bias,
        {},
        {"bias": _LABELS[::-1].copy()},
        must_refuse=("one_row", "empty"),
    ),
    "take_biased": Row(
        lambda rows: data.take_biased(data.make_biased(_SMALL, _LABELS), rows).bias,
        lambda rows: _LABELS[rows],
        {},
        {"rows": np.array([4, 1, 3])},
    ),
    "make_located": Row(
        lambda boxes: data.make_located(_LOCATED.dataset, boxes).boxes,
        lambda boxes: boxes,
        {"boxes": _BOXES},
        must_refuse=("offset", "up", "one_row", *_BAD),
    ),
    "take_located": Row(
        lambda rows: data.take_located(_LOCATED, rows).boxes,
        lambda rows: _BOXES[rows],
        {},
        {"rows": np.array([4, 1, 3])},
    ),
    "resize_located": Row(
        lambda boxes: (
            data.resize_located(
                data.make_located(_LOCATED.dataset, boxes), (8, 8)
            ).boxes
        ),
        lambda boxes: np.concatenate(
            [2 * boxes[:, :2], np.maximum(2 * boxes[:, 2:] + 1, 2 * boxes[:, :2])], 1
        ),
        {"boxes": _BOXES},
        must_refuse=("offset", "up", "one_row", *_BAD),
    ),
    "random_crop_with_box": Row(
        lambda images, boxes: data.random_crop_with_box(_KEY, images, boxes, (3, 3)),
        lambda images, boxes: data.random_crop_with_box(
            _KEY, jnp.asarray(images, jnp.float32), jnp.asarray(boxes), (3, 3)
        ),
        {"images": IMAGES},
        {"boxes": _BOXES},
        must_refuse=_BAD,
    ),
    "extract_features": Row(
        _extracted,
        lambda inputs: 2 * inputs,
        {"inputs": _INPUTS},
        must_refuse=_BAD,
        names=_NAMES,
    ),
    "compose_digits": Row(
        _composed,
        _composed,
        {},
        {"digits": _INKED, "backgrounds": _GROUNDS},
        refuses=("list",),  # It has no 8-bit numbers.
        names=("inputs",),
        skips=("one_row", "empty"),
    ),
    "random_flip": _augmentation(data.random_flip),
    "random_crop": _augmentation(data.random_crop),
    "random_resized_crop": _augmentation(data.random_resized_crop, heavy=True),
    "cutout": _augmentation(lambda key, x: data.cutout(key, x, size=2)),
    "random_grayscale": _augmentation(data.random_grayscale),
    "standard_augmentation": _augmentation(data.standard_augmentation()),
    "compose": _augmentation(data.compose(data.random_flip)),
    "color_jitter": _augmentation(data.color_jitter, clips=True, heavy=True),
    "auto_augment": _augmentation(data.auto_augment, clips=True, heavy=True),
    "rand_augment": _augmentation(data.rand_augment, clips=True, heavy=True),
    "strong_augmentation": _augmentation(
        data.strong_augmentation(), clips=True, heavy=True
    ),
    "simclr_augmentation": _augmentation(
        data.simclr_augmentation(), clips=True, heavy=True
    ),
}

# Functions without arrays of numbers among their arguments.
WITHOUT = {
    "array_names": "a file",
    "check_conflicting": "a data set, which was checked when it was made",
    "check_no_class_overlap": "names",
    "check_text": "is a check itself",
    "colored_mnist": "a data set, which was checked when it was made",
    "corrupted_cifar10": "a data set, which was checked when it was made",
    "embed_texts": "texts",
    "image_files": "a folder",
    "join_halueval": "records",
    "load": "a name",
    "load_biased_folder": "a folder",
    "load_cars": "a folder",
    "load_cub200": "a folder",
    "load_digits": "a name",
    "load_halueval": "a file",
    "load_image_folder": "a folder",
    "load_unlabeled_images": "a folder",
    "load_instructions": "a file",
    "load_located_npz": "a file, whose arrays go through make_located",
    "load_npz": "a file, whose arrays go through make_dataset",
    "load_shards": "a folder",
    "load_picture_table": "a file or a data frame",
    "load_table": "a file or a data frame",
    "load_text_table": "a file or a data frame",
    "read_texts": "a file or a data frame",
    "unlabeled_ids": "a file or a data frame",
    "load_tfds": "a name",
    "open_rows": "a file",
    "open_table_rows": "a file",
    "nested_hallucinations": "records",
    "parse_labels": "strings",
    "photograph_crops": "files",
    "read_arrays": "a file",
    "read_bias": "a file",
    "read_csv": "a file",
    "read_numbered_csv": "a file",
    "read_labels": "a file",
    "save_located_npz": "data sets, which were checked when they were made",
    "save_npz": "data sets, which were checked when they were made",
    "swap_roles": "a data set, which was checked when it was made",
    "tfidf_embeddings": "texts",
    "without_prefix": "names",
    "write_image_shards": "a folder of images",
    "write_shards": "blocks of rows; bad ones are in tests/data/test_shards.py",
}
