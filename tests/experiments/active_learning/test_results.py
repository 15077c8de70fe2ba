"""What a run of the open-set study leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.studies.active_learning import runner, setup
from experiments.studies.active_learning.headroom import headroom
from experiments.studies.active_learning.screen import RULES
from experiments.studies.active_learning.study import STUDY
from experiments.study.run import Request
from experiments.study.table import Table
from robustjax import data
from robustjax.methods.active_learning import (
    UNASKED,
    OpenSetRun,
)
from robustjax.tools import open_set_networks as networks
from robustjax.tools.options.open_set import VARIANTS
from robustjax.training import CheckpointFolder, StopRequest
from tests.experiments.active_learning.open_set_runs import (
    RUN,
    rows_of,
    run,
)

METHODS = ("random", "ll", "ccal", "sum", "mqnet", "product_conf=product")


OPTIONS = ("product_conf.informativeness=conf", "mqnet.steps=20")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sets):
    """The folder of a finished small comparison."""
    folder = tmp_path_factory.mktemp("finished")
    return run(folder, sets, METHODS, options=OPTIONS, last_training=True, screen=True)


@pytest.mark.slow
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


def test_rounds_of_mqnets_are_screened_and_no_others(finished):
    rows = rows_of(finished / "summary.csv")
    by_round = {(r["method"], r["round"]): r for r in rows}
    for strategy in ("mqnet", "sum", "product_conf"):
        row = by_round[strategy, "1"]
        for rule in RULES:
            assert float(row[f"screen_{rule}_mean"]) >= 0
        # Nothing is asked after the last training.
        assert by_round[strategy, "3"]["screen_best_mean"] == ""
    assert by_round["random", "1"]["screen_best_mean"] == ""
    # The same pool and classifier at first, whoever asks.
    names = [f"screen_{rule}_mean" for rule in RULES]
    first = [[by_round[s, "1"][n] for n in names] for s in ("mqnet", "sum")]
    assert first[0] == first[1]
    text = headroom(Table.read(finished))
    lines = [line.split() for line in text.splitlines() if line.startswith("0.4")]
    assert {line[1] for line in lines} >= {"mqnet", "sum", "product_conf"}
    assert {line[1] for line in lines}.isdisjoint({"random", "ccal"})
    assert {line[-1] for line in lines} <= {"yes", "no"}


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


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
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
