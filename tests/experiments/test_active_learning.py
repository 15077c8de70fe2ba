"""The open-set study: pools, what it leaves behind, and continuing after a kill."""

from __future__ import annotations

import csv
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies.active_learning import (
    networks,
    report,
    runner,
    setup,
    surfaces,
)
from experiments.studies.active_learning.class_splits import CLASS_SPLITS
from experiments.studies.active_learning.config import OpenSetConfig
from experiments.studies.active_learning.presets import PRESETS
from experiments.studies.active_learning.strategies import make_strategies
from experiments.studies.active_learning.study import run_study
from experiments.study.options import choose_methods
from robustjax import data
from robustjax.methods import entries
from robustjax.methods.active_learning import (
    MQNetNotes,
    MQNetQuery,
    Proposal,
    mqnet_scores,
)
from robustjax.methods.active_learning._open_set_round import Query
from robustjax.methods.active_learning._query_ccal import CcalNotes
from robustjax.training import InterruptedRunError, StopRequest
from robustjax.training._metrics import read_jsonl

ROOT = pathlib.Path(__file__).parents[2]
RUN = {
    "num_in_classes": 3,
    "noise_ratio": (0.4,),
    "pool_in": 42,
    "test_count": 20,
    "per_round": 8,
    "rounds": 2,
    "network": "mlp",
    "hidden": (8,),
    "epochs": 2,
    "steps_per_epoch": 3,
    "batch_size": 8,
    "embedding_network": "mlp",
    "embedding_hidden": (6,),
    "embedding_epochs": 1,
    "embedding_batch_size": 35,
    "embedding_optimizer": "adam",
    "embedding_projection": (5, 4),
    "repeats": 2,
}


def images(count, classes, size, seed):
    """Noise with a bright row whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pixels = rng.integers(0, 80, (count, size, size, 3), np.uint8)
    pixels[np.arange(count), labels] += 150
    return pixels, labels


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Small data sets as .npz files, by name."""
    folder = tmp_path_factory.mktemp("sets")
    found = {}
    for name, classes, size, seed in (("target", 6, 8, 0), ("other", 2, 10, 5)):
        splits = {}
        for number, (split, count) in enumerate((("train", 120), ("test", 60))):
            pixels, labels = images(count, classes, size, seed + number)
            names = [f"{name}_{c}" for c in range(classes)]
            splits[split] = data.make_dataset(pixels, labels, class_names=names)
        found[name] = str(folder / f"{name}.npz")
        data.save_npz(found[name], **splits)
    return found


def run(folder, sets, methods=("random", "conf"), stop=None, **given):
    return run_study(
        methods,
        None,
        {"dataset": sets["target"], **RUN, **given},
        run_dir=str(folder),
        name="study",
        stop=stop or StopRequest(),
    )


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


class AfterRounds(StopRequest):
    """Asks to stop after so many checks."""

    def __init__(self, count):
        super().__init__()
        self.left = count

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError("stopped by a test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sets):
    strategies = ("random", "ll", "ccal", "sum", "mqnet", "product_conf=product")
    options = ("product_conf.informativeness=conf", "mqnet.steps=20")
    folder = tmp_path_factory.mktemp("finished")
    return run(folder, sets, strategies, options=options, last_training=True)


def test_a_study_leaves_a_summary_queries_and_pictures(finished):
    rows = rows_of(finished / "summary.csv")
    assert len(rows) == 6 * 3
    by_round = {(r["method"], r["round"]): r for r in rows}
    for strategy in ("random", "ccal", "mqnet", "product_conf"):
        assert [
            float(by_round[strategy, n]["labels_mean"]) for n in "123"
        ] == [8, 16, 24]  # fmt: skip
        assert float(by_round[strategy, "3"]["spent_mean"]) == 24
        assert by_round[strategy, "3"]["purity_mean"] == ""
        share = float(by_round[strategy, "2"]["purity_mean"])
        gained = float(by_round[strategy, "3"]["labeled_in_mean"]) - float(
            by_round[strategy, "2"]["labeled_in_mean"]
        )
        assert share == pytest.approx(100 * gained / 8, abs=1e-3)
    # Purity scores have an AUROC, and it does not depend on who asks first.
    auroc = {s: by_round[s, "1"]["auroc_mean"] for s in ("sum", "mqnet", "random")}
    assert auroc["sum"] == auroc["mqnet"] != ""
    assert auroc["random"] == ""
    for name in ("accuracy.png", "purity.png"):
        assert (finished / name).stat().st_size > 1000
    for folder in (finished / "mqnet").iterdir():
        ids = np.load(folder / "queried_ids.npy")
        assert len(np.unique(ids)) == len(ids) == 24


def test_all_strategies_begin_alike(finished):
    records = read_jsonl(finished / "metrics.jsonl")
    first = [r for r in records if r["round"] == 1]
    assert len(first) == 12
    for repeat in (0, 1):
        mine = [r for r in first if r["repeat"] == repeat]
        assert len({r["labeled_in"] for r in mine}) == 1
        # Of one kind of classifier, the same network.
        plain = [r for r in mine if r["method"] in ("random", "ccal", "product_conf")]
        assert len({r["accuracy"] for r in plain}) == 1
        initial = {
            tuple(
                np.load(
                    finished / s / f"noise_0.4_repeat_{repeat}" / "queried_ids.npy"
                )[:8].tolist()
            )
            for s in ("random", "ll", "mqnet")
        }
        assert len(initial) == 1


def test_a_finished_study_reports_again_and_trains_nothing(finished, sets):
    before = (finished / "summary.csv").read_bytes()
    times = (finished / "metrics.jsonl").read_bytes()
    options = ("product_conf.informativeness=conf", "mqnet.steps=20")
    strategies = ("random", "ll", "ccal", "sum", "mqnet", "product_conf=product")
    stop = AfterRounds(0)
    again = run(
        finished.parents[1], sets, strategies, stop, options=options, last_training=True
    )
    assert (again / "summary.csv").read_bytes() == before
    assert (again / "metrics.jsonl").read_bytes() == times


def test_killed_studies_continue_to_the_same_summary(tmp_path, sets):
    given = {"methods": ("random", "mqnet"), "options": ("mqnet.steps=20",)}
    whole = run(tmp_path / "whole", sets, **given)
    stopped = 0
    while True:
        try:
            # Between epochs of a training, of an embedding, and between rounds.
            folder = run(tmp_path / "killed", sets, stop=AfterRounds(7), **given)
            break
        except InterruptedRunError:
            stopped += 1
            assert stopped < 20
    assert stopped >= 3
    want = (whole / "summary.csv").read_bytes()
    assert (folder / "summary.csv").read_bytes() == want
    records = read_jsonl(folder / "metrics.jsonl")
    keys = [(r["repeat"], r["method"], r["round"]) for r in records]
    assert keys == [
        (repeat, strategy, number)
        for repeat in (0, 1)
        for strategy in ("random", "mqnet")
        for number in (1, 2)
    ]


@pytest.mark.parametrize("variant", setup.VARIANTS)
def test_classifier_variants_and_costs(tmp_path, sets, variant):
    folder = run(
        tmp_path,
        sets,
        ("conf",),
        classifier_variant=variant,
        cost_ood=0.5,
        repeats=1,
        initial=12,
        initial_shares="exact",
    )
    rows = rows_of(folder / "summary.csv")
    # 12 at 40 % OOD: 7 IN at 1 and 5 OOD at 0.5.
    assert [float(rows[0][f"{n}_mean"]) for n in ("labels", "labeled_in", "spent")] == [
        12,
        7,
        9.5,
    ]
    assert 7 <= float(rows[1]["spent_mean"]) - 9.5 <= 8
    if variant in ("in_only", "taufe"):
        assert rows[1]["strict_accuracy_mean"] == rows[1]["accuracy_mean"]


def study_of(sets, **given):
    config = OpenSetConfig(**{"dataset": sets["target"], **RUN, **given})
    return setup.prepare(config)


def test_pools_of_a_split(sets):
    study = study_of(sets, noise_ratio=(0.4, 0.0))
    tasks = [setup.make_task(study, 0.4, repeat) for repeat in (0, 1)]
    assert study.in_classes[0] != study.in_classes[1]
    whole = data.load(sets["target"], "train")
    for task, classes in zip(tasks, study.in_classes):
        assert task.inputs.shape == (70, 8, 8, 3)
        assert (task.labels == 3).sum() == 28
        rows = data.rows_of(whole, task.ids)
        np.testing.assert_array_equal(whole.inputs[rows], task.inputs)
        inside = np.isin(whole.labels[rows], classes)
        np.testing.assert_array_equal(inside, task.labels < 3)
        assert len(task.test_labels) == 20
        assert task.test_labels.max() == 2
        assert len(task.initial) == 8
    assert (
        jax.random.key_data(tasks[0].key) != jax.random.key_data(tasks[1].key)
    ).any()
    clean = setup.make_task(study, 0.0, 0)
    assert (clean.labels < 3).all()


def test_pools_across_data_sets(sets):
    study = study_of(sets, class_split="all", ood=(sets["other"],), pool_in=0)
    task = setup.make_task(study, 0.4, 0)
    assert study.num_classes == 6
    assert task.inputs.shape == (200, 8, 8, 3)
    outside = task.labels == 6
    assert outside.sum() == 80
    assert all(sets["other"] in i for i in task.ids[outside])
    assert len(np.unique(task.ids)) == 200


def test_embeddings_are_trained_once(tmp_path, sets, monkeypatch):
    study = study_of(sets)
    task = setup.make_task(study, 0.4, 0)

    def load(*wants):
        return networks.load_embeddings(
            study.config, task.key, task.inputs, wants, tmp_path, "pool", StopRequest()
        )

    found = load("rotations", "projections")
    assert found["projections"].shape == (70, 4)
    assert found["semantic"].shape == found["distinctive"].shape == (4, 70, 4)
    monkeypatch.setattr(networks, "pool_embeddings", None)
    again = load("rotations", "projections")
    np.testing.assert_array_equal(again["semantic"], found["semantic"])
    assert not load()


def test_the_first_training_serves_all_strategies(sets):
    study = study_of(sets)
    task = setup.make_task(study, 0.4, 0)
    made = networks.Classifiers(study.config, 3, study.train.inputs, StopRequest())
    kept = made.of(task.inputs, (False, False), np.arange(20)[::-1])
    labels = np.where(np.arange(70) < 20, task.labels, -1)
    # A resumed run begins with a later training, which is not kept.
    later = np.where(np.arange(70) < 30, task.labels, -1)
    assert kept.fit(task.key, later) is not kept.fit(task.key, later)
    first = kept.fit(task.key, labels)
    assert kept.fit(task.key, labels.copy()) is first
    assert kept.observe(first) is kept.observe(first)
    labels[20] = 0
    other = kept.fit(task.key, labels)
    assert other is not first
    assert kept.observe(other) is not kept.observe(first)


def test_strategies_are_made_by_label():
    chosen = choose_methods(["random", "mine=mqnet"], entries("active_learning"))
    made = make_strategies(chosen, ["mine.margin=0.5", "mine.clip=NONE"])
    assert made["random"].name == "random"
    mine = made["mine"]
    assert (mine.name, mine.margin, mine.clip) == ("mine", 0.5, None)
    with pytest.raises(ValueError, match=r"options .margin.: got -1"):
        make_strategies(chosen, ["mine.margin=-1"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cost_ood": 0}, "cost_ood: got 0"),
        ({"noise_ratio": (1.0,)}, "noise_ratio: got 1.0"),
        ({"noise_ratio": (0.2, 0.2)}, "noise_ratio: .* each share once"),
        ({"num_in_classes": 6}, "num_in_classes: got 6, .* so that some are OOD"),
        ({"class_split": "cifar10"}, "class_split: .* 6 classes, .* with 10"),
        ({"in_classes": ("target_1", "cat")}, "in_classes: unknown 'cat'"),
        ({"in_classes": ("1",)}, "in_classes: got 1 class"),
        ({"ood": ("svhn",)}, "ood: got svhn with class_split=drawn"),
        ({"pool_in": 61}, "pool_in: got 61, expected at most the 60"),
        ({"test_count": 31}, "test_count: got 31, expected at most the 30"),
        ({"rounds": 9}, "rounds: got 9 .* asked up before the last round"),
        ({"network": "vgg"}, "network: unknown 'vgg'"),
        ({"learning_rate": 0.0}, "learning_rate: got 0"),
    ],
)
def test_bad_flags(tmp_path, sets, given, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, sets, **given)
    assert not list(tmp_path.iterdir())


def test_presets():
    for name, preset in PRESETS.items():
        config = OpenSetConfig(**preset.fields)
        setup.check(config)
        assert config.network, name
    for count, splits in CLASS_SPLITS.values():
        sizes = {len(set(split)) for split in splits}
        assert len(sizes) == 1
        assert all(list(s) == sorted(s) and s[-1] < count for s in splits)
    assert [len(CLASS_SPLITS[n][1][0]) for n in CLASS_SPLITS] == [4, 40, 50]


def test_results_leave_out_what_was_not_measured():
    records = [
        {"noise_ratio": 0.2, "method": s, "repeat": r, "round": n, **values}
        for s in ("random", "mqnet")
        for r in (0, 1)
        for n, values in (
            (1, {"accuracy": None, "purity": 0.5}),
            (2, {"accuracy": 0.5 + 0.1 * r + 0.2 * (s == "mqnet")}),
        )
    ]
    results = report.read_results(records, (0.2,), ("random", "mqnet"), 2, 2)
    text = report.tables(results)
    assert "55.0 ±7.1" in text
    assert "75.0 ±7.1" in text
    assert "AUROC" not in text
    assert "mqnet +20.0 ±0.0" in report.meaning(results)


def test_what_one_repeat_or_none_measured_has_no_deviation(tmp_path):
    records = [
        {"noise_ratio": 0.2, "method": "mqnet", "repeat": r, "round": 1, **values}
        for r, values in ((0, {"accuracy": 0.5, "auroc": 0.7}), (1, {"accuracy": 0.7}))
    ]
    results = report.read_results(records, (0.2,), ("mqnet",), 2, 1)
    report.write_summary(tmp_path, results)
    (row,) = rows_of(tmp_path / "summary.csv")
    assert (row["auroc_mean"], row["auroc_std"]) == ("70.0000", "")
    assert float(row["accuracy_std"]) == pytest.approx(14.1421)


def surface_of(tmp_path, strategy, answered):
    """What is kept of a round in which rows 4, 2, 7 and 5 were proposed."""
    rows = np.arange(1, 9)
    converted = np.random.default_rng(0).uniform(0.3, 3, (8, 2)).astype(np.float32)
    notes = MQNetNotes(rows, rows, rows, converted, converted[4], np.int32(3))
    proposal = Proposal(np.array([4, 2, 7, 5]), None, Query(rows, notes))
    memory = strategy.init_memory(jax.random.key(1))
    # Some weights are negative, as a meta-model that is not monotone may have them.
    params = jax.tree.map(
        lambda p: p * jnp.cos(jnp.arange(p.size)).reshape(p.shape), memory.params
    )
    memory = memory._replace(params=params)
    surfaces.write_surface(tmp_path, 2, strategy, proposal, memory, np.array(answered))
    with np.load(tmp_path / "surfaces" / "round_03.npz") as file:
        return dict(file), converted, memory


def test_surfaces_are_of_the_own_model_and_of_what_was_paid_for(tmp_path):
    strategy = MQNetQuery(monotone=False)
    found, converted, memory = surface_of(tmp_path, strategy, [4, 2])
    np.testing.assert_array_equal(found["asked"], converted[[1, 3]])
    assert len(found["others"]) == 6
    np.testing.assert_array_equal(found["lowest"], converted[1])
    point = np.array([found["purity"][0], found["informativeness"][-1]])
    want = mqnet_scores(memory.params, point[None], model=strategy.model)[0]
    wrong = mqnet_scores(memory.params, point[None])[0]
    assert found["surface"][0, -1] == pytest.approx(float(want), rel=1e-5)
    assert abs(float(wrong) - float(want)) > 1e-3


def test_purity_that_is_equal_everywhere_has_no_auroc(sets):
    task = setup.make_task(study_of(sets), 0.4, 0)
    rows = np.arange(70)

    def auroc(purity):
        query = Query(rows[:2], CcalNotes(rows, purity))
        return runner._purity_auroc(Proposal(rows[:2], None, query), task, 3)

    assert np.isnan(auroc(np.zeros(70)))
    assert auroc(np.where(task.labels < 3, 1.0, 0.0)) == 1


def test_bad_flags_end_in_one_line_and_status_2(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "experiments.active_learning",
            "--cost_in=-1",
            f"--run_dir={tmp_path}",
        ],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cost_in: got -1")
    assert done.stderr.count("\n") == 1
