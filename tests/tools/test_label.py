"""The launcher for one's own pool, as a person uses it: commands and files."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

from robustjax.methods.active_learning import make_strategy
from robustjax.tools import own_pool
from robustjax.tools.options.label import LabelConfig
from tests.harness.tool_runs import endings, run_verb

NAMES = ("owl", "crow", "ood")


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def pool(tmp_path):
    """Flags for 30 points in three clusters, of which one is foreign; the truth."""
    rng = np.random.default_rng(0)
    true = np.arange(30) % 3
    inputs = (rng.normal(size=(30, 4)) + 4 * np.eye(3, 4)[true]).astype(np.float32)
    ids = np.array([f"bird {row}" for row in range(30)])
    np.savez(tmp_path / "birds.npz", inputs=inputs, ids=ids)
    flags = {
        "dataset": tmp_path / "birds.npz",
        "classes": "owl,crow",
        "folder": tmp_path / "labelling",
        "batch": 12,
        "method": "conf",
        "hidden": "8",
        "epochs": 2,
        "batch_size": 8,
    }
    return flags, dict(zip(ids.tolist(), (NAMES[c] for c in true)))


@pytest.mark.slow
def test_a_pool_is_labeled_command_by_command(tmp_path, pool):
    flags, truth = pool
    write(tmp_path / "known.csv", [{"id": "bird 4", "label": "crow"}])
    flags["known"] = tmp_path / "known.csv"
    folder = flags["folder"]
    asked = []
    for number in range(2):
        done = run_verb("label", **flags)
        assert done.returncode == 0, done.stderr
        assert f"round {number}: answer on the page" in done.stdout
        questions = read(folder / "to_label.csv")
        for row in questions[:-1]:
            row["new_label"] = truth[row["id"]]
        questions[-1]["new_label"] = "?"
        write(folder / "labeled.csv", questions)
        asked += [row["id"] for row in questions]
    assert len(set(asked)) == 24
    assert "bird 4" not in asked
    done = run_verb("label", **flags)
    assert done.returncode == 0, done.stderr
    assert "2 not decided" in done.stdout
    for row in read(folder / "labels.csv"):
        if row["status"] in ("known", "labeled"):
            assert row["label"] == truth[row["id"]]


def test_bad_flags_are_named_before_a_folder_is_made(tmp_path, pool):
    flags, _ = pool
    cases = [
        ({"classes": "owl,ood"}, "classes: got owl, ood, expected distinct names"),
        ({"classes": "owl"}, "classes: got owl, expected at least two"),
        ({"folder": ""}, "folder: got nothing, expected --folder="),
        ({"momentum": 0.5}, "momentum: got 0.5 with optimizer=adam, expected"),
        ({"method": "ccal"}, "method: got one that compares images"),
        ({"method": "mqnet", "batch": 31}, "batch: got 31, expected at most"),
    ]
    messages = endings("label", [flags | changes for changes, _ in cases])
    assert len(messages) == len(cases)
    for (_, expected), message in zip(cases, messages):
        assert message.startswith(expected), message
        assert "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["birds.npz"]


def test_few_labels_and_the_options_make_the_strategy():
    config = LabelConfig(options=("mqnet.steps=5",))
    strategy = own_pool.strategy_of(config)
    assert (strategy.informativeness, strategy.steps) == ("conf", 5)
    assert (strategy.purity, strategy.first_round) == ("features", "raw")
    config = LabelConfig(options=("mqnet.informativeness=ll", "mqnet.purity=csi"))
    strategy = own_pool.strategy_of(config)
    assert (strategy.informativeness, strategy.purity) == ("ll", "csi")
    assert strategy.first_round == "converted"
    with pytest.raises(ValueError, match="method: got all, expected a single one"):
        own_pool.strategy_of(dataclasses.replace(config, method="all"))
    config = LabelConfig(options=("mqnet.validation=random",))
    with pytest.raises(ValueError, match="options: got validation=random, expected "):
        own_pool.strategy_of(config)


def test_embeddings_of_other_data_or_settings_have_another_file():
    inputs, strategy = np.zeros((4, 2), np.uint8), make_strategy("mqnet")

    def name(inputs=inputs, strategy=strategy, **given):
        config = LabelConfig(**given)
        return own_pool.embeddings_name(config, inputs, strategy)

    names = [
        name(),
        name(inputs + 1),
        name(seed=1),
        name(embedding_epochs=2),
        name(embedding_hidden=(3,)),
        name(strategy=make_strategy("ccal")),
    ]
    assert len(set(names)) == len(names)
    # The classifier's own settings change nothing.
    assert name(epochs=3) == name()


@pytest.mark.slow
def test_a_folder_of_photographs_is_a_pool(tmp_path):
    """No class folders, names with blanks and accents, some of it deeper."""
    Image = pytest.importorskip("PIL.Image")
    (tmp_path / "Ferien ü" / "Tag 2").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"Bild {n}.png" for n in range(6)] + [f"Tag 2/x {n}.png" for n in range(6)]
    for name in names:
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "Ferien ü" / name)
    flags = {
        "dataset": tmp_path / "Ferien ü",
        "classes": "Meer,Berg",
        "folder": tmp_path / "labelling",
        "batch": 12,
        "method": "random",
        "network": "mlp",
        "batch_size": 4,
    }
    done = run_verb("label", **flags)
    assert done.returncode == 0, done.stderr
    asked = read(tmp_path / "labelling" / "to_label.csv")
    assert sorted(row["id"] for row in asked) == names
    page = (tmp_path / "labelling" / "to_label.html").read_text()
    assert page.count('class="picture"') == 12
    (message,) = endings("label", [flags | {"split": "test"}])
    assert message.startswith("split: got 'test', but the folder")
