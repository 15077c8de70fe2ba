"""What is estimated of the share of wrong labels, at several true ones.

    python -m experiments.noise_rate_estimates --out=estimates.csv

By it `robustjax correct` decides in which order to ask (docs/answering.md). Labels are
made wrong uniformly, all of them to other classes; probabilities are cross-validated,
by the settings of that verb.
"""

from __future__ import annotations

import jax
import numpy as np
from absl import flags

from experiments.study.launch import launch
from robustjax import corruption
from robustjax.methods.label_correction import cross_validated_probabilities
from robustjax.output_paths import check_output_file
from robustjax.scores import estimated_noise_rate
from robustjax.tools.classifier_settings import classifier_settings
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load
from robustjax.tools.options.correct import CorrectConfig
from robustjax.training import StopRequest, write_csv

_DATASETS = flags.DEFINE_list("datasets", ["digits", "mnist"], "See `data.load`.")
_EXAMPLES = flags.DEFINE_integer("examples", 2_000, "Taken from each, at most.", 1)
_RATES = flags.DEFINE_list("rates", ["0.05", "0.1", "0.2", "0.4", "0.72"], "True ones.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Draws of wrong labels.", 1)
_OUT = flags.DEFINE_string("out", None, "The CSV file to write.", required=True)


def main(stop: StopRequest) -> None:
    """Estimates, prints and writes."""
    check_output_file("out", _OUT.value)
    rows = []
    for name in _DATASETS.value:
        dataset = load(name, "train", data_dir=None)
        count = min(_EXAMPLES.value, len(dataset))
        inputs, true = dataset.inputs[:count], dataset.labels[:count]
        for rate in map(float, _RATES.value):
            for repeat in range(_REPEATS.value):
                noise_key, key = jax.random.split(jax.random.key(repeat))
                noisy = np.asarray(
                    corruption.symmetric(
                        noise_key, true, rate, dataset.num_classes, include_true=False
                    ).labels
                )
                config = CorrectConfig()
                probabilities = cross_validated_probabilities(
                    (inputs, noisy),
                    key=key,
                    settings=classifier_settings(config, config, count * 4 // 5),
                    stop=stop,
                )
                row = {
                    "dataset": name,
                    "examples": count,
                    "rate": rate,
                    "repeat": repeat,
                    "wrong": float(np.mean(noisy != true)),
                    "estimated": estimated_noise_rate(noisy, probabilities),
                }
                say(row)
                rows.append(row)
    write_csv(_OUT.value, rows)


if __name__ == "__main__":
    launch(main)
