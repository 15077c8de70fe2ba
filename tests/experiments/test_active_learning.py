"""The open-set study: bad flags, pools, and what it leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import io

import jax
import jax.numpy as jnp
import matplotlib.image
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
from experiments.studies.active_learning.study import STUDY
from experiments.study.journal import Journal
from experiments.study.options import choose_methods
from experiments.study.run import Request, run_study
from experiments.study.run_folder import open_run_folder
from experiments.study.table import Table
from robustjax import data
from robustjax.methods import entries
from robustjax.methods.active_learning import (
    UNASKED,
    MQNetNotes,
    MQNetQuery,
    OpenSetRun,
    Proposal,
    mqnet_scores,
)
from robustjax.methods.active_learning._open_set_round import Query
from robustjax.methods.active_learning._query_ccal import CcalNotes
from robustjax.training import CheckpointFolder, InterruptedRunError, StopRequest
from tests.harness.runs import run_of

RUN = run_of("active_learning").fields


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


METHODS = ("random", "ll", "ccal", "sum", "mqnet", "product_conf=product")
OPTIONS = ("product_conf.informativeness=conf", "mqnet.steps=20")


def run(folder, sets, methods=("random", "conf"), **given):
    fields = {"dataset": sets["target"], **RUN, **given}
    request = Request(methods, None, fields, run_dir=str(folder), name="study")
    return run_study(STUDY, request, StopRequest())


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sets):
    """The folder of a finished small comparison."""
    folder = tmp_path_factory.mktemp("finished")
    return run(folder, sets, METHODS, options=OPTIONS, last_training=True)


def test_a_study_leaves_a_summary_and_pictures(finished):
    rows = rows_of(finished / "summary.csv")
    assert len(rows) == 6 * 3
    by_round = {(r["method"], r["round"]): r for r in rows}
    for strategy in ("random", "ccal", "mqnet", "product_conf"):
        assert [
            float(by_round[strategy, n]["labels_mean"]) for n in "123"
        ] == [8, 16, 24]  # fmt: skip
        assert float(by_round[strategy, "3"]["spent_mean"]) == 24
        assert by_round[strategy, "3"]["query_precision_mean"] == ""
        share = float(by_round[strategy, "2"]["query_precision_mean"])
        gained = float(by_round[strategy, "3"]["labeled_in_mean"]) - float(
            by_round[strategy, "2"]["labeled_in_mean"]
        )
        assert share == pytest.approx(100 * gained / 8, abs=1e-3)
    # Purity scores have an AUROC, and it does not depend on who asks first.
    auroc = {s: by_round[s, "1"]["auroc_mean"] for s in ("sum", "mqnet", "random")}
    assert auroc["sum"] == auroc["mqnet"] != ""
    assert auroc["random"] == ""
    for name in ("accuracy.png", "query_precision.png"):
        assert (finished / name).stat().st_size > 1000


def test_all_strategies_begin_alike(finished):
    first = [r for r in Table.read(finished).records("round") if r["round"] == 1]
    assert len(first) == 12
    for repeat in (0, 1):
        mine = [r for r in first if r["repeat"] == repeat]
        assert len({r["labeled_in"] for r in mine}) == 1
        # Of one kind of classifier, the same network.
        plain = [r for r in mine if r["method"] in ("random", "ccal", "product_conf")]
        assert len({r["accuracy"] for r in plain}) == 1


@pytest.mark.parametrize("repeat", [0, 1])
def test_examples_say_who_was_asked_when(finished, sets, repeat):
    """As the checkpoint of the last training and the pool's labels have it."""
    given = {"dataset": sets["target"], **RUN, "options": OPTIONS}
    request = Request(METHODS, None, {**given, "last_training": True})
    study, strategies, _ = STUDY.prepare(STUDY.plan(request), StopRequest()).parts
    pool = setup.make_pool(study, 0.4, repeat)
    stored = finished / "embeddings" / pool.name / "embeddings.npz"
    rows = [
        row
        for row in rows_of(finished / "examples.csv")
        if row["repeat"] == str(repeat)
    ]
    assert [row["id"] for row in rows] == [str(name) for name in pool.ids]
    assert [int(row["true"]) for row in rows] == pool.labels.tolist()
    whole = data.load(sets["target"], "train")
    own = whole.labels[data.rows_of(whole, pool.ids)]
    inside = np.isin(own, study.in_classes[repeat])
    np.testing.assert_array_equal(pool.labels == 3, ~inside)
    for label, strategy in strategies.items():
        like = OpenSetRun(
            strategy,
            None,
            study.budget,
            pool.key,
            num_examples=len(pool.ids),
            num_classes=3,
            embeddings=networks.read_embeddings(stored.read_bytes()),
        ).start(pool.initial, pool.labels[pool.initial])
        cell = finished / runner.cell_of(label, 0.4, repeat)
        _, state, _ = CheckpointFolder(cell / "checkpoints").restore_latest(like)
        asked, rounds = (
            np.array([float(row[f"{label}.{name}"] or "nan") for row in rows])
            for name in ("asked", "round")
        )
        total = int(np.isfinite(asked).sum())
        assert total == int(state.asked.sum()) == 24
        np.testing.assert_array_equal(np.argsort(asked)[:total], state.picks[:total])
        np.testing.assert_array_equal(np.isfinite(asked), np.isfinite(rounds))
        # The initial set is round 0.
        assert set(np.flatnonzero(rounds == 0)) == set(pool.initial.tolist())
        for number in range(2):
            mine = np.flatnonzero(rounds == number + 1)
            assert set(mine) == set(state.rows_of_round(number).tolist())
        answers = np.where(np.isfinite(asked), pool.labels, UNASKED)
        np.testing.assert_array_equal(state.labels, answers)
        # What is told of the rounds agrees.
        records = [
            r
            for r in Table.read(finished).records("round")
            if (r["method"], r["repeat"]) == (label, repeat)
        ]
        for record in records:
            before = rounds < record["round"]
            assert record["labels"] == before.sum()
            assert record["labeled_in"] == (before & inside).sum()
            asking = rounds == record["round"]
            if asking.any():
                assert record["query_precision"] == pytest.approx(inside[asking].mean())


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


def data_of(sets, **given):
    config = OpenSetConfig(**{"dataset": sets["target"], **RUN, **given})
    return setup.prepare(config)


def test_pools_of_a_split(sets):
    study = data_of(sets, noise_ratio=(0.4, 0.0))
    pools = [setup.make_pool(study, 0.4, repeat) for repeat in (0, 1)]
    assert study.in_classes[0] != study.in_classes[1]
    whole = data.load(sets["target"], "train")
    for pool, classes in zip(pools, study.in_classes):
        assert pool.inputs.shape == (70, 8, 8, 3)
        assert (pool.labels == 3).sum() == 28
        rows = data.rows_of(whole, pool.ids)
        np.testing.assert_array_equal(whole.inputs[rows], pool.inputs)
        inside = np.isin(whole.labels[rows], classes)
        np.testing.assert_array_equal(inside, pool.labels < 3)
        assert len(pool.test_labels) == 20
        assert pool.test_labels.max() == 2
        assert len(pool.initial) == 8
    assert (
        jax.random.key_data(pools[0].key) != jax.random.key_data(pools[1].key)
    ).any()
    clean = setup.make_pool(study, 0.0, 0)
    assert (clean.labels < 3).all()


def test_pools_across_data_sets(sets):
    study = data_of(sets, class_split="all", ood=(sets["other"],), pool_in=0)
    pool = setup.make_pool(study, 0.4, 0)
    assert study.num_classes == 6
    assert pool.inputs.shape == (200, 8, 8, 3)
    outside = pool.labels == 6
    assert outside.sum() == 80
    assert all(sets["other"] in i for i in pool.ids[outside])
    assert len(np.unique(pool.ids)) == 200


class AfterEpochs(StopRequest):
    """Asks to stop after so many checks."""

    def __init__(self, count):
        super().__init__()
        self.left = count

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise InterruptedRunError("stopped by a test")


def test_interrupted_embeddings_continue_to_the_same_bytes(tmp_path, sets):
    study = data_of(sets)
    pool = setup.make_pool(study, 0.4, 0)
    wants = {"rotations", "projections"}

    def train(folder, stop):
        key = pool.embedding_key
        return networks.train_embeddings(
            study.config, key, pool.inputs, wants, tmp_path / folder, stop
        )

    whole = train("whole", StopRequest())
    found = networks.read_embeddings(whole)
    assert found["projections"].shape == (70, 4)
    assert found["semantic"].shape == found["distinctive"].shape == (4, 70, 4)
    # After the first network, and after the second.
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            train("stopped", AfterEpochs(0))
        assert list((tmp_path / "stopped").iterdir())
    again = networks.read_embeddings(train("stopped", StopRequest()))
    for name, array in found.items():
        np.testing.assert_array_equal(again[name], array)
    assert not list(tmp_path.iterdir())
    assert networks.needs_embeddings(wants)
    assert not networks.needs_embeddings({"loss_prediction"})


def test_the_first_training_serves_all_strategies(sets):
    study = data_of(sets)
    pool = setup.make_pool(study, 0.4, 0)
    made = networks.Classifiers(study.config, 3, study.train.inputs, StopRequest())
    kept = made.of(pool.inputs, (False, False), np.arange(20)[::-1])
    labels = np.where(np.arange(70) < 20, pool.labels, -1)
    # A resumed run begins with a later training, which is not kept.
    later = np.where(np.arange(70) < 30, pool.labels, -1)
    assert kept.fit(pool.key, later) is not kept.fit(pool.key, later)
    first = kept.fit(pool.key, labels)
    assert kept.fit(pool.key, labels.copy()) is first
    assert kept.observe(first) is kept.observe(first)
    labels[20] = 0
    other = kept.fit(pool.key, labels)
    assert other is not first
    assert kept.observe(other) is not kept.observe(first)


def test_strategies_are_made_by_label():
    chosen = choose_methods(
        ["random", "mine=mqnet"], entries("active_learning", "strategy")
    )
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
        # Of what is trained before the first round.
        ({"methods": ("ccal",), "embedding_network": "vgg"}, "embedding_network: unk"),
        ({"methods": ("ccal",), "embedding_crop": 2.0}, "embedding_crop: got"),
        (
            {"methods": ("ccal",), "embedding_projection": ()},
            "embedding_projection: got no",
        ),
    ],
)
def test_bad_flags(tmp_path, sets, given, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, sets, **given)
    assert not list(tmp_path.iterdir())


def test_strategies_that_turn_images_refuse_vectors(tmp_path, sets):
    labels = np.arange(120) % 6
    vectors = data.make_dataset(np.eye(6, dtype=np.float32)[labels], labels)
    path = str(tmp_path / "vectors.npz")
    data.save_npz(path, train=vectors, test=vectors)
    message = "methods: got one that compares images .* not inputs of shape .6,"
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "runs", sets, ("random", "mqnet"), dataset=path)
    assert not (tmp_path / "runs").exists()


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


def record_of(cells, mqnet=None):
    """What stands in `config.json` of a run with these cells."""
    return {
        "title": "a study",
        "config": {},
        "data": {},
        "cells": cells,
        "facts": {"mqnet": mqnet},
        "measures": [dataclasses.asdict(measure) for measure in report.MEASURES],
    }


def test_tables_leave_out_what_was_not_measured(tmp_path):
    record = record_of(["random", "mqnet"])
    nothing = np.full(2, np.nan)
    with open_run_folder(tmp_path, record), Journal(tmp_path) as journal:
        for label, last in (("random", [0.5, 0.6]), ("mqnet", [0.7, 0.8])):
            for number, values in (
                (
                    1,
                    {
                        "accuracy": nothing,
                        "query_precision": [0.5, np.nan],
                        "auroc": nothing,
                    },
                ),
                (2, {"accuracy": last, "query_precision": nothing, "auroc": nothing}),
            ):
                columns = {"noise_ratio": 0.2, "method": label, "round": number}
                spent = {"spent": [8.0 * number] * 2}
                journal.cell(label).result(columns, spent | values, repeats=[0, 1])
    table = Table.read(tmp_path)
    text = report.report(table)
    assert "55.0 ±7.1" in text
    assert "75.0 ±7.1" in text
    assert "AUROC" not in text
    assert "mqnet +20.0 ±0.0" in text
    assert not (tmp_path / "surface.png").exists()
    table.write_files()
    first, second, *_ = rows_of(tmp_path / "summary.csv")
    # One repeat has no deviation.
    assert (first["query_precision_mean"], first["query_precision_std"]) == (
        "50.0000",
        "",
    )
    assert (first["accuracy_mean"], first["accuracy_std"]) == ("", "")
    assert float(second["accuracy_std"]) == pytest.approx(7.0711)


def surface_of(strategy, answered):
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
    content = surfaces.surface_of(strategy, proposal, memory, np.array(answered))
    return content, converted, memory


def test_surfaces_are_of_the_own_model_and_of_what_was_paid_for():
    strategy = MQNetQuery(monotone=False)
    content, converted, memory = surface_of(strategy, [4, 2])
    with np.load(io.BytesIO(content)) as file:
        found = dict(file)
    np.testing.assert_array_equal(found["asked"], converted[[1, 3]])
    assert len(found["others"]) == 6
    np.testing.assert_array_equal(found["lowest"], converted[1])
    point = np.array([found["purity"][0], found["informativeness"][-1]])
    want = mqnet_scores(memory.params, point[None], model=strategy.model)[0]
    wrong = mqnet_scores(memory.params, point[None])[0]
    assert found["surface"][0, -1] == pytest.approx(float(want), rel=1e-5)
    assert abs(float(wrong) - float(want)) > 1e-3


def test_surfaces_are_drawn_of_rounds_that_have_one(tmp_path):
    content, *_ = surface_of(MQNetQuery(), [4, 2, 7])
    with open_run_folder(tmp_path, record_of(["mine"], "mine")):
        with Journal(tmp_path) as journal:
            fields = {"method": "mine", "repeat": 0}
            for ratio, number in ((0.2, 2), (0.2, 3), (0.6, 3)):
                where = {**fields, "noise_ratio": ratio, "round": number}
                name = f"{ratio}_{number}.npz"
                journal.cell("mine").attach(surfaces.SURFACE, name, content, **where)
        table = Table.read(tmp_path)
        surfaces.plot_surfaces(table, "other")
        assert not (tmp_path / "surface.png").exists()
        surfaces.plot_surfaces(table, "mine")
    height, width = matplotlib.image.imread(tmp_path / "surface.png").shape[:2]
    # Two rows, two columns.
    assert abs(height - width) < 0.1 * width


def test_purity_that_is_equal_everywhere_has_no_auroc(sets):
    pool = setup.make_pool(data_of(sets), 0.4, 0)
    rows = np.arange(70)

    def auroc(purity):
        query = Query(rows[:2], CcalNotes(rows, purity))
        return runner._purity_auroc(Proposal(rows[:2], None, query), pool, 3)

    assert np.isnan(auroc(np.zeros(70)))
    assert auroc(np.where(pool.labels < 3, 1.0, 0.0)) == 1
