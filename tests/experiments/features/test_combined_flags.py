"""What combinations of trainings refuse, and their presets."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.studies.features import combinations, setup
from experiments.studies.features.presets import PRESETS, TRAINING_PRESETS, resolve
from robustjax import data
from tests.experiments.features.combined_runs import (
    ATTACK,
    MIX,
    SIMCLR,
    run,
)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"training": "mixmatch"}, "training: unknown 'mixmatch' .*mean 'mix_match'"),
        (
            {"training": "mix_match", "task": "boxes"},
            "training: got mix_match with task=boxes, expected task=classification",
        ),
        ({"attack_test_count": 7}, "attack_test_count: got 7 with training=plain, exp"),
        (
            {"options": ("adversarial.steps=7",)},
            "options: unknown 'adversarial'; known: standard, oat, taufe",
        ),
        (
            {**MIX, "fine_tune": "all"},
            "fine_tune: got all with training=mix_match, expected training=pretrained",
        ),
        (
            {**ATTACK, "options": ("adversarial.radius=-1/255",)},
            "options .adversarial.radius.: got -0.0039",
        ),
        (
            {**ATTACK, "options": ("adversarial.step_size=0",)},
            "options .adversarial.step_size.: got 0.0",
        ),
        (
            {**ATTACK, "options": ("adversarial.radios=0",)},
            "options: adversarial has no 'radios' .did you mean 'radius'",
        ),
        ({**ATTACK, "test_attack_steps": 0}, "test_attack_steps: got 0"),
        ({**ATTACK, "attack_test_count": 0}, "attack_test_count: got 0"),
        ({**ATTACK, "methods": ("joint",)}, "methods: unknown 'joint'"),
        ({**MIX, "num_examples": (0,)}, r"num_examples: got 0 \(all\) with training=m"),
        ({**MIX, "num_examples": (48,)}, "num_examples: got 48 .*fewer than the 48"),
        ({**MIX, "standard_batch": "full"}, "standard_batch: got full with training=m"),
        *(
            (
                {**MIX, "options": (f"mix_match.{name}={value:g}",)},
                rf"options .mix_match.{name}.: got {value}",
            )
            for name, value in (
                ("lambda_u", -1.0),
                ("temperature", 0.0),
                ("average_decay", 1.5),
            )
        ),
        ({**MIX, "kernel_decay": 0.1}, "kernel_decay: got 0.1 with optimizer=sgd"),
        (
            {**SIMCLR, "methods": ("taufe",)},
            "methods: got taufe with fine_tune=head, expected fine_tune=all, or joint",
        ),
        ({**SIMCLR, "fine_tune": "last"}, "fine_tune: unknown 'last'"),
        (
            {**SIMCLR, "ood_statistics": False},
            "ood_statistics: got False with fine_tune=head, which moves no statistics",
        ),
        (
            {**SIMCLR, "options": ("simclr.projection=0",)},
            "options .simclr.projection.: got 0",
        ),
        (
            {**SIMCLR, "pretraining_warmup_epochs": 2},
            "pretraining_warmup_epochs: got 2",
        ),
        (
            {**SIMCLR, "pretraining_batch_size": 49},
            "pretraining_batch_size: got 49, expected at most .* 48",
        ),
        ({**SIMCLR, "pretraining_optimizer": "sgd"}, "pretraining_optimizer: unknown"),
        (
            {**SIMCLR, "options": ("simclr.temperature=0",)},
            "options .simclr.temperature.: got 0.0",
        ),
    ],
)
def test_bad_flags_are_named_before_any_training(tmp_path, two_sets, given, message):
    with pytest.raises(ValueError, match=message) as caught:
        run(tmp_path, two_sets, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir()), "a run folder was left behind"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ATTACK, r"dataset: got pixels from 0 to 2\d\d with"),
        (SIMCLR, r"dataset: got floats from 0 to 2\d\d, expected \[0, 1\]"),
    ],
    ids=["attack", "views"],
)
def test_what_clips_pixels_needs_them_in_its_range(tmp_path, two_sets, given, message):
    target = data.load(two_sets["target"], "train")
    labels = target.labels
    pixels = target.inputs.astype(np.float32)
    splits = {
        f"{split}_{key}": value
        for split in ("train", "test")
        for key, value in (("inputs", pixels), ("labels", labels))
    }
    np.savez(tmp_path / "wide.npz", **splits)
    with pytest.raises(ValueError, match=message):
        run(
            tmp_path / "runs",
            two_sets,
            dataset=str(tmp_path / "wide.npz"),
            ood=("textures",),
            **given,
        )
    assert not (tmp_path / "runs").exists()


def test_presets_of_combinations():
    for training, name in TRAINING_PRESETS.items():
        assert resolve(None, {"training": training})[0] == name
        for preset in (name, name.removesuffix("_small")):
            found, config, _ = resolve(preset, {})
            setup.check(config)
            assert (found, config.training) == (preset, training)
            assert combinations.check_methods((), config)
        # What belongs to the preset's training is no error without it.
        assert resolve(name, {"training": "plain"})[1].training == "plain"
    others = set(PRESETS) - {
        preset
        for name in TRAINING_PRESETS.values()
        for preset in (name, name.removesuffix("_small"))
    }
    assert {resolve(name, {})[1].training for name in others} == {"plain"}
