"""An MQNet that learns from random examples, beside others in a study."""

from __future__ import annotations

import pytest

from experiments.studies.active_learning import setup
from robustjax.training import InterruptedRunError
from tests.experiments.active_learning.open_set_runs import (
    data_of,
    rows_of,
    run,
)
from tests.harness.stops import AfterChecks

_QUICK = ("informativeness=conf", "steps=20")
OPTIONS = tuple(f"{name}.{each}" for name in ("mqnet", "held") for each in _QUICK)
OTHERS = ("random", "mqnet")


@pytest.mark.slow
def test_a_random_validation_set_is_of_its_method_alone(tmp_path, sets):
    def compare(folder, methods, options, stop=None):
        found = run(
            tmp_path / folder, sets, methods, stop=stop, options=options, rounds=3
        )
        return (
            {
                name: (found / name).read_bytes()
                for name in ("summary.csv", "repeats.csv")
            },
            rows_of(found / "summary.csv"),
            rows_of(found / "examples.csv"),
        )

    options = (*OPTIONS, "held.validation=random")
    methods = (*OTHERS, "held=mqnet")
    whole, rows, examples = compare("whole", methods, options)
    # The others are as they are without it.
    _, alone, _ = compare("alone", OTHERS, OPTIONS[:2])
    assert [r for r in rows if r["method"] in OTHERS] == alone
    by_round = {(r["method"], r["round"]): r for r in rows}
    for number in "123":
        held, mqnet = by_round["held", number], by_round["mqnet", number]
        assert held["labels_mean"] == mqnet["labels_mean"]
        # Eight labels that are paid for and not learnt from.
        assert float(held["spent_mean"]) == float(mqnet["spent_mean"]) + 8
    assert (
        by_round["held", "1"]["accuracy_mean"]
        == by_round["mqnet", "1"]["accuracy_mean"]
    )
    # What is held out is never asked about, and was by the other.
    study = data_of(sets)
    asked = {"held": 0, "mqnet": 0}
    for repeat in (0, 1):
        pool = setup.make_pool(study, 0.4, repeat)
        ids = pool.ids[setup.draw_validation(study, pool).rows].astype(str)
        for row in examples:
            if row["repeat"] == str(repeat) and row["id"] in set(ids):
                for label in asked:
                    asked[label] += row[f"{label}.round"] != ""
    assert asked["held"] == 0 < asked["mqnet"]
    # Stopped in the middle of it, and again.
    for checks in (20, 4):
        with pytest.raises(InterruptedRunError):
            compare("stopped", methods, options, AfterChecks(checks))
    again, _, _ = compare("stopped", methods, options)
    assert again == whole
