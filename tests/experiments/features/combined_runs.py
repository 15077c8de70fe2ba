"""Small runs of TAUFE with adversarial training, MixMatch and SimCLR."""

from __future__ import annotations

from experiments.studies.features import setup
from experiments.studies.features.config import FeatureDebiasingConfig
from experiments.studies.features.programs import build_network
from experiments.studies.features.study import STUDY
from experiments.study.run import Request, run_study
from robustjax.training import StopRequest

FLAGS = {
    "network": "mlp",
    "hidden": (6,),
    "num_examples": (16,),
    "epochs": 2,
    "repeats": 2,
    "parallel_repeats": 2,
    "batch_size": 16,
    "watch_every_epochs": 1,
    "checkpoint_every_epochs": 1,
    "ood_count": 24,
    "ood_test_count": 8,
}


ATTACK = {
    "training": "adversarial",
    "options": ("adversarial.steps=2",),
    "test_attack_steps": 3,
}
MIX = {"training": "mix_match", "options": ("mix_match.ramp_up_steps=4",)}
SIMCLR = {
    "training": "pretrained",
    "pretraining_epochs": 2,
    "pretraining_batch_size": 24,
    "options": ("simclr.projection=4",),
}


def fields_of(sets, given):
    return {"dataset": sets["target"], "ood": (sets["other"],), **FLAGS, **given}


def run(folder, sets, methods=(), stop=None, **given):
    methods = given.pop("methods", methods)
    fields = fields_of(sets, given)
    request = Request(methods, None, fields, run_dir=str(folder), name="run")
    return run_study(STUDY, request, stop or StopRequest())


def study_of(sets, **given):
    study = setup.prepare(FeatureDebiasingConfig(**fields_of(sets, given)))
    return study, build_network(study)


def begun(training, study, repeats):
    keys = study.repeat_keys[repeats]
    return training.begin(training.program.init(keys, study.pool[:1]), repeats)
