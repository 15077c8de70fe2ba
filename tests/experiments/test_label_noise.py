"""The noisy-label study: bad flags, what is measured, and what is kept of examples."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import orbax.checkpoint as ocp
import pytest
import scipy.special
import sklearn.metrics

from experiments.studies.label_noise import configs, setup
from experiments.studies.label_noise.method_presets import METHOD_PRESETS
from experiments.studies.label_noise.presets import PRESETS, PUBLISHED
from experiments.studies.label_noise.study import STUDY
from experiments.study.run import Request, run_study
from experiments.study.table import Table
from robustjax import data
from robustjax.methods import entries
from robustjax.tools.method_options import choose_methods
from robustjax.training import StopRequest

SMALL = {"dataset": "digits", "epochs": 3, "repeats": 2, "hidden": (16,)}
VALIDATED = {"validation_fraction": 0.1}
COMPARED = Request(
    ("ce", "elr", "mix=divide_mix"),
    given={
        **SMALL,
        **VALIDATED,
        "options": ("elr.strength=2", "mix.warmup_epochs=1"),
    },
)


def run(tmp_path, methods=("ce",), preset=None, **given):
    request = Request(methods, preset, {**SMALL, **given}, run_dir=str(tmp_path))
    return run_study(STUDY, request, StopRequest())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished small comparison."""
    folder = str(tmp_path_factory.mktemp("runs"))
    request = dataclasses.replace(COMPARED, run_dir=folder)
    return run_study(STUDY, request, StopRequest())


def rows_of(folder, name):
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


def columns_of(folder):
    """`examples.csv` as arrays (R, N) of its columns."""
    rows = rows_of(folder, "examples.csv")
    arrays = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    arrays = {key: array.reshape(2, -1) for key, array in arrays.items()}
    return {
        key: array if key == "id" else array.astype(float)
        for key, array in arrays.items()
    }


def state_of(folder, method):
    """The last checkpoint of both repeats, as nested dictionaries of arrays."""
    path = folder / method / "repeats_0-1" / "checkpoints" / "3" / "state"
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "mnits"}, "preset: unknown 'mnits' .*did you mean 'mnist'"),
        ({"methods": ("elrr",)}, "methods: unknown 'elrr' .*did you mean 'elr'.*known"),
        ({"methods": ()}, "methods: got none"),
        ({"methods": ("ce", "ce")}, "methods: got ce twice, expected each name once"),
        ({"dataset": "mnits"}, "dataset: tfds knows no 'mnits'"),
        ({"noise": "uniforme"}, "noise: unknown 'uniforme' .*did you mean 'uniform'"),
        ({"noise_rate": 1.2}, r"noise_rate: got 1.2, expected a number in \[0, 1\]"),
        ({"noise_count": "all"}, "noise_count: unknown 'all'; known: exact"),
        ({"noise": "key"}, "label_set: got None"),
        (
            {"noisy_labels": "a.csv"},
            "noisy_labels: got a.csv with noise=symmetric, expected it with noise=file",
        ),
        ({"label_set": "worse"}, "label_set: got worse with .*, expected .* noise=key"),
        ({"noise": "none", "noise_rate": 0.2}, "noise_rate: got 0.2 with noise=none"),
        (
            {"noise": "pairflip", "noise_include_true": True},
            "noise_include_true: got True with noise=pairflip, .*=symmetric or uniform",
        ),
        (
            {"noise": "instance", "noise_count": "exact"},
            "noise_count: got exact with noise=instance",
        ),
        ({"noise_scope": "all"}, "noise_scope: got all with .*, .* noise=class_flip"),
        (
            {"noise": "class_flip", "noise_scope": "all", "noise_rate": 0.2},
            "noise_rate: got 0.2 with noise_scope=all, which redraws every label",
        ),
        ({"noise": "file"}, "noisy_labels: got None"),
        ({"network": "resnet19"}, "network: unknown 'resnet19' .*resnet18"),
        ({"dtype": "float16"}, "dtype: unknown 'float16' .*known: float32, bfloat16"),
        (
            {"augment": "crop", "standardize": True},
            "augment: got 'crop' for inputs .* standardize=True, expected none unless",
        ),
        ({"augment": "mirror"}, "augment: unknown 'mirror'"),
        ({"batch_size": 4096}, "batch_size: got 4096, expected at most .*1437"),
        ({"epochs": 0}, "epochs: got 0"),
        ({"repeats": 0}, "repeats: got 0"),
        ({"optimizer": "lion"}, "optimizer: unknown 'lion'"),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum: got 0.5 with optim"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction: got 1.0"),
        ({"validation_fraction": 1e-4}, "got 0.0001 of 1437 examples, expected at l"),
        (
            {"options": ("strength=1",)},
            "options: ce has no 'strength'; it has none",
        ),
        (
            {"methods": ("elr",), "options": ("decay=1.5",)},
            r"options .elr.decay.: got 1.5, expected a number in \[0, 1\]",
        ),
        (
            {"methods": ("elr",), "options": ("decay",)},
            "options: got 'decay', expected method.name=value",
        ),
        (
            {"methods": ("ce", "elr"), "options": ("decay=0.5",)},
            "for several methods, expected method.decay=0.5",
        ),
        (
            {"methods": ("divide_mix",), "epochs": 2},
            r"warmup_epochs\): got 5, expected a number in \[0, 1\]",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


def test_networks_for_images_refuse_vectors(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    points = data.make_dataset(vectors, np.arange(40) % 2)
    path = tmp_path / "vectors.npz"
    data.save_npz(path, train=points, test=points)
    options = {"dataset": str(path), "batch_size": 8}
    with pytest.raises(ValueError, match="network: 'resnet18' needs images, got vec"):
        run(tmp_path / "runs", network="resnet18", **options)
    with pytest.raises(ValueError, match="augment: got 'crop' for inputs of shape .3,"):
        run(tmp_path / "runs", augment="crop", **options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_what_is_measured(finished):
    assert finished.name == "digits-symmetric-50"
    settings = json.loads((finished / "config.json").read_text())["config"]["methods"]
    assert settings["elr"]["options"] == ["strength=2"]
    assert settings["mix"]["method"] == "divide_mix"
    # What is given goes over the preset, which goes over the method's defaults.
    mix = settings["mix"]["options"]
    assert {"warmup_epochs=1", "num_views=1"} <= set(mix)
    table = Table.read(finished)
    assert table.column("method") == ["ce", "elr", "mix"]
    rows = rows_of(finished, "summary.csv")
    assert [row["method"] for row in rows] == ["ce", "elr", "mix"]
    for row, setting in zip(rows, table.settings, strict=True):
        own = {"method": row["method"]}
        test, held_out = (
            table.curve(key, **own).values
            for key in ("test_accuracy", "validation_accuracy")
        )
        assert test.shape == (2, 3)
        assert row["epochs"] == "3"
        values = setting.values
        np.testing.assert_allclose(values["last"], test[:, -1])
        np.testing.assert_allclose(values["best_on_test"], test.max(axis=1))
        chosen = test[np.arange(2), held_out.argmax(axis=1)]
        np.testing.assert_allclose(values["at_best_validation"], chosen)
        assert "last_10" not in values, "it would be the mean of all epochs"
        last = 100 * test[:, -1]
        assert float(row["last_mean"]) == pytest.approx(last.mean(), abs=1e-4)
        assert float(row["last_std"]) == pytest.approx(last.std(ddof=1), abs=1e-4)
    for name in ("accuracy.png", "memorisation.png", "examples.png"):
        assert (finished / name).read_bytes().startswith(b"\x89PNG")
    text = STUDY.report(table)
    assert "at best validation" in text
    assert "After the last epoch" in text


def test_what_is_kept_of_examples(finished):
    shared = configs.resolve(
        choose_methods(COMPARED.methods, entries("label_noise")), None, COMPARED.given
    )["ce"].config
    study = setup.prepare(shared)
    found = columns_of(finished)
    np.testing.assert_array_equal(found["repeat"][:, 0], [0, 1])
    for repeat in range(2):
        np.testing.assert_array_equal(found["id"][repeat], study.train.ids.astype(str))
        np.testing.assert_array_equal(found["true"][repeat], study.train.labels)
    np.testing.assert_array_equal(found["given"], study.given)
    wrong = found["given"] != found["true"]
    assert 0.4 < wrong.mean() < 0.6
    table = Table.read(finished)
    for method in ("ce", "elr", "mix"):
        predicted = found[f"{method}.predicted"]
        probability = found[f"{method}.given_probability"]
        # Everyone is watched here, so that both are of the same examples.
        values = table.one(method=method).values
        for key, label in (("noisy_correct", "true"), ("noisy_memorized", "given")):
            hit = (predicted == found[label]) & wrong
            share = hit.sum(axis=1) / wrong.sum(axis=1)
            np.testing.assert_allclose(values[key], share, atol=1e-6)
        agrees = predicted == found["given"]
        assert (probability[agrees] >= 0.1).all()
        assert (probability[~agrees] <= 0.5).all()
    # Cross-entropy's, by hand from its last checkpoint.
    params = state_of(finished, "ce")["params"]
    inputs = study.train.inputs.reshape(len(study.train), -1)
    for repeat in range(2):
        first, head = params["hidden0"], params["head"]
        units = np.maximum(inputs @ first["kernel"][repeat] + first["bias"][repeat], 0)
        logits = units @ head["kernel"][repeat] + head["bias"][repeat]
        shares = scipy.special.softmax(logits, axis=1)
        given = study.given[repeat]
        np.testing.assert_allclose(
            found["ce.given_probability"][repeat],
            shares[np.arange(len(given)), given],
            atol=1e-4,
        )
        right = found["ce.predicted"][repeat] == shares.argmax(axis=1)
        assert right.mean() > 0.999
    # ELR's targets and DivideMix's mixture are what the methods remember.
    count = len(study.train)
    target = state_of(finished, "elr")["loss_state"]["rows"][1]["target"]
    own = np.take_along_axis(target[:, :count], study.given[..., None], axis=2)
    np.testing.assert_allclose(found["elr.target_of_given"], own[..., 0], atol=1e-5)
    clean = state_of(finished, "mix")["loss_state"]["rows"]["clean_probability"]
    want = clean[:, :count].mean(axis=2)
    np.testing.assert_allclose(found["mix.clean_probability"], want, atol=1e-5)
    division = table.curve("division", method="mix").values
    assert division.shape == (2, 3)
    for repeat in range(2):
        areas = [
            sklearn.metrics.roc_auc_score(~wrong[repeat], clean[repeat, :count, own])
            for own in range(2)
        ]
        assert division[repeat, -1] == pytest.approx(np.mean(areas), abs=1e-6)
        assert np.mean(areas) > 0.55
    assert table.curve("division", method="elr") is None
    assert (finished / "division.png").read_bytes().startswith(b"\x89PNG")
    for name in ("elr.target_of_given", "mix.clean_probability"):
        assert found[name][~wrong].mean() > found[name][wrong].mean() + 0.05, name
    assert set(found) - {"id", "repeat", "given", "true"} == {
        *(f"{method}.predicted" for method in ("ce", "elr", "mix")),
        *(f"{method}.given_probability" for method in ("ce", "elr", "mix")),
        "elr.target_of_given",
        "mix.clean_probability",
    }


@pytest.mark.slow
def test_groups_of_repeats_change_nothing_but_the_order_of_work(finished, tmp_path):
    folder = run(tmp_path, parallel_repeats=1, **VALIDATED)
    assert (folder / "ce" / "repeats_1-1").is_dir()
    together, apart = (Table.read(path).one(method="ce") for path in (finished, folder))
    assert together.repeats == apart.repeats == (0, 1)
    for key, values in together.values.items():
        # Rounding differs, and with it now and then a prediction.
        np.testing.assert_allclose(apart.values[key], values, atol=0.005, err_msg=key)
    first, second = columns_of(finished), columns_of(folder)
    for key in ("repeat", "id", "given", "true"):
        np.testing.assert_array_equal(first[key], second[key])
    key = "ce.given_probability"
    np.testing.assert_allclose(first[key], second[key], atol=1e-3)


def test_every_method_preset_of_ours_is_reached_by_its_name():
    """Those of published data sets are in the table of `test_published_presets`."""
    for name in METHOD_PRESETS:
        method, scope, *kind = name.split("/")
        assert scope in PRESETS
        if scope in PUBLISHED:
            continue
        noise = kind[0].partition("-") if kind else ("", "", "")
        fields = {"dataset": PRESETS[scope].fields["dataset"]}
        if noise[0] in ("symmetric", "asymmetric", "pairflip"):
            fields["noise"] = noise[0]
        elif kind:
            fields["label_set"] = kind[0]
        else:
            fields["noise"] = "none"
        if noise[2]:
            fields["noise_rate"] = int(noise[2]) / 100
        chosen = choose_methods((method,), entries("label_noise"))
        found = configs.resolve(chosen, scope, fields)[method]
        assert found.method_preset == name


@pytest.mark.slow
def test_streamed_shards_give_what_arrays_in_memory_give(tmp_path):
    for split in ("train", "test"):
        digits = data.load("digits", split)
        folder = tmp_path / "set" / split
        folder.parent.mkdir(exist_ok=True)
        data.write_shards(folder, [digits.inputs], digits.labels, shard_bytes=2**15)
    given = {"dataset": str(tmp_path / "set"), "epochs": 2, "watch_examples": 50}
    found = [
        run(tmp_path / str(stream), ("sop",), stream=stream, **given)
        for stream in (True, False)
    ]
    for name in ("summary.csv", "examples.csv"):
        streamed, resident = (rows_of(folder, name) for folder in found)
        assert streamed == resident
    with pytest.raises(ValueError, match="standardize: got True for the shards of"):
        run(tmp_path / "never", standardize=True, **given)
    next((tmp_path / "set" / "train").glob("inputs-00001.npy")).unlink()
    with pytest.raises(ValueError, match="dataset: cannot read .*inputs-00001"):
        run(tmp_path / "never", stream=True, **given)
    assert not (tmp_path / "never").exists()
