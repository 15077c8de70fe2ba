"""Which part of a data set to keep, as a person asks for it: commands and files."""

import csv

import jax
import numpy as np
import pytest

from robustjax import data, selection
from robustjax.tools.warm_up import missing_inputs
from tests.harness.tool_runs import endings, run_verb

N, C, D = 40, 3, 4


def _read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def small(tmp_path):
    """Arrays, and flags of files that hold them."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(N, C))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    arrays = {
        "features": rng.normal(size=(N, D)).astype(np.float32),
        "probabilities": p.astype(np.float32),
        "labels": rng.permutation(np.repeat(np.arange(C), [5, 15, 20])),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    flags = {name: tmp_path / f"{name}.npy" for name in arrays}
    return arrays, flags | {"fraction": 0.5, "out": tmp_path / "kept.csv"}


@pytest.mark.slow
def test_an_offset_or_a_scale_of_the_features_changes_no_pick(small, tmp_path):
    """At 1.7e9 float32 alone gave the picks 0, 1, 2, … and at 1e20 0, 0, 0."""
    features = np.random.default_rng(1).normal(size=(N, D))
    changed = {
        "plain": features,
        "far": features + 1.7e9,
        "huge": features * 1e20,
        "single": (features * 1e25).astype(np.float32),
    }
    runs = []
    for name, array in changed.items():
        np.save(tmp_path / f"{name}.npy", array)
        common = {"features": tmp_path / f"{name}.npy", "fraction": 0.3}
        runs.append({**common, "method": "k_center", "out": tmp_path / f"{name}.csv"})
    assert endings("keep", runs) == ["fine"] * len(runs)
    want = _read(runs[0]["out"])
    picks = [row["index"] for row in want]
    assert len(set(picks)) == 12
    for run, scale in zip(runs[1:], (1, 1e20, 1e25)):
        rows = _read(run["out"])
        assert [row["index"] for row in rows] == picks
        for row, right in zip(rows[1:], want[1:]):
            gain = float(right["gain"]) * scale
            np.testing.assert_allclose(float(row["gain"]), gain, rtol=1e-4)


@pytest.mark.slow
def test_tables_say_what_the_library_selects(small, tmp_path):
    arrays, flags = small
    ids = np.array([f"image {row}" for row in range(N)])
    np.savez(tmp_path / "all.npz", **arrays, ids=ids, forgetting=np.arange(N) % 4)
    one_file = dict.fromkeys((*arrays, "ids"), tmp_path / "all.npz")
    events = {"forgetting": tmp_path / "all.npz", "never_learned": "least"}
    prune4rel = {"threshold": 0.8, "temperature": 2.0, "confidence": "diff_prob"}
    cases = [
        ("prune4rel", {}, None, prune4rel),
        ("prune4rel", {"balanced": True}, "even", {"objective": "coverage"}),
        ("k_center", {"seed": 3}, None, {}),
        ("ccs", {}, None, {"strata": 4, "hard_cutoff": 0.2}),
        ("forgetting", events, None, {"never_learned": "least"}),
    ]
    runs = [
        flags
        | one_file
        | options
        | {"method": method, "out": tmp_path / f"{number}.csv"}
        | changes
        for number, (method, changes, _, options) in enumerate(cases)
    ]
    # Without ids and labels their columns are missing.
    runs.append(flags | {"method": "margin", "labels": None})
    first, *others = runs
    done = run_verb("keep", **first)
    assert done.stdout == (
        f"kept 20 of {N} examples (50.0%); {first['out']} lists them in order of "
        "selection\n"
    )
    # The estimate, and the bar.
    assert "prune4rel: 20 of 40 examples, about 0 s and 0.00 GiB" in done.stderr
    assert "prune4rel: 100%" in done.stderr
    assert endings("keep", others) == ["fine"] * len(others)
    for run, (method, changes, balance, options) in zip(runs, cases):
        extra = {"forgetting": np.arange(N) % 4} if method == "forgetting" else {}
        expected = selection.select(
            **arrays,
            **extra,
            fraction=0.5,
            method=method,
            balance=balance,
            key=jax.random.key(changes.get("seed", 0)),
            **options,
        )
        rows = _read(run["out"])
        assert list(rows[0]) == ["order", "index", "id", "gain", "label"]
        for place, (row, index) in enumerate(zip(rows, expected.indices)):
            assert row["order"] == str(place)
            assert row["index"] == str(index)
            assert row["id"] == f"image {index}"
            assert row["label"] == str(arrays["labels"][index])
            np.testing.assert_allclose(float(row["gain"]), expected.gains[place], 1e-3)
        assert len(rows) == 20
    assert list(_read(flags["out"])[0]) == ["order", "index", "gain"]


def test_rows_and_columns_of_files_are_joined_by_what_these_say(small, tmp_path):
    """They were taken in the order of the file, whatever ids it had."""
    arrays, flags = small
    names, ids = ["ape", "bee", "cow"], [f"image {row}" for row in range(N)]
    dataset = data.make_dataset(
        arrays["features"], arrays["labels"], ids=ids, class_names=names
    )
    data.save_npz(tmp_path / "data.npz", train=dataset)
    rows, columns = np.random.default_rng(3).permutation(N), [2, 0, 1]
    np.savez(
        tmp_path / "mixed.npz",
        probabilities=arrays["probabilities"][rows][:, columns],
        ids=np.array(ids)[rows],
        class_names=np.array(names)[columns],
    )
    plain = {"dataset": tmp_path / "data.npz", "labels": None, "features": None}
    plain = flags | plain | {"method": "margin"}
    mixed = plain | {"probabilities": tmp_path / "mixed.npz"}
    tables = []
    for run in (plain, mixed):
        assert endings("keep", [run]) == ["fine"]
        tables.append(_read(run["out"]))
    assert tables[0] == tables[1]
    # Without a data set there is nothing to join to.
    np.save(tmp_path / "ids.npy", ids)
    alone = {"dataset": None, "ids": tmp_path / "ids.npy"}
    (message,) = endings("keep", [mixed | alone])
    assert message.startswith("probabilities: its file has other ids than that of ids")
    # A number and what prints like it are one id.
    np.save(tmp_path / "numbers.npy", np.arange(N))
    np.savez(
        tmp_path / "texts.npz",
        probabilities=arrays["probabilities"],
        ids=np.arange(N).astype(str),
    )
    same = {"ids": tmp_path / "numbers.npy", "probabilities": tmp_path / "texts.npz"}
    assert endings("keep", [flags | {"method": "margin", "features": None} | same]) == [
        "fine"
    ]
    np.savez(
        tmp_path / "mixed.npz",
        probabilities=arrays["probabilities"],
        class_names=np.array(["ape", "bee", "zebra"]),
    )
    (message,) = endings("keep", [mixed])
    assert "has columns for the classes ape, bee, zebra, expected those" in message


@pytest.mark.slow
def test_bad_flags_are_named(small, tmp_path):
    arrays, flags = small
    p = arrays["probabilities"]
    files = {
        "logits": np.log(p),
        "short": p[1:],
        "high": arrays["labels"] + 1,
        "zero": arrays["features"] * (np.arange(N) != 3)[:, None],
        "twice": np.arange(N) // 2,
        "latin": np.array([f"caf\udce9 {row}" for row in range(N)]),
        "number": np.array(3),
    }
    for name, array in files.items():
        np.save(tmp_path / f"{name}.npy", array)
        files[name] = tmp_path / f"{name}.npy"
    np.savez(tmp_path / "two.npz", a=p, b=p)
    (tmp_path / "text.npy").write_text("0.5,0.5")
    cases = [
        ({"fraction": None}, "fraction: got nothing, expected --fraction=…"),
        ({"out": None}, "out: got nothing, expected --out=…"),
        ({"out": "/absent/kept.csv"}, "out: the folder of '/absent/kept.csv' does not"),
        ({"fraction": 0}, "fraction: got 0.0, expected a number in (0, 1]"),
        (
            {"fraction": 0.001},
            "fraction: got 0.001 of 40 examples, which rounds to non",
        ),
        ({"method": "prune"}, "method: unknown 'prune'"),
        (
            {"features": None},
            "method: 'prune4rel' got probabilities, labels, expected ",
        ),
        (
            {"features": None, "probabilities": None, "labels": None},
            "method: 'prune4rel' got nothing, expected features and probabilities",
        ),
        (
            {"method": "uniform", "threshold": 0.9},
            "threshold: not an option of method=",
        ),
        (
            {"method": "k_center", "balanced": True},
            "balanced: got 'even', expected none with method='k_center'",
        ),
        ({"balanced": True, "labels": None}, "labels: got None, expected given labels"),
        ({"threshold": 2}, "threshold: got 2.0, expected a number in [0, 1]"),
        ({"confidence": "max"}, "confidence: unknown 'max'"),
        ({"objective": "all"}, "objective: unknown 'all'"),
        (
            {"probabilities": files["logits"]},
            "probabilities: 40 row(s) do not sum to 1",
        ),
        (
            {"probabilities": files["short"]},
            "features: lengths differ (features 40, probabilities 39, labels 40)",
        ),
        ({"labels": files["high"]}, "labels: 20 label(s) out of range"),
        ({"features": files["zero"]}, "features: 1 row(s) are zero (first: row 3)"),
        ({"ids": files["twice"]}, "ids: 20 id(s) occur more than once"),
        ({"standardize": True}, "standardize: got True without --dataset"),
        ({"id_column": "key"}, "id_column: got key without --dataset"),
        ({"ids": files["latin"]}, "ids: 40 value(s) are not UTF-8 (first: 'caf"),
        ({"labels": files["number"]}, "labels: got a single value, expected an array"),
        (
            {"probabilities": tmp_path / "two.npz"},
            f"probabilities: '{tmp_path}/two.npz' lacks probabilities; it holds a, b",
        ),
        (
            {"features": tmp_path / "text.npy"},
            f"features: cannot read '{tmp_path}/text.npy' as .npy or .npz: it holds no",
        ),
        (
            {"features": tmp_path / "none.npy"},
            f"features: cannot read '{tmp_path}/none.npy' as .npy or .npz: No such",
        ),
    ]
    messages = endings("keep", [flags | changes for changes, _ in cases])
    assert len(messages) == len(cases)
    for (_, expected), message in zip(cases, messages):
        assert message.startswith(expected), message
    assert not flags["out"].exists()
    # As a command: one line and status 2.
    done = run_verb("keep", **flags | {"method": "prune"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: --method: unknown 'prune'")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_data_set_trains_what_a_method_needs(tmp_path):
    rng = np.random.default_rng(0)
    names = np.array(["éclair", "=pie"])[np.arange(60) % 2]
    inputs = rng.normal(size=(60, 3)) + 4 * (np.arange(60) % 2)[:, None]
    given = np.where(
        np.arange(60) < 6, np.where(names == "=pie", "éclair", "=pie"), names
    )
    rows = [["key", "a", "b", "c", "kind"]]
    rows += [[f"-{i}x", *x, kind] for i, (x, kind) in enumerate(zip(inputs, given))]
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    flags = {"dataset": tmp_path / "table.csv", "label_column": "kind"}
    flags |= {"id_column": "key", "hidden": 8, "batch_size": 16, "epochs": 6}
    flags |= {"out": tmp_path / "kept.csv", "fraction": 0.5, "standardize": True}
    found = {}
    for method in ("small_loss", "prune4rel", "uniform"):
        done = run_verb("keep", **flags, method=method)
        assert done.returncode == 0, done.stderr
        assert ("warm-up" in done.stderr) == (method != "uniform")
        found[method] = data.read_csv(flags["out"], name="kept")
    truth = {f"-{i}x": kind for i, kind in enumerate(given)}
    for rows in found.values():
        assert len(rows) == 30
        assert all(truth[row["id"]] == row["label"] for row in rows)
    # Wrong labels have a large loss: none of the six is among the half that is kept.
    assert not {f"-{i}x" for i in range(6)} & {r["id"] for r in found["small_loss"]}
    done = run_verb("keep", **flags, ids="x.npy")
    assert (
        done.stderr == "error: --ids: got a file beside --dataset, which has its own\n"
    )


@pytest.mark.slow
def test_nothing_is_trained_that_is_there():
    assert missing_inputs("uniform", {"labels"}) == ()
    assert missing_inputs("small_loss", {"labels"}) == ("losses",)
    assert missing_inputs("prune4rel", {"labels", "features"}) == ("probabilities",)
    assert missing_inputs("forgetting", {"labels"}) == ("forgetting", "learned")
    assert missing_inputs("grand", {"labels"}) == ("features", "probabilities")
    for method in selection.PRUNING_METHODS:
        missing_inputs(method, {"labels"})


def test_options_of_a_training_that_will_not_be_are_refused(small):
    flags = small[1] | {"method": "margin"}
    fine, epochs, hidden = endings(
        "keep", [flags, flags | {"epochs": 7}, flags | {"hidden": 9}]
    )
    assert fine == "fine"
    assert epochs == "epochs: got 7 without --dataset, and so without a training"
    assert hidden.startswith("hidden: got (9,) without --dataset")
