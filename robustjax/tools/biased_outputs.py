"""What biased networks say of all examples, in a file that can be made elsewhere."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from robustjax import checks, data, scores
from robustjax.files import atomic_file
from robustjax.methods.bias import BiasedOutputs
from robustjax.tools.array_files import (
    columns_of,
    in_order_of,
    lacks,
    probabilities_in,
    read_arrays,
    said_of_rows,
)


def read_outputs(
    path: str, dataset: data.Dataset | None
) -> tuple[BiasedOutputs, data.Dataset]:
    """Reads what networks say of all examples.

    Args:
      path: an .npy file of probabilities (N, C), or an .npz file with `pred_probs` and
        maybe more.
      dataset: whose examples and classes are meant; None takes the file's labels.

    Returns:
      Outputs in the data set's order, and the data set (of the file, if there is none:
      it has the probabilities as inputs).

    Raises:
      ValueError: a file that cannot be read or does not fit the data set.
    """
    arrays = read_arrays(path, "probabilities")
    found = {"probabilities": probabilities_in(path, arrays)}
    if dataset is None and "labels" not in arrays:
        raise ValueError(lacks(path, "labels", arrays))
    found |= {
        name: arrays[name]
        for name in ("debiased_pred_probs", "features", "labels")
        if name in arrays
    }
    for name in ("probabilities", "debiased_pred_probs"):
        if name in found:
            found[name] = scores.check_probabilities(found[name], name=name)
    checks.same_length(**found)
    if dataset is None:
        classes = found["probabilities"].shape[1]
        dataset = data.make_dataset(
            found["probabilities"],
            found.pop("labels"),
            ids=arrays.get("ids"),
            class_names=_names_in(path, arrays, classes),
            name=pathlib.Path(path).name,
        )
    else:
        expected = (len(dataset), dataset.num_classes)
        if found["probabilities"].shape != expected:
            raise ValueError(
                f"probabilities: got shape {found['probabilities'].shape}, expected "
                f"{expected}: a row for every example and a column for every class of "
                f"{dataset.name}"
            )
        found = _in_order_of(dataset, found, arrays, path)
        _check_same_labels(found.pop("labels", None), dataset)
    outputs = BiasedOutputs(
        found["probabilities"], found.get("debiased_pred_probs"), found.get("features")
    )
    return outputs, dataset


def _names_in(path: str, arrays: Mapping[str, np.ndarray], classes: int) -> list[str]:
    """The names of classes in a file; their numbers where there are none."""
    if "class_names" not in arrays:
        return [str(number) for number in range(classes)]
    names = [str(name) for name in arrays["class_names"]]
    if len(names) != classes:
        raise ValueError(
            f"class_names: got {len(names)} in {path!r}, expected one for each of "
            f"{classes} columns of probabilities"
        )
    return names


def _in_order_of(
    dataset: data.Dataset,
    found: dict[str, np.ndarray],
    arrays: dict[str, np.ndarray],
    path: str,
) -> dict[str, np.ndarray]:
    """What a file holds by the data set's ids and classes, where it has such."""
    by_class = ("probabilities", "debiased_pred_probs")
    ordered = {
        name: in_order_of(
            dataset,
            said_of_rows(array, arrays, by_class=name in by_class),
            path=path,
            name=name,
        )
        for name, array in found.items()
    }
    names = said_of_rows(found["probabilities"], arrays, by_class=True).class_names
    if names is not None and "labels" in ordered:
        known = checks.labels("probabilities[labels]", ordered["labels"], len(names))
        columns = columns_of(dataset, names, path=path, name="probabilities")
        ordered["labels"] = np.argsort(columns)[known]
    return ordered


def _check_same_labels(labels: np.ndarray | None, dataset: data.Dataset) -> None:
    """Networks that saw other labels say nothing of these."""
    if labels is None:
        return
    known = checks.labels("probabilities[labels]", labels, dataset.num_classes)
    differ = np.flatnonzero(known != dataset.labels)
    if differ.size:
        raise ValueError(
            f"probabilities: its labels differ from those of {dataset.name} in "
            f"{differ.size} example(s) (first: id {dataset.ids[differ[0]].item()!r}), "
            "expected what was said of the same labels"
        )


def save_outputs(
    path: pathlib.Path, outputs: BiasedOutputs, dataset: data.Dataset
) -> None:
    """Keeps what was trained, for --probabilities."""
    arrays: dict[str, Any] = {
        "pred_probs": outputs.probabilities,
        "debiased_pred_probs": outputs.debiased_probabilities,
        "features": outputs.features,
        "labels": dataset.labels,
        "ids": dataset.ids,
        "class_names": np.array(dataset.class_names),
    }
    # An open file: given a name, NumPy may add to it.
    with atomic_file(path) as file:
        np.savez(file, **{k: v for k, v in arrays.items() if v is not None})
