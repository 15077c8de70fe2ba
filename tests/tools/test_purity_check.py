"""The warning of `label` where purity does not find what is wanted."""

from __future__ import annotations

import numpy as np
import pytest

from robustjax import answers, data
from robustjax.methods.active_learning import make_strategy
from robustjax.tools.options.label import LabelConfig
from robustjax.tools.own_pool import strategy_of
from robustjax.tools.purity_check import Counted, beats_chance, purity_warning
from tests.harness.tool_runs import run_verb

MQNET = strategy_of(LabelConfig())


def _asked(drawn, chosen):
    """A log of a random round and one by a classifier, and labels: 1 for wanted."""
    given = np.array([*drawn, *chosen])
    labels = np.where(given == 1, 0, np.where(given == 0, 2, -1)).astype(np.int32)
    pool = data.Dataset(
        np.zeros((len(given), 1)),
        labels,
        np.arange(len(given)),
        ("owl", "crow"),
        "pool",
    )
    rounds = np.split(np.arange(len(given)), [len(drawn)])
    history = [
        answers.Asked(
            number,
            tuple(answers.Question(int(i), "", ("", "owl")[number], "") for i in rows),
            None,
        )
        for number, rows in enumerate(rounds)
    ]
    return tuple(history), labels, pool


def _of(wanted, total):
    return [1] * wanted + [0] * (total - wanted)


def test_the_test_is_fishers():
    # Of 3 of 4 among the chosen, 1 of 4 among the drawn: (16 + 1) of 70 tables.
    assert beats_chance(Counted(3, 1), Counted(1, 3)) == pytest.approx(17 / 70)


def test_it_warns_below_chance_and_where_nothing_can_be_seen():
    said = purity_warning(*_asked(_of(8, 40), _of(4, 40)), MQNET)
    assert said.startswith(
        "of 40 answers to questions that mqnet chose, 4 (10%) name a class, of 40 to "
        "random ones 8 (20%): it is not seen to beat chance (Fisher's exact test, "
        "one-sided, p = 0.94, level 0.05); --options=mqnet.purity=… or --method=random"
    )
    assert purity_warning(*_asked(_of(8, 40), _of(10, 40)), MQNET) is not None


def test_it_is_silent_above_chance_with_few_answers_and_without_purity():
    fine = _asked(_of(8, 40), _of(30, 40))
    assert purity_warning(*fine, MQNET) is None
    few = _asked(_of(2, 9), _of(0, 40))
    assert purity_warning(*few, MQNET) is None
    # What is open, and what nobody could decide, is no answer.
    open_still = _asked(_of(8, 40), [*_of(0, 9), *[-1] * 30])
    assert purity_warning(*open_still, MQNET) is None
    bad = _asked(_of(8, 40), _of(0, 40))
    assert purity_warning(*bad, make_strategy("margin")) is None
    assert purity_warning(*bad, make_strategy("ccal")) is not None
    assert purity_warning((), *bad[1:], MQNET) is None


def test_a_question_that_was_asked_again_counts_once_where_it_was_answered():
    """Of 20 drawn ones half were left blank, and asked again by the classifier."""
    history, labels, pool = _asked(_of(10, 20), _of(3, 20))
    questions = history[0].questions
    said = answers.Submission(
        0, "x", "", tuple(answers.Answer(q.id, "owl") for q in questions[:10])
    )
    again = tuple(q._replace(suggested="owl") for q in questions[10:])
    chosen = history[1]._replace(questions=again + history[1].questions)
    warning = purity_warning((history[0], said, chosen, chosen), labels, pool, MQNET)
    assert warning.startswith("of 30 answers to questions that mqnet chose, 3 (10%)")
    assert "of 10 to random ones 10 (100%)" in warning


@pytest.mark.slow
def test_the_verb_warns_on_standard_error(tmp_path):
    """All that was drawn is wanted, and nothing of what was chosen."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "pool.npz", inputs=rng.normal(size=(60, 3)).astype(np.float32))
    flags = {
        "dataset": tmp_path / "pool.npz",
        "classes": "owl,crow",
        "folder": tmp_path / "labelling",
        "batch": 12,
        "page": False,
        "hidden": "4",
        "epochs": 1,
        "steps_per_epoch": 2,
        "options": "mqnet.steps=2",
    }
    for said in ("owl", "ood", None):
        done = run_verb("label", **flags)
        assert done.returncode == 0, done.stderr
        assert ("warning: of 12 answers" in done.stderr) == (said is None)
        lines = (tmp_path / "labelling" / "to_label.csv").read_text().splitlines()
        rows = [f"{line.split(',')[0]},{said}" for line in lines[1:]]
        text = "\n".join(["id,new_label", *rows])
        (tmp_path / "labelling" / "labeled.csv").write_text(text)
