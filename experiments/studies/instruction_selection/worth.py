"""What selections are worth to a fine-tuned model: against random, paired by repeat."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from experiments.studies.instruction_selection.comparison import name_of, selections
from experiments.studies.instruction_selection.runner import UNTUNED
from experiments.study.numbers import Measure, deviation, in_words
from experiments.study.plot import Line, Panel, draw
from experiments.study.settings import Setting
from experiments.study.table import Table
from robustjax.methods.instructions import Interval, mean_interval
from robustjax.tools.tables import in_file, text_table
from robustjax.training import write_csv

MEASURES = (
    Measure("right_ll", "log-likelihood, right answers", is_share=False),
    Measure(
        "wrong_ll", "log-likelihood, wrong answers", is_share=False, lowest_is_best=True
    ),
    Measure("margin", "right above wrong", is_share=False),
    Measure("preferred", "other answer likelier than the marked one"),
    Measure("choice_accuracy", "multiple choice"),
)
# A thousandth of a nat per token is what differs.
_MILLINATS = 1000.0
# Orderings that FP-Instruction's thesis prints beside those against random.
_PAIRS = {"max_cover": "min_cover"}
_WORDS = {-1: "lower", 0: "no difference", 1: "higher"}


class Worth(NamedTuple):
    """A selection against a base, at one share of the records.

    Attributes:
      setting: of the selection.
      base: name of what it is compared with.
      measure: which one.
      differences: (R,) by repeat, as measured.
    """

    setting: Setting
    base: str
    measure: Measure
    differences: np.ndarray

    @property
    def interval(self) -> Interval:
        """Of the mean, 95 %, by Student."""
        return mean_interval(self.differences)

    @property
    def verdict(self) -> str:
        """In a word; nothing where repeats do not say how far others would lie."""
        interval = self.interval
        # A question more in each of few repeats is no certainty.
        same = bool(self.differences[0]) and np.ptp(self.differences) == 0
        return "" if same or np.isnan(interval.low) else _WORDS[interval.sign]


def is_tuned(table: Table) -> bool:
    """Whether a model was fine-tuned on the selections."""
    return any("right_ll" in setting.values for setting in table.settings)


def worths(table: Table) -> Iterator[Worth]:
    """All comparisons that the table allows, in its order."""
    tuned = [s for s in table.settings if "right_ll" in s.values]
    for setting in selections(table):
        for base in tuned:
            if not _is_base(setting, base, tuned) or base.repeats != setting.repeats:
                continue
            for measure in MEASURES:
                difference = setting.values[measure.key] - base.values[measure.key]
                yield Worth(setting, name_of(base), measure, difference)


def _is_base(setting: Setting, base: Setting, tuned: list[Setting]) -> bool:
    mine, its = setting.columns, base.columns
    if its["method"] == UNTUNED:
        return True
    if base is setting or its["share"] != mine["share"]:
        return False
    if its["method"] in ("random", _PAIRS.get(str(mine["method"]))):
        return True
    # The best teacher against the worst: clean answers against all.
    noises = [
        s.columns["teacher_noise"]
        for s in tuned
        if s.columns["method"] == mine["method"] == its["method"]
        and "teacher_noise" in s.columns
    ]
    return bool(noises) and (
        mine["teacher_noise"] == min(noises) and its["teacher_noise"] == max(noises)
    )


def write_worths(path: pathlib.Path, found: Iterable[Worth]) -> None:
    """A row per comparison; log-likelihoods in nats per token, shares in points."""
    rows = []
    for each in found:
        scale = each.measure.scale
        noise = each.setting.columns.get("teacher_noise")
        interval = each.interval
        error = deviation(each.differences) / len(each.differences) ** 0.5
        rows.append(
            {
                "method": each.setting.columns["method"],
                "teacher_noise": "" if noise is None else f"{noise:g}",
                "share": f"{each.setting.columns['share']:g}",
                "measure": each.measure.key,
                "base": each.base,
                "difference": in_file(scale * interval.mean),
                "standard_error": in_file(scale * float(error)),
                "low": in_file(scale * interval.low),
                "high": in_file(scale * interval.high),
                "verdict": each.verdict,
                "repeats": len(each.differences),
            }
        )
    write_csv(path, rows)


def report(table: Table) -> list[str]:
    """Draws `fine_tuning.png` and writes `fine_tuning.csv`; the text."""
    found = list(worths(table))
    write_worths(table.folder / "fine_tuning.csv", found)
    _draw(table, found)
    untuned = table.one(method=UNTUNED)
    before = "" if untuned is None else _before(untuned)
    return [before, _differences(found), meaning(found)]


def _before(untuned: Setting) -> str:
    values = {m.key: float(untuned.values[m.key][0]) for m in MEASURES}
    return (
        "Before any training: log-likelihood per token "
        f"{values['right_ll']:.3f} of right answers and {values['wrong_ll']:.3f} of "
        f"wrong ones; the other answer is likelier than the marked one in "
        f"{values['preferred']:.0%}, multiple choice {values['choice_accuracy']:.0%} "
        "(50 % by chance)."
    )


def _differences(found: list[Worth]) -> str:
    """Mean and standard error of the paired differences, a row per comparison."""
    header = ["method", "share", "against"]
    header += [f"{m.title} ({'%' if m.is_share else 'mnat'})" for m in MEASURES]
    rows: dict[tuple[str, ...], list[str]] = {}
    for each in found:
        share = f"{each.setting.columns['share']:g}"
        key = name_of(each.setting), share, each.base
        scale = each.measure.scale if each.measure.is_share else _MILLINATS
        rows.setdefault(key, []).append(in_words(scale * each.differences))
    return text_table(header, [[*key, *cells] for key, cells in rows.items()])


def meaning(found: list[Worth]) -> str:
    """What the comparisons say, a sentence per method, share and base."""
    sentences: dict[tuple[str, str, str], dict[int, list[str]]] = {}
    for each in found:
        if not each.verdict:
            continue
        share = f"{100 * each.setting.columns['share']:g} %"
        mine = sentences.setdefault((name_of(each.setting), share, each.base), {})
        mine.setdefault(each.interval.sign, []).append(each.measure.title)
    lines = []
    for (name, share, base), by_sign in sentences.items():
        parts = [
            f"{_WORDS[sign]} in {', '.join(by_sign[sign])}"
            for sign in (1, -1)
            if sign in by_sign
        ]
        text = "; ".join(parts) or "no different in any measure"
        lines.append(f"{name} at {share}, beside {base}: {text}.")
    return "\n".join(lines)


def _draw(table: Table, found: list[Worth]) -> None:
    """Differences to random by method, a panel per measure and share."""
    mine = [each for each in found if each.base == "random"]
    panels = []
    for share in dict.fromkeys(each.setting.columns["share"] for each in mine):
        for measure in MEASURES:
            lines = [Line("random", [], np.zeros((1, 1)), {"color": "black"})]
            here = [
                each
                for each in mine
                if each.setting.columns["share"] == share and each.measure == measure
            ]
            for place, each in enumerate(here):
                values = measure.scale * each.differences[:, None]
                lines.append(Line(name_of(each.setting), [place], values))
            unit = "points" if measure.is_share else "nats per token"
            panels.append(
                Panel(
                    lines,
                    f"{100 * share:g} % kept",
                    f"difference to random ({unit})",
                    measure.title,
                    bars=True,
                    ticks=[],
                )
            )
    if panels:
        draw(table.folder / "fine_tuning.png", panels, table.title, across=3)
