"""How well known bias-conflicting examples are found, as it is reported."""

import csv
import json

import jax
import numpy as np
import pytest

from robustjax import data, scores
from robustjax.methods import bias
from tests.harness.forked import python

# The launcher in a process of its own: two in one would define some flags twice.
DRIVER = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from experiments import known_conflicts
from robustjax.training import StopRequest

for arguments in json.loads(sys.argv[1]):
    with flagsaver.flagsaver():
        flags.FLAGS(["known_conflicts", *arguments])
        try:
            known_conflicts.main(StopRequest())
        except ValueError as error:
            print(json.dumps(str(error)))
"""


@pytest.mark.slow
def test_every_repeat_is_reported_as_the_library_finds_it(tmp_path):
    # Fewer per batch: the library's own default would be another training.
    good = ["--dataset=digits", "--aligned_percents=90", "--epochs=2", "--repeats=2"]
    good += ["--batch_size=100", "--seed=3"]
    bad = [
        (["--aligned_percents=100"], "aligned_percents: got 100.0, expected a number"),
        (
            ["--dataset=digits", "--aligned_percents=90,99.9"],
            "aligned_percents: got 0.999, which leaves class 0 of 142 example(s) with",
        ),
        (["--epochs=0"], "epochs: got 0, expected a comma-separated list of integers"),
        (["--out=/absent/a.csv"], "out: the folder of '/absent/a.csv' does not exist"),
    ]
    runs = [[*good, f"--out={tmp_path}/found.csv"], *(case[0] for case in bad)]
    done = python("-c", DRIVER, json.dumps(runs))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line, (_, message) in zip(lines[-len(bad) :], bad):
        assert json.loads(line).startswith(message)
    with open(tmp_path / "found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(scores.CONFLICT_RULES) * len(scores.CONFLICT_SCORES)

    digits = data.load("digits", "train")
    paint, train = jax.random.split(jax.random.key(3), (2, 2))[1]
    colored = data.colored_mnist(digits, 0.9, paint, assignment="random")
    said = bias.biased_outputs(colored.dataset, key=train, epochs=2, batch_size=100)
    found = scores.bias_conflict_scores(digits.labels, **said._asdict())
    truth = ~colored.is_aligned
    for row in rows:
        assert (row["aligned_percent"], row["epochs"]) == ("90", "2")
        if row["repeat"] != "1":
            continue
        score = getattr(found, row["score"])
        cut = scores.conflict_threshold(score, digits.labels, rule=row["rule"])
        split = scores.split_quality(score > cut, truth)
        for name, value in split._asdict().items():
            np.testing.assert_allclose(float(row[name]), value, atol=1e-3)
        apart = score[truth][:, None] - score[~truth]
        auroc = (apart > 0).mean() + (apart == 0).mean() / 2
        np.testing.assert_allclose(float(row["auroc"]), auroc, atol=1e-3)
