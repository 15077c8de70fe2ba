"""How many of its questions `robustjax label` spends on examples that are wanted.

    python -m experiments.wanted_examples --out=wanted.csv

A pool in which one in five is wanted: two digits of ten, others for each repeat. The
first round is drawn at random, as nothing is labelled; the others are asked by the
verb's defaults. MNIST is a folder of images without classes, digits are vectors.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from experiments.study.flags import define_flags, read_config
from experiments.study.launch import launch
from robustjax.output_paths import check_output_file
from robustjax.tools.command.fields import option
from robustjax.tools.command.output import say
from robustjax.tools.inputs import load
from robustjax.tools.options.label import LabelConfig
from robustjax.tools.verbs import label
from robustjax.training import StopRequest, write_csv


@dataclasses.dataclass(frozen=True)
class WantedConfig:
    """The flags."""

    datasets: tuple[str, ...] = option(("digits", "mnist"), "See `data.load`.")
    examples: int = option(1_000, "In the pool.", low=20)
    rounds: int = option(4, "With the one that is drawn.", low=2)
    batch: int = option(40, "Questions per round.", low=1)
    repeats: int = option(3, "Pools.", low=1)
    out: str = option("wanted.csv", "The CSV file to write.")


_FIFTH = 5
_NAMES = ("first", "second")


def make_pool(
    name: str, repeat: int, count: int, folder: pathlib.Path
) -> tuple[pathlib.Path, dict[str, str]]:
    """Writes a pool of which a fifth is wanted, and says what each example is.

    Args:
      name: of the data set.
      repeat: whose draw decides what is wanted.
      count: examples, a multiple of ten: half of the wanted are of either class.
      folder: to write into.

    Returns:
      What `--dataset` takes, and id -> "first", "second" or "ood".
    """
    whole = load(name, "train", data_dir=None)
    rng = np.random.default_rng(repeat)
    wanted = rng.permutation(whole.num_classes)[:2]
    each = count // _FIFTH // 2
    rows = [
        rng.choice(np.flatnonzero(whole.labels == c), each, replace=False)
        for c in wanted
    ]
    rest = np.flatnonzero(~np.isin(whole.labels, wanted))
    rows.append(rng.choice(rest, count - 2 * each, replace=False))
    order = rng.permutation(np.concatenate(rows))
    of = {int(c): text for c, text in zip(wanted, _NAMES)}
    said = [of.get(int(c), "ood") for c in whole.labels[order]]
    if whole.inputs.ndim == 2:
        path = folder / "pool.npz"
        ids = [f"nr {row}" for row in range(count)]
        np.savez(path, inputs=whole.inputs[order], ids=np.array(ids))
        return path, dict(zip(ids, said))
    path = folder / "pool"
    path.mkdir()
    for number, row in enumerate(order):
        image = np.asarray(whole.inputs[row])
        Image.fromarray(image[..., 0]).save(path / f"{number:05d}.png")
    return path, {f"{n:05d}.png": text for n, text in enumerate(said)}


def answered(folder: pathlib.Path, truth: Mapping[str, str]) -> tuple[int, int]:
    """Answers all questions of a folder; how many there were, and how many wanted."""
    with open(folder / "to_label.csv", newline="", encoding="utf-8") as file:
        asked = [row["id"] for row in csv.DictReader(file)]
    rows = [{"id": each, "new_label": truth[each]} for each in asked]
    write_csv(folder / "labeled.csv", rows)
    return len(rows), sum(row["new_label"] != "ood" for row in rows)


def main(stop: StopRequest) -> None:
    """Asks, answers, prints and writes."""
    given = read_config(WantedConfig)
    check_output_file("out", given.out)
    rows: list[dict[str, Any]] = []
    for name in given.datasets:
        for repeat in range(given.repeats):
            with tempfile.TemporaryDirectory() as temporary:
                place = pathlib.Path(temporary)
                path, truth = make_pool(name, repeat, given.examples, place)
                config = LabelConfig(
                    dataset=str(path),
                    classes=_NAMES,
                    folder=str(place / "labelling"),
                    batch=given.batch,
                    seed=repeat,
                    page=False,
                )
                for number in range(given.rounds):
                    label.main(config, stop)
                    asked, wanted = answered(place / "labelling", truth)
                    row = {
                        "dataset": name,
                        "repeat": repeat,
                        "round": number,
                        "asked": asked,
                        "wanted": wanted,
                    }
                    say(row)
                    rows.append(row)
    write_csv(given.out, rows)
    for name in given.datasets:
        for chosen in (False, True):
            mine = [
                r for r in rows if r["dataset"] == name and (r["round"] > 0) == chosen
            ]
            share = sum(r["wanted"] for r in mine) / sum(r["asked"] for r in mine)
            words = "chosen" if chosen else "drawn"
            say(f"{name}: {share:.0%} of the questions that were {words} are wanted")


if __name__ == "__main__":
    # Not where it is imported: names of flags are of a whole process.
    define_flags(WantedConfig)
    launch(main, WantedConfig)
