"""Tables, surfaces and measures of the open-set study."""

from __future__ import annotations

import dataclasses
import io

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

from experiments.studies.active_learning import (
    report,
    runner,
    setup,
    surfaces,
)
from experiments.study.journal import Journal
from experiments.study.run_folder import open_run_folder
from experiments.study.table import Table
from robustjax.methods.active_learning import (
    MQNetNotes,
    MQNetQuery,
    Proposal,
    mqnet_scores,
)
from robustjax.methods.active_learning._open_set_round import Query
from robustjax.methods.active_learning._query_ccal import CcalNotes
from tests.experiments.active_learning.open_set_runs import (
    data_of,
    rows_of,
)


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
    assert float(second["accuracy_std"]) == pytest.approx(7.07107)


def surface_of(strategy, answered):
    """What is kept of a round in which rows 4, 2, 7 and 5 were proposed."""
    rows = np.arange(1, 9)
    converted = np.random.default_rng(0).uniform(0.3, 3, (8, 2)).astype(np.float32)
    none = np.zeros((0, 2), np.float32)
    notes = MQNetNotes(rows, rows, rows, converted, converted[4], np.int32(3), none)
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
