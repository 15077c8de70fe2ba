"""What is estimated of the share of wrong labels, at several true ones.

    python -m experiments.noise_rate_estimates --out=estimates.csv

By it `robustjax correct` decides in which order to ask (docs/answering.md). Labels are
made wrong uniformly, all of them to other classes; probabilities are cross-validated,
by the settings of that verb.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments.study.flags import define_flags, read_config
from experiments.study.launch import launch
from robustjax import checks, corruption
from robustjax.methods.label_correction import cross_validated_probabilities
from robustjax.output_paths import check_output_file
from robustjax.scores import estimated_noise_rate
from robustjax.tools.classifier_settings import classifier_settings
from robustjax.tools.command.fields import option
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load
from robustjax.tools.options.correct import CorrectConfig
from robustjax.training import StopRequest, write_csv


@dataclasses.dataclass(frozen=True)
class EstimatesConfig:
    """The flags."""

    datasets: tuple[str, ...] = option(("digits", "mnist"), "See `data.load`.")
    examples: int = option(2_000, "Taken from each, at most.", low=1)
    rates: tuple[float, ...] = option((0.05, 0.1, 0.2, 0.4, 0.72), "True ones.")
    repeats: int = option(3, "Draws of wrong labels.", low=1)
    out: str = option("estimates.csv", "The CSV file to write.")


def main(stop: StopRequest) -> None:
    """Estimates, prints and writes."""
    given = read_config(EstimatesConfig)
    check_output_file("out", given.out)
    checks.in_range("rates", given.rates, 0, 1)
    rows = []
    for name in given.datasets:
        dataset = load(name, "train", data_dir=None)
        count = min(given.examples, len(dataset))
        inputs, true = dataset.inputs[:count], dataset.labels[:count]
        for rate in given.rates:
            for repeat in range(given.repeats):
                noise_key, key = jax.random.split(jax.random.key(repeat))
                noisy = np.asarray(
                    corruption.symmetric(
                        noise_key,
                        jnp.asarray(true),
                        rate,
                        dataset.num_classes,
                        include_true=False,
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
    write_csv(given.out, rows)


if __name__ == "__main__":
    # Not where it is imported: names of flags are of a whole process.
    define_flags(EstimatesConfig)
    launch(main, EstimatesConfig)
