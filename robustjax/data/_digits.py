"""The digits bundled with scikit-learn: real data for a demo without downloads."""

from __future__ import annotations

import numpy as np

from robustjax.data._dataset import Dataset, make_dataset, take

TEST_SHARE = 0.2
_SPLIT_SEED = 0


def load_digits(split: str) -> Dataset:
    """Loads 8×8 images of handwritten digits (1,797 examples, ten classes).

    Args:
      split: "train" (1,437 examples) or "test" (360), stratified by class and the
        same on every machine.

    Returns:
      A `Dataset` with uint8 inputs (N, 8, 8, 1), values 0 to 16 scaled to 0 … 255;
      ids are the rows of scikit-learn's array.

    Raises:
      ValueError: another split.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split: got {split!r}, expected 'train' or 'test' for digits")
    from sklearn import datasets, model_selection

    bunch = datasets.load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    everything = make_dataset(
        images,
        bunch.target.astype(np.int32),
        class_names=[str(c) for c in range(10)],
        name=f"digits[{split}]",
    )
    train, test = model_selection.train_test_split(
        np.arange(len(everything)),
        test_size=TEST_SHARE,
        random_state=_SPLIT_SEED,
        stratify=everything.labels,
    )
    return take(everything, np.sort(train if split == "train" else test))
