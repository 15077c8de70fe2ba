"""Which images a repeat of the study of features has, and in which role."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from experiments.studies.features import setup
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.roles import draw_roles
from experiments.studies.features.targets import load_target
from robustjax import data
from robustjax.methods.features import OOD, TARGET, UNUSED
from tests.experiments.features.feature_runs import MLP, composed, study_of


def test_roles_are_nested_and_drawn_anew_for_every_repeat():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    roles = draw_roles(labels, 25, (12, 30), repeats=3, seed=0, stratified=False)
    for count, rows in roles.items():
        assert rows.shape == (3, 85)
        assert ((rows[:, :60] == TARGET).sum(axis=1) == count).all()
        assert ((rows[:, 60:] == OOD).sum(axis=1) == min(count, 25)).all()
        assert not (rows[:, :60] == OOD).any()
        assert not (rows[:, 60:] == TARGET).any()
    few, many = roles[12], roles[30]
    assert (many[few != UNUSED] == few[few != UNUSED]).all()
    assert (few[0] != few[1]).any()
    again = draw_roles(labels, 25, (12,), repeats=3, seed=0, stratified=False)
    np.testing.assert_array_equal(again[12], few)


def test_stratified_roles():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    roles = draw_roles(labels, 25, (12, 29), repeats=2, seed=0, stratified=True)
    for rows in roles[12]:
        assert np.bincount(labels[rows[:60] == TARGET]).tolist() == [4, 4, 4]
    for rows in roles[29]:
        assert sorted(np.bincount(labels[rows[:60] == TARGET])) == [9, 10, 10]
    with pytest.raises(ValueError, match="stratified: got 31 examples over 3 classes"):
        draw_roles(labels, 25, (31,), repeats=1, seed=0, stratified=True)
    # All there are have their own shares; that excuses no smaller number.
    whole = draw_roles(labels, 25, (12, 60), repeats=1, seed=0, stratified=True)[60]
    assert (whole[0, :60] == TARGET).all()
    with pytest.raises(ValueError, match="stratified: got 40 examples over 3 classes"):
        draw_roles(labels, 25, (40, 60), repeats=1, seed=0, stratified=True)


def test_held_out_classes_are_the_ood_images(sets):
    study, *_ = study_of(
        sets,
        target_classes=("owl", "2"),
        ood=("held_out",),
        ood_count=0,
        ood_test_count=50,
        num_examples=(16,),
    )
    assert study.target.train.class_names == ("owl", "frog")
    whole = data.load(sets["target"], "train")
    held_out = whole.inputs[whole.labels == 1]
    assert len(study.ood.train) == len(held_out) == 20
    rows = {image.tobytes() for image in study.ood.train}
    assert rows == {image.tobytes() for image in held_out}
    test_rows = {image.tobytes() for image in study.ood.test}
    assert len(test_rows) == 20
    assert not rows & test_rows


def test_composed_sets_share_nothing_and_break_the_correlation(sets):
    config = FeatureDebiasingConfig(
        **composed(sets, "boxes", position_correlation=1.0, ood_count=30)
    )
    target = load_target(config)
    train, test = target.sources["backgrounds"]
    assert len(train) == 30
    assert len(test) == config.ood_test_count
    assert target.test.inputs.shape == (20, 12, 12, 3)
    assert not np.array_equal(target.train.inputs[:20], target.test.inputs)


def test_other_photographs_are_measured_on_than_trained_on(tmp_path, sets):
    """Of every fifth file squares are cut to measure on, of the others to train."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(7):
        color = (30 * number, 255 - 30 * number, 9)
        Image.new("RGB", (40 + number, 50), color).save(folder / f"{number}.png")
    fields = {**MLP, "dataset": sets["target"], "ood": ("photographs",)}
    config = FeatureDebiasingConfig(**fields, photographs=str(folder))
    ood = setup.prepare(config).ood
    assert ood.train.shape == (40, 8, 8, 3)
    assert ood.test.shape == (12, 8, 8, 3)
    assert set(ood.train[..., 0].ravel()) == {30, 60, 90, 120, 180}
    assert set(ood.test[..., 0].ravel()) == {0, 150}
    (folder / "one").mkdir()
    (folder / "0.png").rename(folder / "one/0.png")
    alone = dataclasses.replace(config, photographs=str(folder / "one"))
    with pytest.raises(ValueError, match="photographs: got 1 image file, ex"):
        setup.prepare(alone)
