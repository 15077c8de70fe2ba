"""What only one method can show: DFA's features and heads, BiaSwap's images."""

from __future__ import annotations

import io

import jax
import numpy as np
import pytest

from experiments.studies.dataset_bias import (
    outcomes,
    pictures,
    reconstruction,
    setup,
)
from experiments.studies.dataset_bias.config import DatasetBiasConfig
from experiments.studies.dataset_bias.programs import build
from robustjax.methods import entries
from robustjax.methods.bias import swap_networks
from robustjax.tools.method_choice import Choice
from robustjax.tools.method_options import choose_methods
from robustjax.training import TrainState
from robustjax.transforms import LossState

FIELDS = {"dataset": "digits", "aligned_ratio": 0.9, "hidden": (16,), "repeats": 2}


class Attached:
    """A cell and a table: what was attached is what is drawn."""

    def __init__(self, folder):
        self.folder, self.title, self._kept = folder, "digits", []

    def attach_arrays(self, event, name, arrays, **values):
        assert event == pictures.PICTURE
        content = io.BytesIO()
        np.savez(content, **arrays)
        content.seek(0)
        with np.load(content) as read:
            self._kept.append((values, dict(read)))

    def attached(self, event):
        assert event == pictures.PICTURE
        return self._kept


@pytest.fixture(scope="module")
def study():
    return setup.prepare(DatasetBiasConfig(**FIELDS))


@pytest.mark.slow
def test_both_features_and_both_heads(study, tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes, "_EMBEDDED", 60)
    options = {"dfa": {"swap_from_step": 0}}
    choice = Choice(choose_methods(("dfa",), entries("bias")), options)
    built = build("dfa", choice, study)
    inputs = study.test.dataset.inputs
    state = built.program.init(study.repeat_keys, inputs[:4])
    found = outcomes.swap_accuracies(built, study, state)
    guess = np.argmax(built.program.predict(state, inputs), axis=-1)
    right = (guess == study.test.dataset.labels[None]).mean(axis=1)
    np.testing.assert_allclose(found["target_original"], right)
    assert list(found) == [
        *("target_original", "target_swapped", "bias_original", "bias_swapped")
    ]
    assert all(each.shape == (2,) for each in found.values())
    # The heads are untrained, and tell labels and bias apart no better than chance.
    assert all((each < 0.4).all() for each in found.values())
    cell = Attached(tmp_path)
    outcomes.keep_features(cell, "dfa", built, study, state)
    ((values, arrays),) = cell.attached(pictures.PICTURE)
    assert values == {"method": "dfa", "kind": "features"}
    assert arrays["intrinsic"].shape == arrays["bias"].shape == (60, 16)
    assert {"target_of", "bias_of"} < set(arrays)
    pictures.draw_pictures(cell)
    assert (tmp_path / "dfa_features.png").stat().st_size > 5000


@pytest.mark.slow
def test_images_are_made_of_two_features(tmp_path, monkeypatch):
    """Of a network that has learned a bit of both."""
    monkeypatch.setattr(reconstruction, "_STEPS", 600)
    config = DatasetBiasConfig(**{**FIELDS, "repeats": 1, "epochs": 40})
    study = setup.prepare(config)
    options = {"dfa": {"swap_from_step": 60}}
    choice = Choice(choose_methods(("dfa",), entries("bias")), options)
    built = build("dfa", choice, study)
    held = built.program.make_data(study.train.dataset.inputs, study.given)
    state = built.program.init(study.repeat_keys, held.inputs)
    for epoch in range(config.epochs):
        state, _ = built.program.at(epoch).epoch(state, held)
    cell = Attached(tmp_path)
    outcomes.keep_reconstructions(cell, "dfa", built, study, state)
    ((values, arrays),) = cell.attached(pictures.PICTURE)
    assert values == {"method": "dfa", "kind": "reconstruction"}
    assert arrays["rows"].shape == arrays["columns"].shape == (10, 8, 8, 3)
    assert arrays["made"].shape == (10, 10, 8, 8, 3)
    own, other_class, other_bias = (
        float(arrays[f"error of {name}"])
        for name in ("own", "other class", "other bias")
    )
    assert own < 0.8 * other_class
    assert own < 0.8 * other_bias
    # Colours are a column's: most often the nearest hue is that of its own image.
    hue = arrays["made"].mean(axis=(2, 3))
    hue /= hue.sum(axis=-1, keepdims=True)
    want = arrays["columns"].mean(axis=(1, 2))
    want /= want.sum(axis=-1, keepdims=True)
    distance = np.abs(hue[:, :, None] - want[None, None]).sum(axis=-1)
    assert (distance.argmin(axis=-1) == np.arange(10)).mean() > 0.4
    pictures.draw_pictures(cell)
    assert (tmp_path / "dfa_reconstruction.png").stat().st_size > 5000


def test_a_decoder_reads_both_features(monkeypatch):
    """Shape is in one feature and brightness in the other, and both are of no unit."""
    monkeypatch.setattr(reconstruction, "_STEPS", 300)
    rng = np.random.default_rng(0)
    labels, biases = rng.integers(0, 2, (2, 200))
    shapes = np.zeros((2, 40, 40, 1), np.float32)
    shapes[0, :20], shapes[1, 20:] = 1, 1
    bright = np.array([0.4, 1.0], np.float32)
    images = shapes[labels] * bright[biases][:, None, None, None] - 0.5
    found = reconstruction.reconstruct(
        images,
        100 * np.eye(2)[labels],
        1e-3 * np.stack([biases, np.ones(200)], axis=-1),
        labels=labels,
        biases=biases,
        seed=0,
    )
    # At most 32 pixels a side.
    assert found.made.shape == (2, 2, 32, 32, 1)
    half = found.made[..., 0].reshape(2, 2, 2, 16, 32).mean(axis=(3, 4))
    for row in range(2):
        for column in range(2):
            np.testing.assert_allclose(half[row, column, row], bright[column], atol=0.1)
            assert half[row, column, 1 - row] < 0.1
    assert found.errors["own"] < 0.05
    assert found.errors["other class"] > 0.4
    assert 0.1 < found.errors["other bias"] < 0.4


@pytest.mark.slow
def test_swapped_images_are_of_both_kinds(study, tmp_path, monkeypatch):
    used = []

    def swap(networks, translator, content, style):
        used.append(networks)
        return style

    monkeypatch.setattr(outcomes, "swap_images", swap)
    conflicting = ~study.train.is_aligned
    rows = {"conflicting": np.stack([conflicting] * 2)}
    kernel = np.zeros((2, 1, 1, 3, 4))
    params = {"translator": {"encoder": {"down": {"from_rgb": {"kernel": kernel}}}}}
    state = TrainState(
        **{
            **dict.fromkeys(TrainState._fields),
            "params": params,
            "loss_state": LossState(rows, ()),
        }
    )
    cell = Attached(tmp_path)
    outcomes.keep_swapped_images(cell, "bias_swap", study, state)
    assert used == [swap_networks(4)]
    ((_, arrays),) = cell.attached(pictures.PICTURE)
    images = study.train.dataset.inputs / 255
    for kind, mask in (("aligned", ~conflicting), ("conflicting", conflicting)):
        for image in arrays[kind]:
            distance = np.abs(images - image).max(axis=(1, 2, 3))
            assert mask[distance.argmin()]
            assert distance.min() < 1e-6
    np.testing.assert_allclose(arrays["swapped"], arrays["conflicting"], atol=1e-6)
    pictures.draw_pictures(cell)
    assert (tmp_path / "bias_swap_swapped.png").stat().st_size > 3000
    # A split that suspects nobody has nothing to show.
    nobody = jax.tree.map(np.zeros_like, rows)
    state = state._replace(loss_state=LossState(nobody, ()))
    outcomes.keep_swapped_images(cell, "bias_swap", study, state)
    assert len(cell.attached(pictures.PICTURE)) == 1
