"""Labels that do not all cost the same: the loop, the callback, the folder."""

from __future__ import annotations

import csv

import jax
import numpy as np
import pytest

from robustjax import methods
from tests.methods import problem

# SimiFeat asks as O2U-Net does, and takes longer.
NAMES = [e.name for e in methods.entries("label_correction") if e.name != "simifeat"]
_SETTINGS = methods.ClassifierSettings(hidden=(8, 8, 8), epochs=1, batch_size=32)
_COSTS = np.random.default_rng(5).lognormal(0, 1, (problem.REPEATS, 64))


def run_of(method, budget):
    """The state after all rounds, on 64 digits."""
    return problem.small_run(method, budget, _SETTINGS)


_FAST = ("entropy", "alc")


@pytest.mark.parametrize(
    "name",
    [n if n in _FAST else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
def test_equal_costs_give_the_picks_of_no_costs(name):
    want = run_of(problem.make_method(name), methods.Budget(20, 8))
    costs = np.full(64, 0.7)
    for per_cost in (True, False):
        budget = methods.CostBudget(20 * 0.7, 8 * 0.7, costs, per_cost)
        got = run_of(problem.make_method(name), budget)
        np.testing.assert_array_equal(got.picks, want.picks)
        np.testing.assert_array_equal(got.labels, want.labels)


@pytest.mark.parametrize(
    "name",
    [
        "entropy",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("random", "label_cleaning", "dalc", "robust", "alc")
        ),
    ],
)
def test_a_round_spends_no_more_than_its_budget(name):
    train, _, noisy = problem.digits()
    asked = {}
    for per_cost in (True, False):
        budget = methods.CostBudget(20.0, 8.0, _COSTS, per_cost)
        state = run_of(problem.make_method(name), budget)
        picks = np.asarray(state.picks)
        assert picks.shape == (problem.REPEATS, budget.places)
        for number in range(3):
            part = slice(budget.asked(number), budget.asked(number + 1))
            limit = (8.0, 8.0, 4.0)[number]
            each = np.take_along_axis(_COSTS, np.maximum(picks[:, part], 0), axis=1)
            spent = np.where(picks[:, part] >= 0, each, 0).sum(axis=1)
            np.testing.assert_allclose(budget.spent(picks[:, part]), spent)
            assert (spent <= limit * (1 + 1e-6)).all()
            assert (spent > 0.3 * limit).all()
        for repeat, row in enumerate(picks):
            there = row[row >= 0]
            assert len(set(there)) == len(there)
            assert set(there) == set(np.flatnonzero(state.queried[repeat]))
            want = noisy[repeat, :64].copy()
            want[there] = train.labels[there]
            np.testing.assert_array_equal(state.labels[repeat], want)
        asked[per_cost] = (picks >= 0).sum()
        wrong = noisy[:, :64] != train.labels[:64]
        shares = methods.selection_accuracy(picks, wrong, budget)
        first = picks[0, : budget.asked(1)]
        assert shares[0, 0] == pytest.approx(wrong[0][first[first >= 0]].mean())
    assert asked[True] > asked[False], "cheap labels go first"


def test_by_score_per_cost_of_the_first_model():
    """The first batch is what the plain greedy takes, by the trained entropies."""
    noisy = problem.digits()[2]
    keys = jax.random.split(jax.random.key(1), problem.REPEATS)
    budget = methods.CostBudget(8.0, 8.0, _COSTS)
    method = methods.make_correction_method("entropy")
    trainer = problem.small_trainer(_SETTINGS)
    run = methods.CorrectionRun(method, trainer, budget, keys)
    _, picks, model = run.propose(run.start(noisy[:, :64]), 0)
    shares = np.asarray(jax.nn.softmax(model.logits), np.float64)
    ratio = -(shares * np.log(shares)).sum(axis=-1) / _COSTS
    for repeat in range(problem.REPEATS):
        left, want = 8.0, []
        for row in np.argsort(-ratio[repeat]):
            if _COSTS[repeat, row] <= left:
                want.append(row)
                left -= _COSTS[repeat, row]
        assert picks[repeat][picks[repeat] >= 0].tolist() == want


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((20, 8, np.zeros(64)), "costs: got 0 at row 0"),
        ((20, 8, np.full(64, np.nan)), "costs: 64 row"),
        ((20, 8, np.ones((1, 2, 3))), "costs: got shape"),
        ((20, 8, np.full(64, 9.0)), "batch: a round has 8, .* cheapest example, 9"),
        ((20, 24, np.ones(64)), "batch: got 24, expected at most the budget, 20"),
        ((65, 8, np.ones(64)), "budget: got 65, expected at most .* pay for, 64"),
        # Of 60, ten rounds would find nothing to ask for.
        (
            (60, 10, np.where(np.arange(64) < 4, 1.0, 50.0)),
            "budget: got 60, expected at most .* pay for, 4",
        ),
        ((20.5, 10, np.ones(64)), "budget: its last round has 0.5, expected at least"),
        ((20, np.inf, np.ones(64)), "batch: got inf"),
        ((20, 8, np.ones(63)), "costs: got 63, expected one for each of 64 examples"),
        ((20, 8, np.ones((3, 64))), "costs: got 3 rows, .* each of 2 repeats"),
    ],
)
def test_bad_budgets_of_cost(arguments, message):
    with pytest.raises(ValueError, match=message):
        run_of(methods.make_correction_method("random"), methods.CostBudget(*arguments))


@pytest.mark.parametrize(("batch", "rounds"), [(0.1, 3), (0.15, 2), (0.3, 1)])
def test_rounds_of_broken_numbers(batch, rounds):
    budget = methods.CostBudget(0.3, batch, np.full(30, 0.01))
    assert budget.rounds == rounds
    assert budget.asked(rounds) == budget.places == 30


@pytest.fixture
def oracle(noisy):
    """Answers by id, and what every label costs: the first half is dear."""
    dataset, true = noisy
    truth = dict(zip(dataset.ids.tolist(), true))
    costs = np.where(np.arange(300) < 150, 8.0, 1.0)
    return lambda ids: np.array([truth[i] for i in ids.tolist()]), costs


def answer_all(folder, ask):
    """Answers every question of a folder; the ids that it asked about."""
    with open(folder / "to_label.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["new_label"] = str(ask(np.array([row["id"]]))[0])
    with open(folder / "labeled.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return [row["id"] for row in rows]


@pytest.mark.slow
def test_nobody_is_asked_about_nothing(noisy, oracle):
    dataset, _ = noisy
    ask, costs = oracle
    costs, counts = np.full(len(costs), 50.0), []
    costs[:3] = 1, 1, 3

    def counted(ids):
        counts.append(len(ids))
        return ask(ids)

    # The third is not for the last round's 2.
    money = {"budget": 5.0, "batch": 3.0, "costs": costs}
    found = methods.correct_labels(dataset, counted, **money, settings=_SETTINGS)
    assert 0 not in counts
    assert sum(counts) == len(found.queried) <= 3


@pytest.mark.slow
def test_callback_and_folder_ask_the_same_for_their_money(noisy, oracle, tmp_path):
    dataset, true = noisy
    ask, costs = oracle
    direct = methods.correct_labels(
        dataset, ask, budget=40.0, batch=20.0, costs=costs, settings=_SETTINGS
    )
    assert costs[direct.queried].sum() <= 40
    assert (direct.queried >= 150).mean() > 0.6
    np.testing.assert_array_equal(direct.labels[direct.queried], true[direct.queried])
    asked = []
    settings = {"costs": costs, "round_budget": 20.0, "settings": _SETTINGS}
    for _ in range(2):
        exchange = methods.LabelExchange(tmp_path, dataset, **settings)
        exchange.advance()
        asked += answer_all(tmp_path, ask)
    exchange.advance()
    np.testing.assert_array_equal(dataset.ids[direct.queried], asked)
    np.testing.assert_array_equal(exchange.labels, direct.labels)
    for changes in ({"round_budget": 21.0}, {"costs": costs + 1}, {"per_cost": False}):
        with pytest.raises(ValueError, match="begun with other costs"):
            methods.LabelExchange(tmp_path, dataset, **{**settings, **changes})
    with pytest.raises(ValueError, match="begun with other costs"):
        methods.LabelExchange(tmp_path, dataset, batch=10, settings=_SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alc", "entropy"])
def test_a_folder_ends_where_a_round_can_pay_for_no_more(noisy, oracle, tmp_path, name):
    """Dear examples, of whatever weight, keep no place from those that are left."""
    dataset, _ = noisy
    ask, costs = oracle
    costs = np.where(costs > 1, 1000.0, 1.0)
    exchange = methods.LabelExchange(
        tmp_path,
        dataset,
        costs=costs,
        round_budget=90.0,
        method=methods.make_correction_method(name),
        settings=_SETTINGS,
    )
    for questions in (90, 60):
        assert exchange.advance().questions == questions
        answer_all(tmp_path, ask)
    assert exchange.advance() is None
    assert (exchange.status[costs > 1] == "given").all()
    assert not (exchange.status[costs == 1] == "given").any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 10}, "batch: got 10 with costs, expected round_budget alone"),
        ({"round_budget": None}, "round_budget: got None with costs"),
        ({"round_budget": 0.5}, "round_budget: got 0.5, expected at least the cost"),
        ({"costs": None}, "batch: got None without costs"),
        ({"costs": None, "batch": 10}, "round_budget: got 20 without costs"),
        (
            {"costs": None, "round_budget": None, "batch": 10, "per_cost": False},
            "per_cost: got False without costs",
        ),
        ({"costs": np.ones(299)}, r"costs: got shape \(299,\), expected one for each"),
    ],
)
def test_what_goes_together_in_a_folder(noisy, tmp_path, changes, message):
    dataset, _ = noisy
    good = {"costs": np.ones(300), "round_budget": 20.0, "settings": _SETTINGS}
    with pytest.raises(ValueError, match=message):
        methods.LabelExchange(tmp_path / "new", dataset, **{**good, **changes})
    assert not (tmp_path / "new").exists()
