"""Small data sets and runs of the study of features."""

from __future__ import annotations

import csv

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.features import setup
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.options import published
from experiments.studies.features.programs import build_network
from experiments.studies.features.study import STUDY
from experiments.study.run import Request, run_study
from robustjax import data
from robustjax.training import StopRequest, init_variables

RUN = {
    "epochs": 2,
    "repeats": 2,
    "parallel_repeats": 2,
    "batch_size": 16,
    "num_examples": (16, 24),
    "watch_every_epochs": 1,
    "checkpoint_every_epochs": 1,
    "ood_count": 40,
    "ood_test_count": 12,
    "hidden": (8,),
}


MLP = {**RUN, "network": "mlp"}


CNN = {**RUN, "network": "small_cnn", "channels": (4, 6), "hidden": ()}


def images(count, classes, size, channels, seed):
    """Noise with a bright row whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = rng.integers(0, 80, (count, size, size, channels), np.uint8)
    pixels[np.arange(count), 2 * labels] += 150
    return pixels, labels


def save_images(path, names, *, size=8, channels=3, count=60, seed=0):
    splits = {}
    for number, split in enumerate(("train", "test")):
        pixels, labels = images(count, len(names), size, channels, seed + number)
        splits[split] = data.make_dataset(pixels, labels, class_names=names)
    data.save_npz(path, **splits)
    return str(path)


def run(tmp_path, sets, methods=(), name="run", **given):
    fields = {"dataset": sets["target"], "ood": (sets["other"],), **MLP, **given}
    request = Request(methods, None, fields, run_dir=str(tmp_path), name=name)
    return run_study(STUDY, request, StopRequest())


def composed(sets, task, **given):
    return {
        **CNN,
        "task": task,
        "dataset": "composed",
        "digits": sets["digits"],
        "backgrounds": sets["backgrounds"],
        "image_size": 12,
        "train_count": 48,
        "test_count": 20,
        "ood": ("backgrounds",),
        "num_examples": (16,),
        "options": published("taufe", "boxes"),
        **given,
    }


def read_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def study_of(sets, **given):
    study = setup.prepare(
        FeatureDebiasingConfig(
            **{"dataset": sets["target"], "ood": (sets["other"],), **CNN, **given}
        )
    )
    network = build_network(study)
    sample = network.preprocess(jnp.asarray(study.target.test.inputs[:1]))
    params, model_state = init_variables(network.model, jax.random.key(1), sample)
    return study, network, params, model_state


def applied(network, params, inputs, method):
    inputs = network.preprocess(jnp.asarray(inputs))
    return network.model.apply({"params": params}, inputs, method=method)
