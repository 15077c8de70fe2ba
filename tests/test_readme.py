"""The README's code, run as it stands."""

from __future__ import annotations

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

import robustjax
from robustjax import data

README = pathlib.Path(__file__).parents[1] / "README.md"


def _blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def _block(containing):
    (found,) = (block for block in _blocks() if containing in block)
    return found


def test_the_import_example_has_five_lines_and_trains():
    first, loop, *_ = _blocks()
    assert len([line for line in first.splitlines() if line.strip()]) == 5

    rng = np.random.default_rng(0)
    x = rng.normal(size=(640, 4)).astype(np.float32)
    labels = (x[:, 0] > 0).astype(np.int32)

    def batches():
        for index in np.split(rng.permutation(640), 20):
            yield {"index": index, "label": labels[index], "x": x[index]}

    names = {
        "batch": {"index": jnp.arange(8), "label": jnp.arange(8)},
        "logits": jnp.zeros((8, 10)),
        "params": jnp.zeros((4, 10)),
        "apply": lambda params, x: x @ params,
        "batches": batches,
    }
    exec(first, names)
    assert np.isfinite(names["loss"])
    exec(loop, names)
    predicted = np.argmax(x @ names["params"], axis=1)
    assert (predicted == labels).mean() > 0.95
    weights = jax.tree.leaves(names["state"].rows)[0]
    assert len(weights) == 50_000


def test_the_library_call_for_curators():
    digits = data.take(data.load("digits", "train"), np.arange(200))
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(200) < 0.3, rng.integers(0, 10, 200), digits.labels)
    names = {
        "features": digits.inputs,
        "noisy_labels": noisy,
        "names": [f"image {i}" for i in range(200)],
        "truth": {f"image {i}": label for i, label in enumerate(digits.labels)},
    }
    exec(_block("correct_labels("), names)
    corrected = names["corrected"]
    asked = corrected.queried
    np.testing.assert_array_equal(corrected.labels[asked], digits.labels[asked])
    assert len(set(asked.tolist())) == 60


def test_the_recipe_and_the_label_issues():
    digits = data.take(data.load("digits", "train"), np.arange(200))
    names = {"images": digits.inputs, "given_labels": digits.labels}
    exec(_block("RecipeProgram("), names)
    assert names["logits"].shape == (200, 10)

    rng = np.random.default_rng(0)
    probabilities = 0.9 * np.eye(10)[digits.labels] + 0.01
    labels = digits.labels.copy()
    labels[::20] = (labels[::20] + 1 + rng.integers(0, 9, 10)) % 10
    names = {"labels": labels, "pred_probs": probabilities}
    exec(_block("find_label_issues("), names)
    assert set(names["worst_first"]) == set(range(0, 200, 20))
    assert names["quality"][::20].max() < 0.1


def test_taufe_and_the_pruned_subset():
    names = {
        "rj": robustjax,
        "batch": {"index": jnp.arange(8), "label": jnp.arange(8)},
        "logits": jnp.zeros((8, 10)),
        "ood_features": jnp.full((4, 5), 2.0),
    }
    exec(_block("rj.taufe("), names)
    np.testing.assert_allclose(names["loss"], np.log(10) + 0.1 * 4, rtol=1e-6)

    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), 200)
    names = {
        "features": rng.normal(size=(200, 5)),
        "probabilities": probabilities,
        "labels": probabilities.argmax(1),
    }
    exec(_block("selection.select("), names)
    assert len(set(names["kept"].indices.tolist())) == 40


def test_the_open_set_loop():
    digits = data.take(data.load("digits", "train"), np.arange(300))
    truth = np.minimum(digits.labels, 4)
    names = {
        "pool_inputs": digits.inputs,
        "truth": truth,
        "first_rows": np.arange(30),
        "first_answers": truth[:30],
    }
    exec(_block("OpenSetRun("), names)
    asked = names["labels"] >= 0
    np.testing.assert_array_equal(names["labels"][asked], truth[asked])
    assert 30 + 3 * 20 <= asked.sum() <= 30 + 3 * 40
    assert names["fitted"] is not None
