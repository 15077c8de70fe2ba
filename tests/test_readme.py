"""The code of README and docs, run as it stands, page by page."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import re
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from robustjax import data
from tests.harness.page_commands import run_page

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    path.name: path
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
}


def blocks(page: str) -> list[str]:
    """The Python blocks of a page, in order; a later one may use an earlier one's."""
    return re.findall(r"```python\n(.*?)```", PAGES[page].read_text(), re.DOTALL)


def run(page: str, names: dict) -> dict:
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page}, block {number + 1}", "exec"), names)
    return names


@functools.cache
def digits(count: int, split: str = "train") -> data.Dataset:
    return data.take(data.load("digits", split), np.arange(count))


def check_readme():
    names = {
        "index": jnp.arange(8),
        "labels": jnp.arange(8),
        "logits": jnp.zeros((8, 10)),
    }
    names = run("README.md", names)
    np.testing.assert_allclose(names["loss"], np.log(10) + 3 * np.log(1 - 0.03), 1e-5)
    assert len(jax.tree.leaves(names["state"].rows)[0]) == 50_000


def trained(first, loop):
    """Accuracy on clean digits after the loop, half of the labels being wrong.

    With the names that the code has by then.
    """
    train, test = digits(1000), digits(350, "test")
    rng = np.random.default_rng(0)
    labels = (train.labels + (rng.random(1000) < 0.5) * rng.integers(1, 10, 1000)) % 10
    inputs, unseen = (d.inputs.reshape(-1, 64) / 255 for d in (train, test))

    def batches():
        for index in rng.permutation(1000).reshape(20, 50):
            yield {"index": index, "label": labels[index], "x": inputs[index]}

    def apply(params, x):
        for weights in params[:-1]:
            x = jax.nn.relu(x @ weights)
        return x @ params[-1]

    shapes = ((64, 256), (256, 256), (256, 10))
    params = [rng.normal(size=s).astype("f4") * (2 / s[0]) ** 0.5 for s in shapes]
    batch = next(batches())
    names = {
        "index": batch["index"],
        "labels": batch["label"],
        "logits": jnp.asarray(apply(params, batch["x"])),
        "params": params,
        "apply": apply,
        "batches": batches,
        "epochs": 40,
    }
    exec(first, names)
    exec(loop, names)
    predicted = np.argmax(apply(names["params"], unseen), axis=1)
    return (predicted == test.labels).mean(), names


def check_import():
    first, loop, *others = blocks("import.md")
    assert first == blocks("README.md")[0]
    assert len([line for line in first.splitlines() if line.strip()]) == 5
    plain = re.sub(r"rj\.chain\(.*\)", "rj.ce()", first)
    assert "elr" not in plain
    (ours, names), (theirs, _) = trained(first, loop), trained(plain, loop)
    assert ours > theirs + 0.1, (ours, theirs)
    assert ours > 0.85
    # What comes after the loop may use whatever the loop has left.
    for number, block in enumerate(others):
        exec(compile(block, f"import.md, block {number + 3}", "exec"), names)
    # The steps of the page for many devices, eight of which there are here.
    batch = next(names["batches"]())
    batch = {key: leaf[:40] for key, leaf in batch.items()}
    each = {key: leaf.reshape(8, 5, *leaf.shape[1:]) for key, leaf in batch.items()}
    params, state = names["params"], names["state"]
    want, after = names["rj"].value(
        names["tx"],
        state,
        names["apply"](params, batch["x"]),
        batch["label"],
        batch["index"],
    )
    grads, copies = names["mapped"](params, state, each)
    got, replicated = names["sharded_step"](params, state, batch)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    for ours, theirs, mine in zip(
        *(jax.tree.leaves(s.rows) for s in (copies, replicated, after))
    ):
        for copy in (*ours, theirs):
            np.testing.assert_allclose(copy, mine, atol=1e-6)
    assert jax.tree.all(jax.tree.map(lambda g: np.isfinite(g).all(), grads))


def check_label_noise():
    train = digits(200)
    names = {"images": train.inputs, "given_labels": train.labels}
    names = run("label_noise.md", names)
    assert names["logits"].shape == (200, 10)
    assert (names["logits"].argmax(axis=1) == train.labels).mean() > 0.2


def check_label_issues():
    labels, rng = digits(200).labels.copy(), np.random.default_rng(0)
    probabilities = 0.9 * np.eye(10)[labels] + 0.01
    labels[::20] = (labels[::20] + 1 + rng.integers(0, 9, 10)) % 10
    names = run("label_issues.md", {"labels": labels, "pred_probs": probabilities})
    assert set(names["worst_first"]) == set(range(0, 200, 20))
    assert names["quality"][::20].max() < 0.1


def check_bias_conflicts():
    whole = digits(300)
    colored = data.colored_mnist(whole, 0.9, jax.random.key(0), assignment="random")
    names = {"images": colored.dataset.inputs, "labels": whole.labels}
    names = run("bias_conflicts.md", names)
    scored = names["found"].swap[names["look_at"]]
    assert 0 < len(scored) < 300
    assert (np.diff(scored) <= 0).all()
    assert scored[-1] > names["found"].threshold[0]


def check_label_correction():
    whole, rng = digits(200), np.random.default_rng(0)
    names = {
        "features": whole.inputs,
        "noisy_labels": np.where(
            rng.random(200) < 0.3, rng.integers(0, 10, 200), whole.labels
        ),
        "names": [f"image {i}" for i in range(200)],
        "truth": {f"image {i}": label for i, label in enumerate(whole.labels)},
    }
    corrected = run("label_correction.md", names)["corrected"]
    asked = corrected.queried
    np.testing.assert_array_equal(corrected.labels[asked], whole.labels[asked])
    assert len(set(asked.tolist())) == 60


def check_unlearning():
    import robustjax

    names = {
        "rj": robustjax,
        "batch": {"index": jnp.arange(8), "label": jnp.arange(8)},
        "logits": jnp.zeros((8, 10)),
        "ood_features": jnp.full((4, 5), 2.0),
    }
    names = run("features.md", names)
    np.testing.assert_allclose(names["loss"], np.log(10) + 0.1 * 4, rtol=1e-6)


def check_scaling():
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for number in range(8):
            split, name = ("train", "test")[number % 2], "ab"[number // 2 % 2]
            path = pathlib.Path("images", split, name, f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9), number).save(path)
        names = run("scaling.md", {})
        images = data.load("shards", "test", image_size=224)
        assert images.inputs.shape == (4, 224, 224, 3)
    assert names["metrics"]["loss"].shape == (1, 4)
    assert len(names["shards"]) == 200
    assert names["near"].indices.shape == (20, 5)
    assert names["issues"].shape == (300,)


def check_sweeps():
    of_points = run("sweeps.md", {})["of_points"]
    kernels = [jax.tree.leaves(state.params)[-1] for state in of_points]
    assert len(kernels) == 4
    assert len({leaf.tobytes() for leaf in map(np.asarray, kernels)}) == 4


def check_pruning():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), 200)
    names = {
        "features": rng.normal(size=(200, 5)),
        "probabilities": probabilities,
        "labels": probabilities.argmax(1),
    }
    kept = run("pruning.md", names)["kept"]
    assert len(set(kept.indices.tolist())) == 40


def check_instructions():
    from robustjax import data
    from robustjax.data import Record

    records = [Record(str(i), f"ask {i % 3}", "", f"word {i}") for i in range(12)]
    found = data.Instructions(tuple(records), ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load_instructions", lambda path: found)
        names = run("instructions.md", {})
    assert len(names["kept"]) == 4
    assert set(names["kept"]) <= set(records)


def check_open_set():
    whole = digits(300)
    truth = np.minimum(whole.labels, 4)
    names = {
        "pool_inputs": whole.inputs,
        "truth": truth,
        "first_rows": np.arange(30),
        "first_answers": truth[:30],
    }
    names = run("active_learning.md", names)
    asked = names["labels"] >= 0
    np.testing.assert_array_equal(names["labels"][asked], truth[asked])
    assert 30 + 3 * 20 <= asked.sum() <= 30 + 3 * 40
    assert names["fitted"] is not None


def check_answering():
    part = data.take(digits(80), np.arange(80))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        pathlib.Path("labeled.csv").write_text(f"id;new_label\n{part.ids[3]};?\n")
        names = run("answering.md", {"dataset": part})
        assert "<script" in pathlib.Path("to_label.html").read_text()
        assert names["exchange"].status[3] == "unknown"
    assert names["table"].rows.tolist() == [3]


def check_data_report():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 20))
    features[7], features[9] = features[3], 40
    names = run("data_report.md", {"features": features, "labels": np.arange(60) % 3})
    assert names["look_at"].tolist() == [7, 9]
    assert names["copies"][7] == 3
    assert names["factor"].argmax() == 9
    assert not names["balance"].is_rare.any()
    assert names["order"].p_value > 0.01


def check_walkthrough():
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        names, printed = run_page(PAGES["walkthrough.md"].read_text())
        assert pathlib.Path("report.html").exists()
        kept = pathlib.Path("kept.csv").read_text().splitlines()
    found, begun, answered, amended, _ = printed
    copies = {"copy of 11", "scan 011", "copy of 22", "scan 022", "copy of 33"}
    assert names["copied"] == copies | {"scan 033"}
    assert "exact duplicates         6" in found
    # Networks of the page are larger and find more.
    assert names["among_the_first"] >= 20
    assert "asks in the order of label_issues" in begun
    assert "labeled.csv: took in 20: " in answered
    assert re.search("second_thoughts.csv: took in [12]: .*1 not known", amended)
    assert names["labels"]["scan 005"]["status"] == "confirmed"
    assert names["labels"][names["questions"][0]["id"]]["status"] == "unknown"
    assert len(kept) > 200


def check_contributing():
    from experiments.studies.label_noise import method_presets
    from robustjax.methods import Entry
    from robustjax.methods.label_noise import _entries

    module, entry, preset = blocks("CONTRIBUTING.md")
    method: dict = {"__name__": "_taylor_ce"}
    exec(compile(module, "CONTRIBUTING.md", "exec"), method)
    logits, labels = jnp.asarray([[2.0, 0.0]]), jnp.asarray([1])
    missed = 1 - jax.nn.softmax(logits)[0, 1]
    got = method["taylor_loss"](logits, labels, order=2)
    np.testing.assert_allclose(got, [missed + missed**2 / 2], rtol=1e-6)
    assert np.isnan(method["taylor_loss"](logits, jnp.asarray([2]), order=2)).all()
    with pytest.raises(ValueError, match="order"):
        method["taylor_ce"](order=0)
    names = {**vars(_entries), "taylor_ce": method["taylor_ce"]}
    # As it is pasted: an element of a tuple, with a comma behind it.
    (added,) = eval(f"({entry.strip()},)", names)
    assert isinstance(added, Entry)
    assert (added.name, added.options["order"].default) == ("taylor_ce", 2)
    added_preset = eval(f"{{{preset}}}", vars(method_presets))
    assert list(added_preset) == ["taylor_ce/digits"]
    assert type(added_preset["taylor_ce/digits"]) is type(
        next(iter(method_presets.METHOD_PRESETS.values()))
    )


CHECKS = {
    "answering.md": check_answering,
    "CONTRIBUTING.md": check_contributing,
    "README.md": check_readme,
    "import.md": check_import,
    "label_noise.md": check_label_noise,
    "label_issues.md": check_label_issues,
    "bias_conflicts.md": check_bias_conflicts,
    "label_correction.md": check_label_correction,
    "features.md": check_unlearning,
    "data_report.md": check_data_report,
    "walkthrough.md": check_walkthrough,
    "pruning.md": check_pruning,
    "scaling.md": check_scaling,
    "sweeps.md": check_sweeps,
    "instructions.md": check_instructions,
    "active_learning.md": check_open_set,
}


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name in PAGES if blocks(name)])
def test_the_code_of_a_page_runs(page):
    assert page in CHECKS, f"nothing runs the code of {page}"
    CHECKS[page]()
