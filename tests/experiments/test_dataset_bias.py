"""The dataset-bias study: bad flags, what is measured, and what is kept of examples."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from experiments.studies.dataset_bias import runner, setup
from experiments.studies.dataset_bias.config import DatasetBiasConfig
from experiments.studies.dataset_bias.presets import PRESETS
from experiments.studies.dataset_bias.study import STUDY
from experiments.study.run import Request, run_study
from experiments.study.table import Table
from robustjax import data
from robustjax.training import StopRequest

SMALL = {"dataset": "digits", "epochs": 3, "repeats": 2, "hidden": (16,)}
ALIGNED = {"aligned_ratio": 0.9}


def run(tmp_path, preset=None, **given):
    own = {} if given.get("bias") in ("folder", "file") else ALIGNED
    given = {**SMALL, **own, **given}
    request = Request((), preset, given, run_dir=str(tmp_path / "runs"))
    return run_study(STUDY, request, StopRequest())


def resolved(preset, **given):
    return STUDY.plan(Request((), preset, given)).settings.config


def write_points(folder, *, count=40, test_count=40):
    """An .npz file of two classes, and a CSV of attributes for each split."""
    rng, paths, splits = np.random.default_rng(0), {}, {}
    for split, size in (("train", count), ("test", test_count)):
        labels = np.arange(size) % 2
        inputs = rng.normal(size=(size, 4)).astype(np.float32)
        splits[split] = data.make_dataset(inputs, labels)
        bias = np.where(np.arange(size) % 8 < 2, 1 - labels, labels)
        rows = "".join(f"{i},{b}\n" for i, b in enumerate(bias))
        paths[f"{split}_bias"] = folder / f"{split}.csv"
        paths[f"{split}_bias"].write_text(f"id,bias\n{rows}")
    paths["dataset"] = folder / "points.npz"
    data.save_npz(paths["dataset"], **splits)
    fields = {name: str(path) for name, path in paths.items()}
    return {**fields, "bias": "file", "batch_size": 8}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "colored_mnst_99"}, "preset: unknown .*did you mean 'colored_mnis"),
        ({"methods": ("lf",)}, "methods: unknown 'lf' .*did you mean 'lff'"),
        ({"options": ("lff.k=1",)}, "options: lff has no 'k'; it has q,"),
        ({"bias": "colours"}, "bias: unknown 'colours' .*did you mean 'colors'"),
        ({"aligned_ratio": 1.0}, r"aligned_ratio: got 1.0, expected a .* \(0, 1\)"),
        ({"aligned_ratio": 0.0}, r"aligned_ratio: got 0.0, expected a .* \(0, 1\)"),
        (
            {"aligned_ratio": 0.999},
            "aligned_ratio: got 0.999, which leaves class 0 of 142 .*without a conflic",
        ),
        ({"assignment": "sorted"}, "assignment: unknown 'sorted'; known: file_order"),
        ({"bias_severity": 6}, "bias_severity: got 6"),
        ({"color_style": "dfa"}, "color_style: unknown 'dfa'"),
        (
            {"color_style": "pgd", "bias_severity": 3},
            "bias_severity: got 3 with color_style=pgd, whose colours have one jitter",
        ),
        (
            {"color_style": "pgd", "bias": "corruption1"},
            "color_style: got pgd with bias=corruption1, expected it for colors",
        ),
        (
            {"aligned_ratio": 0.5, "bias": "folder"},
            "aligned_ratio: got 0.5 with bias=folder, whose attributes are as they",
        ),
        (
            {"assignment": "random", "bias": "file"},
            "assignment: got random with bias=file",
        ),
        ({"bias": "corruption1"}, "dataset: .*expected"),
        ({"bias": "file"}, "train_bias: got None with bias=file, expected a CSV file"),
        ({"test_bias": "a.csv"}, "test_bias: got 'a.csv' with bias=colors, expected n"),
        (
            {"network": "small_cnn", "double_scaling": True},
            "double_scaling: got True with network=small_cnn, expected it for mlp al",
        ),
        (
            {"network": "small_cnn", "initialization": "torch"},
            "initialization: got torch with network=small_cnn",
        ),
        ({"initialization": "he"}, "initialization: unknown 'he'"),
        (
            {"methods": ("bias_swap",), "epochs": 30},
            "network: got MLP, which has no class activation maps, expected a convolu",
        ),
        (
            {"methods": ("group_dro",), "aligned_ratio": 0.95},
            "methods: group_dro needs an example of every label with every bias, got",
        ),
        (
            {
                "methods": ("conflict_sampling",),
                "options": ("conflict_sampling.diversity_ratio=0.2",),
            },
            r"options .conflict_sampling.diversity_ratio.: got 0.2, which is 287 of",
        ),
        (
            {"methods": ("jtt",), "options": ("jtt.identification_epochs=3",)},
            "epochs: got 3, expected an integer >= 4",
        ),
        (
            {"methods": ("repair",), "options": ("repair.keep=0",)},
            r"options .repair.keep.: got 0",
        ),
        (
            {"methods": ("dfa",)},
            r"options .dfa.swap_from_step.: got 10000 with 18 steps .* at most 16;",
        ),
        (
            {"methods": ("lff",), "options": ("lff.truncate=true",)},
            "epochs: got 3, expected an integer >= 11",
        ),
        ({"noise": "key"}, "label_set: got None"),
        ({"noise_rate": 1.5}, r"noise_rate: got 1.5, expected a number in \[0, 1\]"),
        ({"augment": "mirror"}, "augment: unknown 'mirror'"),
        ({"batch_size": 4096}, "batch_size: got 4096, expected at most"),
        (
            {"methods": ("hex",), "batch_size": 8},
            "batch_size: got 8, expected more examples than the 10 classes",
        ),
        ({"optimizer": "adam", "momentum": 0.5}, "momentum: got 0.5 with optim"),
        ({"optimizer": "lion"}, "optimizer: unknown 'lion'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_flags_are_named_before_any_training(tmp_path, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,bias\n0,1\n", r"train_bias\[bias\]: .*39"),
        ("id,color\n0,1\n", "train_bias: .*bias"),
        (None, "train_bias: "),
    ],
    ids=["too few", "another column", "out of range"],
)
def test_attributes_that_do_not_match_labels_are_refused(tmp_path, text, message):
    given = write_points(tmp_path)
    if text is None:
        text = "id,bias\n" + "".join(f"{i},7\n" for i in range(40))
        message = r"train_bias\[bias\]: "
    with open(given["train_bias"], "w") as file:
        file.write(text)
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_class_without_conflicting_examples_is_refused(tmp_path):
    given = write_points(tmp_path)
    aligned = "".join(f"{i},{i % 2 if i != 1 else 0}\n" for i in range(40))
    with open(given["train_bias"], "w") as file:
        file.write(f"id,bias\n{aligned}")
    with pytest.raises(ValueError, match="train_bias: class.es. '0' .*no bias-conflic"):
        run(tmp_path, **given)
    with open(given["train_bias"], "w") as file:
        file.write("id,bias\n" + "".join(f"{i},{i % 4 // 2}\n" for i in range(40)))
    with open(given["test_bias"], "w") as file:
        file.write("id,bias\n" + "".join(f"{i},0\n" for i in range(40)))
    with pytest.raises(ValueError, match=r"test_split: .*no example in 2 of 4 pairs"):
        run(tmp_path, **given)
    assert not (tmp_path / "runs").exists()


def test_folders_are_read_by_their_names(tmp_path):
    rng = np.random.default_rng(0)
    for part, pairs in (
        ("align", ((0, 0), (1, 1))),
        ("conflict", ((0, 1), (1, 0))),
        ("test", ((0, 1), (1, 0))),
    ):
        (tmp_path / "set" / part).mkdir(parents=True)
        for number, (target, bias) in enumerate(pairs * 2):
            image = Image.fromarray(rng.integers(0, 255, (6, 6, 3), np.uint8))
            image.save(tmp_path / "set" / part / f"{number}_{target}_{bias}.png")
    given = {"dataset": str(tmp_path / "set"), "bias": "folder", "batch_size": 4}
    config = DatasetBiasConfig(**{**SMALL, **given})
    study = setup.prepare(config)
    assert (len(study.train), len(study.test)) == (8, 4)
    # A test set without aligned images, as bFFHQ's, has one accuracy.
    assert runner.defined_accuracies(study.test) == ["conflicting"]
    # DFA's own files take the place of its presets' images.
    fields = {**PRESETS["colored_mnist_dfa_99"].fields, **given, "train_split": "train"}
    assert len(setup.prepare(DatasetBiasConfig(**fields)).train) == 8
    ratio = resolved("colored_mnist_dfa_95", **given, train_split="train")
    assert ratio.aligned_ratio == 0.95
    Image.new("RGB", (6, 6)).save(tmp_path / "set" / "test" / "9_2_0.png")
    with pytest.raises(ValueError, match="test_split: its classes are 0, 1, 2, expect"):
        run(tmp_path, **given)
    (tmp_path / "set" / "test" / "9_2_0.png").unlink()
    (tmp_path / "set" / "align" / "cat.png").write_bytes(b"")
    with pytest.raises(ValueError, match="dataset: 1 of 5 image.* are not called"):
        run(tmp_path, **given)
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished small comparison, with labels that are wrong as well."""
    folder = tmp_path_factory.mktemp("bias")
    methods = ("vanilla", "lff", "jtt")
    return run(folder, methods=methods, noise_rate=0.1, watch_examples=50)


def columns_of(folder):
    """`examples.csv` as arrays (R, N) of its columns."""
    with open(folder / "examples.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    arrays = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    arrays.pop("id")
    return {k: _numbers(a).reshape(2, -1) for k, a in arrays.items()}


def _numbers(values):
    return np.array([{"True": 1, "False": 0}.get(v, v) for v in values], float)


@pytest.mark.slow
def test_what_is_measured(finished):
    assert finished.name == "digits-colors-symmetric-10"
    table = Table.read(finished)
    assert [s.columns["method"] for s in table.settings] == ["vanilla", "lff", "jtt"]
    for setting in table.settings:
        values = setting.values
        ours = values["aligned"] / 10 + 0.9 * values["conflicting"]
        np.testing.assert_allclose(values["unbiased"], ours, atol=1e-9)
        for name in ("unbiased", "conflicting"):
            assert (values[f"{name}_best"] >= values[name]).all()
        method = setting.columns["method"]
        for name in ("unbiased", *runner.LOSSES):
            curve = table.curve(name, method=method)
            assert list(curve.epochs) == [1, 2, 3]
        last = table.curve("unbiased", method=method).values[:, -1]
        np.testing.assert_array_equal(last, values["unbiased"])
    for name in ("accuracy.png", "losses.png", "examples.png"):
        assert (finished / name).stat().st_size > 5000


def test_what_is_kept_of_examples(finished):
    found = columns_of(finished)
    np.testing.assert_array_equal(
        found["is_conflicting"], found["bias"] != found["true"]
    )
    assert found["is_conflicting"].mean() == pytest.approx(0.1, abs=0.01)
    wrong = found["given"] != found["true"]
    assert wrong.mean() == pytest.approx(0.1, abs=0.001)
    # Groups of label and bias are those of all repeats, and so are the labels.
    np.testing.assert_array_equal(found["given"][0], found["given"][1])
    assert set(np.unique(found["jtt.weight"])) == {1.0, 21.0}
    weight = found["lff.weight"]
    assert (weight >= 0).all()
    assert (weight <= 1).all()
    # Plain training has no opinion of single examples but its probability.
    assert {key for key in found if key.startswith("vanilla.")} == {
        "vanilla.predicted",
        "vanilla.given_probability",
    }


def test_relative_difficulty_is_told_of_both_networks():
    average = np.array([[[2.0, 1.0], [4.0, 4.0], [1.0, 3.0]]], np.float32)
    rows = {"debiased": ({"average": average, "class": np.array([[0, 0, 1]])}, ())}
    weight = runner.example_scores(rows, np.array([[0, 0, 1]]), 2)["weight"]
    np.testing.assert_allclose(weight[0], [2 / 3, 0.5, 0.5], rtol=1e-6)


def test_splits_are_scored():
    suspected = np.array([[True, True, False, False]])
    conflicting = np.array([True, False, False, False])
    found = runner.split_measures(suspected, conflicting)
    assert found["split_precision"] == [0.5]
    assert found["split_recall"] == [1.0]


def test_roles_are_swapped():
    config = DatasetBiasConfig(**{**SMALL, **ALIGNED})
    plain = setup.prepare(config)
    swapped = setup.prepare(
        DatasetBiasConfig(**{**SMALL, **ALIGNED, "swap_roles": True})
    )
    np.testing.assert_array_equal(plain.train.bias, swapped.given[0])
    np.testing.assert_array_equal(plain.given[0], swapped.train.bias)
    np.testing.assert_array_equal(
        plain.train.dataset.inputs, swapped.train.dataset.inputs
    )


def test_presets_hold_what_was_published():
    # alinlab/LfF: Adam at 1e-3, batches of 256, 23,500 steps, q and decay 0.7.
    for percent, ratio in (("95", 0.95), ("98", 0.98), ("99", 0.99), ("995", 0.995)):
        fields = PRESETS[f"colored_mnist_{percent}"].fields
        assert fields["aligned_ratio"] == ratio
        assert -(-60_000 // fields["batch_size"]) * fields["epochs"] == 23_500
        assert fields["hidden"] == (100, 100, 100)
        assert fields["double_scaling"]
        assert "lff.q=0.7" in fields["options"]
        dfa = PRESETS[f"colored_mnist_dfa_{percent}"].fields
        assert dfa["train_split"] == "train[:55000]"
        assert -(-55_000 // dfa["batch_size"]) * dfa["epochs"] >= 50_000
        assert PRESETS[f"colored_mnist_{percent}_benign"].fields["swap_roles"]
        weights = {"95": "1", "98": "5", "99": "5", "995": "1"}[percent]
        for kind in (1, 2):
            fields = PRESETS[f"cifar10_type{kind}_{percent}"].fields
            assert fields["network"] == "cifar_resnet20"
            options = json.dumps(fields["options"])
            assert f'dfa.lambda_dis={weights}"' in options


@pytest.mark.parametrize(("scale", "swaps_from"), [("", 10_000), ("_small", 4_000)])
def test_presets_take_dfa_apart(scale, swaps_from):
    preset = f"colored_mnist_dfa_ablation{scale}"
    settings = STUDY.plan(Request((), preset, {})).settings
    assert {n: e.name for n, e in settings.choice.chosen.items()} == {
        **{"vanilla": "vanilla", "disentangle": "dfa"},
        **{"augment": "dfa", "scheduled": "dfa"},
    }
    rows = settings.choice.values
    assert rows["disentangle"]["lambda_swap"] == 0
    assert rows["augment"]["swap_from_step"] == 0
    assert rows["scheduled"]["swap_from_step"] == swaps_from
    assert rows["augment"]["lambda_swap"] == rows["scheduled"]["lambda_swap"] == 1
    # The rate falls when twice, three and four times as many steps are done.
    config = settings.config
    falls = np.array(config.drop_at) * 215 / swaps_from
    np.testing.assert_allclose(falls, [2, 3, 4], atol=0.03)
    assert config.epochs * 215 == pytest.approx(5 * swaps_from, rel=0.002)


@pytest.mark.parametrize(("scale", "epochs"), [("", 233), ("_small", 93)])
def test_presets_have_both_ratios(scale, epochs):
    preset = f"colored_mnist_dfa_diversity{scale}"
    settings = STUDY.plan(Request((), preset, {})).settings
    assert settings.config.epochs == epochs
    assert settings.config.aligned_ratio == 0.95
    assert settings.choice.values == {
        "d5_s50": {"sampling_ratio": 0.5},
        "d1_s50": {"sampling_ratio": 0.5, "diversity_ratio": 0.01},
        "d5_s1": {"sampling_ratio": 0.01},
        "d1_s1": {"sampling_ratio": 0.01, "diversity_ratio": 0.01},
    }
