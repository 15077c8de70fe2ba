"""What the open-set study refuses before it trains, its strategies and presets."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.studies.active_learning import (
    setup,
)
from experiments.studies.active_learning.class_splits import CLASS_SPLITS
from experiments.studies.active_learning.config import OpenSetConfig
from experiments.studies.active_learning.presets import PRESETS
from robustjax import data
from robustjax.methods import entries
from robustjax.tools.method_choice import choose
from tests.experiments.active_learning.open_set_runs import (
    images,
    run,
)

RANDOM = {"methods": ("mqnet",), "options": ("mqnet.validation=random",)}


def test_strategies_are_made_by_label():
    known = entries("active_learning", "strategy")
    preset = ["mqnet.margin=0.1", "sum.clip=1"]
    texts = ["mine.margin=0.5", "mine.clip=NONE"]
    choice = choose(["random", "mine=mqnet"], known, preset, texts)
    assert choice.methods == ("random", "mine=mqnet")
    assert choice.options == ("mine.margin=0.5", "mine.clip=none")
    made = choice.make()
    assert made["random"].name == "random"
    mine = made["mine"]
    assert (mine.name, mine.margin, mine.clip) == ("mine", 0.5, None)
    with pytest.raises(ValueError, match=r"options .mine.margin.: got -1"):
        choose(["random", "mine=mqnet"], known, (), ["mine.margin=-1"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cost_ood": 0}, "cost_ood: got 0"),
        ({"noise_ratio": (1.0,)}, "noise_ratio: got 1.0"),
        ({"noise_ratio": (0.2, 0.2)}, "noise_ratio: .* each share once"),
        ({"noise_ratio": (0.2, 0.2000001)}, "noise_ratio: .* each share once"),
        (
            {"ood": ("svhn", "svhn"), "class_split": "all"},
            "ood: got svhn,svhn, expected each data set once",
        ),
        ({"num_in_classes": 6}, "num_in_classes: got 6, .* so that some are OOD"),
        ({"class_split": "cifar10"}, "class_split: .* 6 classes, .* with 10"),
        ({"in_classes": ("target_1", "cat")}, "in_classes: unknown 'cat'"),
        ({"in_classes": ("1",)}, "in_classes: got 1 class"),
        ({"ood": ("svhn",)}, "ood: got svhn with class_split=drawn"),
        ({"pool_in": 61}, "pool_in: got 61, expected at most the 60"),
        ({"test_count": 31}, "test_count: got 31, expected at most the 30"),
        ({"rounds": 9}, "rounds: got 9 .* asked up before the last round"),
        ({**RANDOM, "rounds": 8}, "rounds: got 8 .* pool of 62 is asked up before"),
        (
            {**RANDOM, "per_round": 40.0, "initial": 31, "rounds": 1},
            "per_round: got 40 .* most the 39",
        ),
        (
            {**RANDOM, "noise_ratio": (0.4, 0.0)},
            "validation: got 8 IN and 0 OOD examples at noise ratio 0 in repeat 0, exp",
        ),
        ({"network": "vgg"}, "network: unknown 'vgg'"),
        ({"learning_rate": 0.0}, "learning_rate: got 0"),
        # Of what is trained before the first round.
        ({"methods": ("ccal",), "embedding_network": "vgg"}, "embedding_network: unk"),
        ({"methods": ("ccal",), "embedding_crop": 2.0}, "embedding_crop: got"),
        (
            {"methods": ("ccal",), "embedding_projection": ()},
            "embedding_projection: got no",
        ),
        # What would change nothing.
        ({"class_split": "all", "num_in_classes": 3}, "num_in_classes: got 3 with cla"),
        (
            {"in_classes": ("1", "2"), "num_in_classes": 3},
            "num_in_classes: got 3 with in_classes=1,2",
        ),
        (
            {"in_classes": ("1", "2"), "class_split": "drawn"},
            "class_split: got drawn with in_classes=1,2",
        ),
        ({"ood_split": "test"}, "ood_split: got test without ood"),
        ({"allow_overlap": True}, "allow_overlap: got True without ood"),
        ({"taufe_weight": 1.0}, "taufe_weight: got 1.0 with classifier_variant=in_on"),
        ({"screen": True}, "screen: got True without mqnet, product, sum among the m"),
        ({"embedding_crop": 0.5}, "embedding_crop: got 0.5 with methods that train no"),
        (
            {
                "methods": ("mqnet",),
                "options": ("mqnet.purity=msp",),
                "embedding_projection": (5, 4),
            },
            "embedding_.*: got .* with methods that train no contrastive network",
        ),
    ],
)
def test_bad_flags(tmp_path, sets, given, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, sets, **given)
    assert not list(tmp_path.iterdir())


def test_strategies_that_turn_images_refuse_vectors(tmp_path, sets):
    labels = np.arange(120) % 6
    vectors = data.make_dataset(np.eye(6, dtype=np.float32)[labels], labels)
    path = str(tmp_path / "vectors.npz")
    data.save_npz(path, train=vectors, test=vectors)
    message = "methods: got one that compares images .* not inputs of shape .6,"
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "runs", sets, ("random", "mqnet"), dataset=path)
    message = "augment: got flip for inputs of shape .6,., expected none unless"
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "runs", sets, ("random",), dataset=path, augment="flip")
    assert not (tmp_path / "runs").exists()


def test_contrastive_networks_refuse_what_changes_of_colour_would_clip(tmp_path, sets):
    pixels, labels = images(120, 6, 8, 0)
    wide = data.make_dataset(pixels.astype(np.float32), labels)
    path = str(tmp_path / "wide.npz")
    data.save_npz(path, train=wide, test=wide)
    message = r"dataset: got floats from 0 to 2\d\d, expected \[0, 1\]"
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "runs", sets, ("mqnet",), dataset=path)
    assert not (tmp_path / "runs").exists()


def test_presets():
    for name, preset in PRESETS.items():
        config = OpenSetConfig(**preset.fields)
        setup.check(config)
        assert config.network, name
    for count, splits in CLASS_SPLITS.values():
        sizes = {len(set(split)) for split in splits}
        assert len(sizes) == 1
        assert all(list(s) == sorted(s) and s[-1] < count for s in splits)
    assert [len(CLASS_SPLITS[n][1][0]) for n in CLASS_SPLITS] == [4, 40, 50]
