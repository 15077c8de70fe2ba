"""Every table of README and docs, made anew from the files of experiments/results.

A table of measurements follows a line such as

    <!-- table: cifar10_n; files: label_noise/cifar10_n_small-worse/summary.csv -->

with the name of a builder of this package and the files that it reads; one without
numbers follows `<!-- table: words -->`. After a study was run again,

    python -m tests.printed_tables

prints the tables anew into the pages; `tests/test_printed_tables.py` compares them.
"""

from tests.printed_tables import (
    active_learning,
    bias_conflicts,
    curating,
    dataset_bias,
    features,
    headline,
    importing,
    instruction_selection,
    label_noise,
    pruning,
    results,
    scaling,
    speed,
    sweeps,
)
from tests.printed_tables.cells import BUILDERS

__all__ = [
    "BUILDERS",
    "active_learning",
    "bias_conflicts",
    "curating",
    "dataset_bias",
    "features",
    "headline",
    "importing",
    "instruction_selection",
    "label_noise",
    "pruning",
    "results",
    "scaling",
    "speed",
    "sweeps",
]
