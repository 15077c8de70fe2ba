"""The pruning study: bad flags, what it leaves behind, and its re-labelling models."""

from __future__ import annotations

import csv
import json

import jax
import numpy as np
import pytest

from experiments.studies.pruning import programs
from experiments.studies.pruning.study import STUDY
from experiments.study.records import read_arrays, read_cells
from experiments.study.run import Request, run_study
from experiments.study.table import Table
from robustjax import data
from robustjax.training import InterruptedRunError, StopRequest, as_float

SMALL = {
    "hidden": (16,),
    "epochs": 2,
    "warmup_epochs": 2,
    "batch_size": 16,
    "repeats": 2,
    "fractions": (0.25, 0.5),
    "methods": ("uniform", "full", "ccs", "prune4rel_balanced"),
    "threshold": 0.8,
    "relabeler": "ce",
}


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A file of three clouds of points."""
    rng = np.random.default_rng(0)
    parts = {}
    for name, size in (("train", 120), ("test", 60)):
        labels = np.arange(size) % 3
        inputs = rng.normal(size=(size, 6)).astype(np.float32)
        inputs[:, :3] += 2 * np.eye(3, dtype=np.float32)[labels]
        parts[name] = data.make_dataset(inputs, labels)
    path = tmp_path_factory.mktemp("data") / "points.npz"
    data.save_npz(path, **parts)
    return str(path)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A file of small gray images."""
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    inputs = rng.integers(0, 100, (64, 8, 8, 1)).astype(np.uint8)
    inputs[labels == 1, :4] += 100
    images = data.make_dataset(inputs, labels)
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    data.save_npz(path, train=images, test=images)
    return str(path)


def run(tmp_path, dataset, stop=None, name="run", preset=None, **given):
    fields = {**SMALL, "dataset": dataset, **given}
    request = Request((), preset, fields, run_dir=str(tmp_path), name=name)
    return run_study(STUDY, request, stop or StopRequest())


def attached(folder, event):
    """(repeat, record, arrays) of all files of a kind."""
    for record in (r for cell in read_cells(folder).values() for r in cell):
        if record["event"] == event:
            repeat = int(record["cell"].rpartition("_")[2])
            yield repeat, record, read_arrays(folder, record)


def subsets_of(folder):
    """(method, fraction, repeat) -> the arrays of a subset."""
    return {
        (record["method"], record["fraction"], repeat): arrays
        for repeat, record, arrays in attached(folder, "subset")
    }


def evaluations_of(folder):
    """Repeat -> what the warm-up says of all examples."""
    return {repeat: found for repeat, _, found in attached(folder, "evaluation")}


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, points):
    """The folder of a finished small study."""
    return run(tmp_path_factory.mktemp("runs"), points)


@pytest.mark.slow
def test_inputs_that_are_streamed_from_shards_give_the_same(tmp_path, points, finished):
    for split in ("train", "test"):
        whole = data.load(points, split)
        blocks = np.array_split(whole.inputs, 3)
        data.write_shards(tmp_path / "set" / split, blocks, whole.labels)
    chosen = {"methods": ("uniform",), "fractions": (0.5,), "repeats": 1}
    folder = run(tmp_path, str(tmp_path / "set"), stream=True, **chosen)
    found = read_rows(folder / "repeats.csv")
    assert found
    assert found == [
        row
        for row in read_rows(finished / "repeats.csv")
        if (row["method"], row["fraction"], row["repeat"]) == ("uniform", "0.5", "0")
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "mnist_smal"}, "preset: unknown .*did you mean 'mnist_small'"),
        ({"methods": ()}, "methods: got none"),
        ({"methods": ("unifrom",)}, "methods: unknown 'unifrom' .*did you mean 'unif"),
        (
            {"methods": ("ssp", "ssp")},
            "methods: got ssp twice, expected each",
        ),
        ({"fractions": ()}, "fractions: got none"),
        ({"fractions": (0.5, 1.5)}, r"fractions: got .*expected a number in \(0, 1\]"),
        ({"fractions": (0.5, 0.5)}, "fractions: got .* expected each once"),
        ({"fractions": (0.5, 0.5000001)}, "fractions: got .* expected each once"),
        ({"fractions": (0.95,)}, "fractions: got 0.95, expected at most 0.9, which"),
        ({"fractions": (0.001,)}, "fraction: got 0.001 of 120 examples, which rounds"),
        ({"fractions": (0.1,)}, "batch_size: got 16, expected at most .* examples, 12"),
        ({"relabeler": "elr"}, "relabeler: unknown 'elr'; known: sop_plus, divide_mix"),
        ({"warmup_epochs": 3}, r"warmup_epochs: got 3, expected a number in \[1, 2\]"),
        ({"threshold": 1.5}, r"threshold: got 1.5, expected a number in \[0, 1\]"),
        ({"temperature": 0.0}, "temperature: got 0.0"),
        ({"confidence": "max"}, "confidence: unknown 'max'"),
        *(
            (
                {"methods": (method,), "options": (f"{method}.{name}={value}",)},
                rf"options .{method}.{name}.: (unknown '{value}'|got {value})",
            )
            for method, name, value in (
                ("prune4rel", "ranking", "exact"),
                ("prune4rel_balanced", "balance", "odd"),
                ("prune4rel", "threshold", "1.5"),
                ("ssp", "keep", "far"),
                ("ssp", "clusters", "0"),
                ("forgetting", "never_learned", "some"),
                ("ccs", "hard_cutoff", "1.0"),
                ("ccs", "strata", "0"),
            )
        ),
        (
            {"options": ("ccs.hard_cutof=0.2",)},
            "options: ccs has no 'hard_cutof' .did you mean 'hard_cutoff'",
        ),
        ({"options": ("ssp.keep=easy",)}, "options: unknown 'ssp'; known: uniform, "),
        ({"evaluation_view": "weak"}, "evaluation_view: unknown 'weak'"),
        ({"evaluation_view": "strong"}, "augment, evaluation_view: got 'none' and 'st"),
        ({"second_view": "none"}, "second_view: got none with relabeler=ce"),
        (
            {"relabeler": "sop_plus", "second_view": "weak"},
            "second_view: got weak for inputs of shape .*, expected it for images",
        ),
        ({"ssp_features": "x.npy"}, "ssp_features: got a file, expected ssp among"),
        ({"noise": "key"}, "label_set: got None"),
        ({"network": "resnet19"}, "network: unknown 'resnet19'"),
        ({"options": ("ce.q=1",)}, "options: ce has no 'q'"),
        ({"options": ("lr_u=1",)}, "for several methods, expected method.lr_u=1"),
        (
            {"relabeler": "sop_plus", "options": ("sop_plus.lr_u=-1",)},
            r"options .sop_plus.lr_u.: got -1",
        ),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum: got 0.5 with optim"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, points, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, points, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


def test_features_of_another_data_set_are_refused(tmp_path, points):
    path = tmp_path / "features.npy"
    np.save(path, np.ones((7, 3), np.float32))
    with pytest.raises(ValueError, match="ssp_features: got 7 rows, expected the 120"):
        run(tmp_path / "runs", points, methods=("ssp",), ssp_features=str(path))


def test_leaves_what_people_look_at(finished):
    for name in ("accuracy.png", "bins.png", "speed.csv"):
        assert (finished / name).stat().st_size > 0
    config = json.loads((finished / "config.json").read_text())["config"]
    assert config["relabeler"] == "ce"
    rows = read_rows(finished / "summary.csv")
    cells = [(row["method"], row["fraction"]) for row in rows]
    pruning = ("uniform", "ccs", "prune4rel_balanced")
    assert cells == [(m, f) for f in ("0.25", "0.5") for m in pruning] + [("full", "1")]
    assert [row["examples"] for row in rows] == ["30"] * 3 + ["60"] * 3 + ["120"]
    assert all(row["repeats"] == "2" for row in rows)


def test_the_summary_is_that_of_subsets_and_trainings(finished):
    """%Noisy, Eq. 5.8 and accuracies, computed again from what was stored."""
    subsets, evaluations = subsets_of(finished), evaluations_of(finished)
    examples = read_rows(finished / "examples.csv")
    table = Table.read(finished)
    bins = read_rows(finished / "bins.csv")
    for row in read_rows(finished / "summary.csv"):
        where = {"method": row["method"], "fraction": float(row["fraction"])}
        found = {name: [] for name in ("noisy_share", "objective", "last", "best")}
        for repeat, evaluation in evaluations.items():
            indices = subsets[*where.values(), repeat]["indices"]
            assert len(set(indices.tolist())) == len(indices) == int(row["examples"])
            mine = [r for r in examples if r["repeat"] == str(repeat)]
            wrong = np.array([r["given"] != r["true"] for r in mine])
            found["noisy_share"].append(100 * wrong[indices].mean())
            p, f = (evaluation[name] for name in ("probabilities", "features"))
            unit = f / np.linalg.norm(f, axis=1, keepdims=True)
            near = (1 + unit @ unit[indices].T) / 2
            near = np.where(near > SMALL["threshold"], near, 0)
            confidence = p.max(axis=1)[indices]
            found["objective"].append(np.tanh(near @ confidence).sum())
            accuracies = [
                100 * r["test_accuracy"]
                for r in table.records("epoch")
                if {**r, **where, "repeat": repeat} == r
            ]
            assert len(accuracies) == SMALL["epochs"]
            found["last"].append(accuracies[-1])
            found["best"].append(max(accuracies))
        for name, values in found.items():
            mean, deviation = np.mean(values), np.std(values, ddof=1)
            assert float(row[f"{name}_mean"]) == pytest.approx(mean, rel=1e-4)
            assert float(row[f"{name}_std"]) == pytest.approx(
                deviation, rel=1e-2, abs=1e-3
            )
        binned = [
            float(b["accuracy_mean"])
            for b in bins
            if (b["method"], float(b["fraction"])) == tuple(where.values())
        ]
        assert len(binned) == 15
        accuracy = float(row["relabel_accuracy_mean"])
        assert np.mean(binned) == pytest.approx(accuracy, abs=1e-3)


def test_examples_say_who_kept_them_when(finished):
    rows = read_rows(finished / "examples.csv")
    assert len(rows) == 2 * 120

    def column(repeat, name):
        mine = [row for row in rows if row["repeat"] == str(repeat)]
        return np.array([float(row[name] or "nan") for row in mine])

    for (method, fraction, repeat), subset in subsets_of(finished).items():
        indices = subset["indices"]
        for name, values in (
            ("order", np.arange(len(indices))),
            ("gain", subset["gains"]),
        ):
            want = np.full(120, np.nan)
            want[indices] = values
            got = column(repeat, f"{method}_{fraction:g}.{name}")
            np.testing.assert_allclose(got, want, rtol=1e-5)
    for repeat, evaluation in evaluations_of(finished).items():
        np.testing.assert_array_equal(column(repeat, "true"), np.arange(120) % 3)
        for name, of in (
            ("loss", "losses"),
            ("margin", "margin"),
            ("forgetting", "forgetting"),
        ):
            got = column(repeat, f"warmup.{name}")
            np.testing.assert_allclose(got, evaluation[of], rtol=1e-5)
        given = column(repeat, "given").astype(int)
        probability = evaluation["probabilities"][np.arange(120), given]
        loss = column(repeat, "warmup.loss")
        np.testing.assert_allclose(np.exp(-loss), probability, rtol=1e-4)


def test_balanced_subsets_are_balanced_and_smaller_ones_begin_larger_ones(finished):
    subsets = subsets_of(finished)
    small, large = (subsets["prune4rel_balanced", f, 0]["indices"] for f in (0.25, 0.5))
    np.testing.assert_array_equal(large[:30], small)
    rows = read_rows(finished / "examples.csv")[:120]
    given = np.array([int(row["given"]) for row in rows])
    assert np.bincount(given[small]).tolist() == [10, 10, 10]
    np.testing.assert_array_equal(subsets["full", 1.0, 0]["indices"], np.arange(120))


class StopAfter(StopRequest):
    """Interrupts at the n-th time that it is asked."""

    def __init__(self, asks):
        super().__init__()
        self.left = asks

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError("stopped")


@pytest.mark.slow
def test_trainings_without_checkpoints_start_again(tmp_path, points, finished):
    # In the warm-up, between subsets, and within a training.
    for asks in (1, 9, 10):
        with pytest.raises(InterruptedRunError):
            run(tmp_path, points, StopAfter(asks))
    cells = read_cells(tmp_path / "pruning" / "run").values()
    assert [len(c) for c in cells if c[-1]["event"] == "epoch"] == [1]
    folder = run(tmp_path, points)
    for name in ("summary.csv", "examples.csv", "bins.csv"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()
    epochs = Table.read(folder).records("epoch")
    assert len(epochs) == 14 * SMALL["epochs"]


@pytest.mark.slow
@pytest.mark.parametrize("relabeler", ["divide_mix", "sop_plus"])
def test_other_relabelers(tmp_path, points, relabeler):
    folder = run(
        tmp_path,
        points,
        relabeler=relabeler,
        methods=("small_loss",),
        fractions=(0.5,),
        repeats=1,
        epochs=15,
        learning_rate=0.1,
        options=("sop_plus.lr_u=1",)
        if relabeler == "sop_plus"
        else ("divide_mix.alpha=1",),
    )
    (row,) = read_rows(folder / "summary.csv")
    # Chance is a third.
    assert float(row["last_mean"]) > 50
    assert float(row["noisy_share_mean"]) < 40
    epochs = Table.read(folder).records("epoch")
    if relabeler == "divide_mix":
        # Divided from the end of the first epoch on, without a warm-up.
        assert epochs[0]["labeled_share"] == 1.0
        assert epochs[1]["labeled_share"] < 1.0


@pytest.mark.slow
def test_views_and_rounding_of_the_published_code(tmp_path, pictures, monkeypatch):
    def shifted(name, mean):
        del name, mean
        return lambda key, images: as_float(images) + jax.random.normal(key)

    # AutoAugment takes long to compile.
    monkeypatch.setattr(programs.robust_setup, "strong_augmentation", shifted)
    options = {
        "methods": ("margin", "prune4rel"),
        "fractions": (0.5,),
        "repeats": 1,
        "augment": "flip",
        "epochs": 1,
        "warmup_epochs": 1,
    }
    plain = run(tmp_path, pictures, name="plain", **options)
    authors = run(
        tmp_path,
        pictures,
        name="authors",
        evaluation_view="strong",
        half_precision=True,
        options=("prune4rel.ranking=float32",),
        **options,
    )
    found = [evaluations_of(folder)[0] for folder in (plain, authors)]
    for name in ("features", "probabilities", "margin"):
        np.testing.assert_array_equal(found[0][name], found[1][name])
    assert set(found[1]) - set(found[0]) == {"view_features", "view_probabilities"}
    assert np.abs(found[1]["view_features"] - found[1]["features"]).max() > 1e-3
    # Baselines look at the images as they are.
    kept = [
        subsets_of(folder)["margin", 0.5, 0]["indices"] for folder in (plain, authors)
    ]
    np.testing.assert_array_equal(*kept)
