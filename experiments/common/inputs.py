"""From the flags of studies to features and human labels."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from experiments.study.flags import errors_name_flags
from robustjax import checks, data, models
from robustjax.output_paths import check_output_folder
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load
from robustjax.training import choose_execution, progress_bar

NETWORKS = ("resnet18", "resnet50", "resnet101")


def arrays_of(train: data.Dataset, test: data.Dataset) -> dict[str, np.ndarray]:
    """What results depend on of the data, by name, for a run's digests.

    Of inputs that are read from files, the digest that their shards carry: to read
    them all may take an hour.
    """
    return {
        "training inputs": _identity(train.inputs),
        "training labels": train.labels,
        "test inputs": _identity(test.inputs),
        "test labels": test.labels,
    }


def _identity(inputs: np.ndarray | data.FileRows) -> np.ndarray:
    if isinstance(inputs, data.FileRows):
        return np.frombuffer(bytes.fromhex(inputs.digest()), np.uint8)
    return inputs


def load_human_labels(
    noise: str, label_set: str | None, name: str, split: str, *, data_dir: str | None
) -> data.Dataset | None:
    """The training set with the human labels that flags name; None without noise=key.

    Args:
      noise: its model.
      label_set: such as "worse", for the tfds feature `worse_label`.
      name: of the data set.
      split: for training.
      data_dir: the tfds folder, see `data_folder`.

    Raises:
      ValueError: no label set, or one that the data set lacks.
    """
    if noise != "key":
        return None
    if label_set is None:
        raise ValueError("label_set: got None, expected one, such as worse (noise=key)")
    with errors_name_flags(label_key="label_set"):
        return load(
            name,
            split,
            data_dir=data_dir,
            label_key=f"{label_set.removesuffix('_label')}_label",
        )


@dataclasses.dataclass(frozen=True)
class FeatureOptions:
    """Flags of feature extraction.

    Attributes:
      network: one of `NETWORKS`, or None to use the inputs as they are.
      weights: file of a state dict.
      image_size: that images are resized to; 0 keeps theirs.
      batch_size: images per call.
      cache_dir: where extracted features are kept.
    """

    network: str | None
    weights: str | None
    image_size: int
    batch_size: int
    cache_dir: str

    def check(self) -> None:
        """Raises `ValueError` for a bad flag, before any data is loaded."""
        if self.network is None:
            if self.weights is not None:
                raise ValueError(
                    f"weights: got {self.weights} without --features, expected the "
                    f"network that they are of, one of {', '.join(NETWORKS)}"
                )
            return
        checks.one_of("features", self.network, NETWORKS)
        if self.weights is None:
            raise ValueError(
                f"weights: got None, expected the file of {self.network}'s state dict "
                "(.safetensors, .npz or .pth), say torchvision's or timm's"
            )
        checks.at_least("feature_image_size", self.image_size, 0)
        checks.at_least("feature_batch_size", self.batch_size, 1)
        check_output_folder("feature_cache", self.cache_dir)


def to_features(
    splits: tuple[data.Dataset, ...], options: FeatureOptions
) -> tuple[data.Dataset, ...]:
    """Replaces images by a frozen network's features, where one is named.

    Raises:
      ValueError: weights that cannot be read or do not fit the network.
    """
    if options.network is None:
        return splits
    assert options.weights is not None
    function, fingerprint = models.resnet_features(
        int(options.network.removeprefix("resnet")),
        options.weights,
        image_size=options.image_size or None,
        convolution=choose_execution(convolutional=True).convolution,
    )
    found = []
    for split in splits:
        with progress_bar(len(split), options.network, unit="image") as bar:

            def advance(done: int, total: int) -> None:
                bar.update(done - bar.n)

            found.append(
                data.extract_features(
                    split,
                    function,
                    cache_dir=pathlib.Path(options.cache_dir),
                    fingerprint=fingerprint,
                    batch_size=options.batch_size,
                    progress=advance,
                    report=say,
                )
            )
    return tuple(found)
