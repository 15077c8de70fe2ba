"""The list of suspected bias-conflicting examples, as a person makes it."""

from __future__ import annotations

import csv

import jax
import numpy as np
import pytest

from robustjax import data
from robustjax.tools.biased_outputs import read_outputs
from tests.harness.tool_runs import endings, run_verb

NAMES = ("cat", "dog", "cow")
N, C, D = 60, 3, 4


def _read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _write(path, columns, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture
def small(tmp_path):
    """Flags for 60 animals, the data set, and what networks say of them."""
    rng = np.random.default_rng(0)
    dataset = data.make_dataset(
        rng.normal(size=(N, D)).astype(np.float32),
        np.arange(N) % C,
        ids=[f"animal {row}" for row in range(N)],
        class_names=NAMES,
    )
    data.save_npz(tmp_path / "animals.npz", train=dataset)
    said = {
        "pred_probs": rng.dirichlet(np.ones(C), N).astype(np.float32),
        "debiased_pred_probs": rng.dirichlet(np.ones(C), N).astype(np.float32),
        "features": rng.normal(size=(N, D)).astype(np.float32),
    }
    np.savez(tmp_path / "said.npz", **said)
    flags = {
        "dataset": tmp_path / "animals.npz",
        "probabilities": tmp_path / "said.npz",
        "out": tmp_path / "bias",
    }
    return flags, dataset, said


def test_columns_belong_to_classes_by_name(small, tmp_path):
    _, dataset, said = small
    path, order, rows = tmp_path / "said.npz", [2, 0, 1], np.arange(N)[::-1]
    changed = {name: x[rows] for name, x in said.items()}
    for name in ("pred_probs", "debiased_pred_probs"):
        changed[name] = changed[name][:, order]
    np.savez(
        path,
        **changed,
        ids=dataset.ids[rows],
        labels=np.argsort(order)[dataset.labels[rows]],
        class_names=np.array(NAMES)[order],
    )
    found, _ = read_outputs(str(path), dataset)
    for got, want in zip(found, said.values()):
        np.testing.assert_allclose(got, want)
    # By themselves they have the file's names.
    assert read_outputs(str(path), None)[1].class_names == tuple(
        NAMES[i] for i in order
    )
    np.savez(path, **changed, labels=dataset.labels, class_names=np.array(NAMES)[order])
    with pytest.raises(ValueError, match="its labels differ from those of"):
        read_outputs(str(path), dataset)


def _by_hand(labels, said):
    """The three scores, example by example."""
    p, d, f = (said[name].astype(np.float64) for name in said)
    found = {name: [] for name in ("swap", "relative_difficulty", "gradient_norm")}
    loss = [-np.log(q[np.arange(N), labels]) for q in (p, d)]
    for i, y in enumerate(labels):
        found["swap"].append(abs((p[i].argmax() == y) - p[i].max()))
        hard, other = (each[i] / each[labels == y].max() for each in loss)
        found["relative_difficulty"].append(hard / (hard + other))
        outer = np.outer(f[i], p[i] - np.eye(C)[y])
        found["gradient_norm"].append(np.linalg.norm(outer))
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.slow
def test_tables_say_what_numpy_says(small, tmp_path):
    flags, dataset, said = small
    labels, scored = dataset.labels, _by_hand(dataset.labels, said)
    # By the score of their own, in another order, with the bias known.
    shuffled = np.random.default_rng(1).permutation(N)
    arrays = {name: array[shuffled] for name, array in said.items()}
    np.savez(tmp_path / "shuffled.npz", **arrays, ids=dataset.ids[shuffled])
    kinds = np.where(np.arange(N) % 5 == 0, (labels + 1) % C, labels)
    rows = [[f"animal {row}", NAMES[kinds[row]]] for row in shuffled]
    _write(tmp_path / "kinds.csv", ["id", "bias"], rows)
    by_class = {
        "probabilities": tmp_path / "shuffled.npz",
        "out": tmp_path / "other",
        "by": "gradient_norm",
        "scope": "class",
        "bias": tmp_path / "kinds.csv",
    }
    # Without a data set: the file has labels, and no features.
    lone = {name: array for name, array in said.items() if name != "features"}
    np.savez(tmp_path / "lone.npz", **lone, labels=labels)
    alone = {
        "dataset": None,
        "probabilities": tmp_path / "lone.npz",
        "out": tmp_path / "alone",
        "by": "relative_difficulty",
    }
    plain = flags | {"rule": "mean"}
    done = run_verb("find-bias", **plain)
    assert endings("find-bias", [plain | by_class, flags | alone]) == ["fine"] * 2

    assert sorted(path.name for path in flags["out"].iterdir()) == [
        *("examples.csv", "scores.png", "summary.csv")
    ]
    table = _read(flags["out"] / "examples.csv")
    order = np.argsort(-scored["swap"], kind="stable")
    above = scored["swap"] > scored["swap"].mean()
    assert [row["id"] for row in table] == [f"animal {row}" for row in order]
    for rank, (row, i) in enumerate(zip(table, order), 1):
        assert row["given_label"] == NAMES[labels[i]]
        assert row["predicted_label"] == NAMES[said["pred_probs"][i].argmax()]
        assert row["suspected"] == str(bool(above[i]))
        assert row["rank"] == str(rank)
        for name, values in scored.items():
            np.testing.assert_allclose(float(row[name]), values[i], rtol=1e-4)
    suspects = f"{above.sum()} ({above.mean():.1%}) of 60 examples are suspected by sw"
    assert suspects in done.stdout
    right = np.mean(said["pred_probs"].argmax(1) == labels)
    assert f"the biased network predicts {right:.1%} of the given" in done.stdout

    other = _read(tmp_path / "other" / "examples.csv")
    assert [row["id"] for row in other] == [
        f"animal {row}" for row in np.argsort(-scored["gradient_norm"])
    ]
    summary = _read(tmp_path / "other" / "summary.csv")
    assert len(summary) == 3 * (1 + C)
    conflicting = kinds != labels
    for row in summary:
        score = scored[row["score"]]
        means = np.array([score[labels == y].mean() for y in range(C)])
        mine = np.ones(N, bool)
        if row["label"]:
            number = NAMES.index(row["label"])
            mine = labels == number
            np.testing.assert_allclose(float(row["threshold"]), means[number], 1e-4)
            assert row["auroc"] == ""
        suspected = score > means[labels]
        assert int(row["examples"]) == mine.sum()
        assert int(row["suspected"]) == (suspected & mine).sum()
        assert int(row["conflicting"]) == (conflicting & mine).sum()
        np.testing.assert_allclose(
            float(row["share"]), suspected[mine].mean(), atol=1e-4
        )
        if not row["label"]:
            assert row["threshold"] == ""
            pairs = score[conflicting][:, None] > score[~conflicting]
            np.testing.assert_allclose(float(row["auroc"]), pairs.mean(), atol=1e-4)
            hits = (suspected & conflicting).sum()
            np.testing.assert_allclose(
                [float(row["precision"]), float(row["recall"])],
                [hits / suspected.sum(), hits / conflicting.sum()],
                atol=1e-4,
            )

    table = _read(tmp_path / "alone" / "examples.csv")
    assert [int(row["id"]) for row in table] == np.argsort(
        -scored["relative_difficulty"]
    ).tolist()
    assert {row["given_label"] for row in table} == {"0", "1", "2"}


@pytest.mark.slow
def test_training_finds_digits_in_other_colors(tmp_path):
    """And its outputs, given back, make the same tables."""
    plain = data.take(data.load("digits", "train"), np.arange(700))
    key = jax.random.key(0)
    digits = data.colored_mnist(plain, 0.95, key, assignment="random")
    data.save_npz(tmp_path / "digits.npz", train=digits.dataset)
    rows = zip(digits.dataset.ids.tolist(), digits.bias.tolist())
    _write(tmp_path / "colors.csv", ["id", "bias"], rows)
    flags = {
        "dataset": tmp_path / "digits.npz",
        "out": tmp_path / "bias",
        "bias": tmp_path / "colors.csv",
        "epochs": 15,
        "batch_size": 64,
    }
    assert endings("find-bias", [flags]) == ["fine"]
    for row in _read(flags["out"] / "summary.csv"):
        if not row["label"]:
            assert float(row["auroc"]) > 0.8
    table = _read(flags["out"] / "examples.csv")
    conflicting = set(digits.dataset.ids[~digits.is_aligned].astype(str))
    # Chance would be one in twenty.
    assert np.mean([row["id"] in conflicting for row in table[:20]]) > 0.7
    again = {
        "probabilities": flags["out"] / "outputs.npz",
        "out": tmp_path / "again",
    }
    assert endings("find-bias", [again]) == ["fine"]
    assert _read(tmp_path / "again" / "examples.csv") == table


@pytest.mark.slow
def test_bad_flags_are_named(small, tmp_path):
    flags, dataset, said = small
    p = said["pred_probs"]
    files = {
        "unlabeled": {"pred_probs": p},
        "unnamed": {"predictions": p},
        "narrow": {"pred_probs": np.full((N, 2), 0.5)},
        "logits": {"pred_probs": np.log(p)},
        "short": {"pred_probs": p, "features": said["features"][1:]},
        "strange": {"pred_probs": p, "ids": np.arange(N)},
        "other": {"pred_probs": p, "labels": (dataset.labels + 1) % C},
        "high": {"pred_probs": p, "labels": np.full(N, C)},
        "debiased": {"pred_probs": p, "debiased_pred_probs": p[:, :2] + p[:, 2:] / 2},
    }
    for name, arrays in files.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
    (tmp_path / "text.npz").write_text("0.5,0.5")
    ids = [f"animal {row}" for row in range(N)]
    names = [NAMES[label] for label in dataset.labels]
    _write(tmp_path / "agree.csv", ["id", "bias"], zip(ids, names))
    _write(tmp_path / "pigs.csv", ["id", "bias"], [(i, "pig") for i in ids])
    (tmp_path / "file").write_text("mine")
    cases = [
        ({"out": None}, "out: got nothing, expected --out=…"),
        ({"out": tmp_path / "file"}, "out: cannot use "),
        (
            {"dataset": None, "probabilities": None},
            "dataset: got nothing, expected --dataset=…, or --probabilities=… ",
        ),
        (
            {"dataset": None, "labels": "labels.csv"},
            "labels: got a file without --dataset; put them into that of --p",
        ),
        ({"by": "swop"}, "by: unknown 'swop' (did you mean 'swap'?)"),
        ({"rule": "gap"}, "rule: unknown 'gap'; known: mean, otsu, largest_gap"),
        ({"scope": "group"}, "scope: unknown 'group'; known: all, class"),
        ({"epochs": 0}, "epochs: got 0, expected an integer >= 1"),
        ({"learning_rate": 0}, "learning_rate: got 0.0"),
        ({"network": "cnn"}, "network: unknown 'cnn'"),
        (
            {"network": "small_cnn", "probabilities": None},
            "network: 'small_cnn' n",
        ),
        (
            {"augment": "flip", "probabilities": None},
            "augment: 'flip' needs im",
        ),
        (
            {"dataset": None, "probabilities": "unlabeled"},
            "labels: '*' lacks labels; it holds pred_probs",
        ),
        (
            {"probabilities": "unnamed"},
            "probabilities: '*' lacks pred_probs; ",
        ),
        (
            {"probabilities": "narrow"},
            "probabilities: got shape (60, 2), expected (60, ",
        ),
        ({"probabilities": "logits"}, "probabilities: 60 row(s) do not sum to 1"),
        (
            {"probabilities": "short"},
            "probabilities: lengths differ (probabilities 60,",
        ),
        ({"probabilities": "strange"}, "ids: 60 id(s) do not occur in animals.npz"),
        (
            {"probabilities": "other"},
            "probabilities: its labels differ from those",
        ),
        ({"probabilities": "high"}, "probabilities[labels]: 60 label(s) out of"),
        (
            {"probabilities": "debiased"},
            "debiased_pred_probs: got shape (60, 2)",
        ),
        ({"probabilities": "text"}, "probabilities: cannot read '*' as .npy or"),
        (
            {"probabilities": "unlabeled", "by": "relative_difficulty"},
            "debiased_pred_probs: got None, expected those of a second network",
        ),
        ({"bias": tmp_path / "agree.csv"}, "bias: got 0 conflicting of 60 examples"),
        ({"bias": tmp_path / "pigs.csv"}, "bias[bias]: 60 value(s) are no class"),
    ]
    runs = []
    for changes, _ in cases:
        runs.append(flags | changes)
        if changes.get("probabilities"):
            runs[-1]["probabilities"] = tmp_path / f"{changes['probabilities']}.npz"
    messages = endings("find-bias", runs)
    assert len(messages) == len(cases)
    for (changes, expected), message in zip(cases, messages):
        name = tmp_path / f"{changes.get('probabilities')}.npz"
        assert message.startswith(expected.replace("*", str(name))), message
    assert not flags["out"].exists()
    # As a command: one line and status 2.
    done = run_verb("find-bias", **flags | {"by": "swop"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: --by: unknown 'swop'")
    assert done.stderr.count("\n") == 1


def test_options_of_a_training_that_will_not_be_are_refused(small):
    flags, _, _ = small
    found = endings(
        "find-bias",
        [
            flags | {"epochs": 50},
            flags | {"network": "small_cnn"},
            flags | {"standardize": True},
        ],
    )
    for name, text in zip(("epochs", "network", "standardize"), found):
        assert text.startswith(f"{name}: got "), text
        assert "with --probabilities, of networks that were trained already" in text
