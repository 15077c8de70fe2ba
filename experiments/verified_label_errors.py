"""How many of the label errors that people have verified are found.

    python -m experiments.verified_label_errors --folder=…/label_errors

The folder holds, per data set, the files of cleanlab's "label-errors" collection for
its test set: `<name>_test_set_pyx.npy`, `<name>_test_set_original_labels.npy` and
`<name>_mturk.json` (Northcutt, Athalye, Mueller, "Pervasive Label Errors in Test Sets
Destabilize Machine Learning Benchmarks", NeurIPS 2021). An error is verified where
fewer than three of five people chose the given label.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import numpy as np

from experiments.study.flags import define_flags, read_config
from experiments.study.launch import launch
from robustjax import scores
from robustjax.output_paths import check_output_file
from robustjax.tools.command.fields import option
from robustjax.tools.command.output import say
from robustjax.tools.tables import text_table
from robustjax.training import StopRequest, write_csv


@dataclasses.dataclass(frozen=True)
class VerifiedConfig:
    """The flags."""

    folder: str | None = option(
        None, "Where the files are; $ROBUSTJAX_DATA/label_errors if set."
    )
    top: int = option(100, "Lowest scores that are counted.", low=1)
    out: str | None = option(None, "Also write what is counted to this CSV file.")


DATASETS = ("mnist", "cifar10")
_VOTES = 3


def verified_errors(path: pathlib.Path) -> np.ndarray:
    """The test indices whose given label most people rejected."""
    records = json.loads(path.read_text())
    return np.array([r["id"] for r in records if r["mturk"]["given"] < _VOTES], int)


def count_found(
    labels: np.ndarray, probabilities: np.ndarray, errors: np.ndarray, top: int
) -> list[tuple[str, int, int]]:
    """(rule, examples it names, verified errors among them) of every rule."""
    found: list[tuple[str, int, int]] = []
    for rule in scores.FILTERS:
        flagged = scores.find_label_issues(labels, probabilities, filter_by=rule)
        named = np.flatnonzero(flagged)
        found.append((rule, len(named), int(np.isin(named, errors).sum())))
    for method in scores.QUALITY_METHODS:
        quality = scores.label_quality_scores(labels, probabilities, method=method)
        named = np.argsort(quality, kind="stable")[:top]
        count = int(np.isin(named, errors).sum())
        found.append((f"lowest {method}", len(named), count))
    return found


def main(stop: StopRequest) -> None:
    """Prints a table per data set, and writes one file of all if asked to."""
    del stop
    config = read_config(VerifiedConfig)
    root = os.environ.get("ROBUSTJAX_DATA")
    default = None if root is None else os.path.join(root, "label_errors")
    given = config.folder or default
    if given is None or not pathlib.Path(given).is_dir():
        raise ValueError(f"folder: got {given!r}, expected the folder of the files")
    folder = pathlib.Path(given)
    counts: list[dict[str, object]] = []
    if config.out is not None:
        check_output_file("out", config.out)
    for name in DATASETS:
        probabilities = np.load(folder / f"{name}_test_set_pyx.npy")
        labels = np.load(folder / f"{name}_test_set_original_labels.npy").astype(int)
        errors = verified_errors(folder / f"{name}_mturk.json")
        rows = count_found(labels, probabilities, errors, config.top)
        say(f"\n{name}: {len(errors)} verified errors among {len(labels):,} labels")
        header = ["rule", "named", "verified"]
        say(text_table(header, [[r, str(n), str(v)] for r, n, v in rows]))
        counts += [
            {
                "dataset": name,
                "rule": rule,
                "named": named,
                "verified": verified,
                "all_verified": len(errors),
            }
            for rule, named, verified in rows
        ]
    if config.out is not None:
        write_csv(config.out, counts)


if __name__ == "__main__":
    # Not where it is imported: names of flags are of a whole process.
    define_flags(VerifiedConfig)
    launch(main, VerifiedConfig)
