"""Small data sets and runs of the open-set study."""

from __future__ import annotations

import csv

import numpy as np

from experiments.studies.active_learning import (
    setup,
)
from experiments.studies.active_learning.config import OpenSetConfig
from experiments.studies.active_learning.study import STUDY
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest
from tests.harness.runs import run_of

RUN = run_of("active_learning").fields


def images(count, classes, size, seed):
    """Noise with a bright row whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = rng.integers(0, 80, (count, size, size, 3), np.uint8)
    pixels[np.arange(count), labels] += 150
    return pixels, labels


def used(methods, given):
    """The fields of a small run without those that would change nothing in it."""
    fields = {**RUN, **given}
    contrastive = {"ccal", "sum", "product", "mqnet"} & set(methods)
    divided = {"class_split", "in_classes"} & set(given)
    return {
        name: value
        for name, value in fields.items()
        if name in given
        or (
            (contrastive or not name.startswith("embedding_"))
            and not (divided and name == "num_in_classes")
        )
    }


def run(folder, sets, methods=("random", "conf"), *, stop=None, **given):
    fields = {"dataset": sets["target"], **used(methods, given)}
    request = Request(methods, None, fields, run_dir=str(folder), name="study")
    return run_study(STUDY, request, stop or StopRequest())


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def data_of(sets, **given):
    config = OpenSetConfig(**{"dataset": sets["target"], **RUN, **given})
    return setup.prepare(config)
