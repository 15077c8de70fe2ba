"""Tables, plots and words on a study of instruction selection, from its table alone."""

from __future__ import annotations

import numpy as np

from experiments.studies.instruction_selection import worth
from experiments.studies.instruction_selection.comparison import (
    BASES,
    Compared,
    compare,
    selections,
    write_comparison,
)
from experiments.studies.instruction_selection.runner import RANKED, TEACHER
from experiments.study.numbers import Measure
from experiments.study.plot import Line, Panel, draw
from experiments.study.table import Table
from robustjax.tools.histograms import Histogram, draw_histograms
from robustjax.tools.tables import in_file
from robustjax.training import write_csv

MEASURES = (
    Measure("kept", "wrong answers kept", lowest_is_best=True),
    Measure("selected", "records kept"),
    Measure("among_kept", "wrong among the kept", lowest_is_best=True),
    Measure("lift", "times chance", is_share=False, lowest_is_best=True),
    Measure("p_fewer", "p", is_share=False, lowest_is_best=True),
    Measure("radius", "covering radius", is_share=False, lowest_is_best=True),
    Measure("tokens", "tokens of an answer", is_share=False),
    *worth.MEASURES,
)
_CHANCE = {"color": "black", "ls": ":", "marker": ""}


def report(table: Table) -> str:
    """Draws plots and writes the tables that the measures allow; the text."""
    compared = list(compare(table))
    write_comparison(table.folder / "comparison.csv", compared)
    _draw_shares(table)
    _draw_noise(table)
    parts = [_text(table, "kept"), _text(table, "radius"), _text(table, "tokens")]
    asked = _teacher(table)
    tuned = worth.report(table) if worth.is_tuned(table) else []
    return "\n\n".join(
        [*parts, meaning(compared), *asked, *_answer_ranks(table), *tuned]
    )


def _text(table: Table, key: str) -> str:
    """By share kept: without a teacher, with the best one and with the worst."""
    noises = sorted(table.column("teacher_noise"))
    title = table.measures[key].title
    parts = [
        table.text(
            key,
            "method",
            "share",
            title=title if noise is None else f"{title}, teacher's noise {noise:g}",
            teacher_noise=noise,
        )
        for noise in (None, *dict.fromkeys((*noises[:1], *noises[-1:])))
    ]
    return "\n\n".join(part for part in parts if part.count("\n") > 1)


def meaning(compared: list[Compared]) -> str:
    """What the comparison says of wrong answers, a sentence per method and base."""
    sentences = []
    for base in BASES:
        mine = [c for c in compared if c.base == base and c.measure == "kept"]
        for name in dict.fromkeys(c.name for c in mine):
            own = [c for c in mine if c.name == name]
            better = [c.share for c in own if c.interval.sign < 0]
            worse = [c.share for c in own if c.interval.sign > 0]
            if len(better) == len(own):
                text = "keeps fewer wrong answers"
            elif not better and len(worse) == len(own):
                text = "keeps more wrong answers: not better"
            elif not better:
                text = "is not better"
                text += f", worse at {_percents(worse)}" if worse else ""
            else:
                text = f"keeps fewer wrong answers at {_percents(better)}"
                rest = [c.share for c in own if c.interval.sign == 0]
                text += f", is not better at {_percents(rest)}" if rest else ""
                text += f", worse at {_percents(worse)}" if worse else ""
            sentences.append(f"{name} {text} than {base}.")
    return "\n".join(sentences)


def _percents(shares: list[float]) -> str:
    return ", ".join(f"{100 * share:g} %" for share in shares)


def _teacher(table: Table) -> list[str]:
    """What a language model as the teacher was asked; also `teacher.csv`."""
    records = table.records(TEACHER)
    if not records:
        return []
    kept = ("method", "repeat", "share")
    counts = ("ranked", "all_dropped", "malformed", "singletons", "found_wrong", "cut")
    rows = []
    first: dict[int, list[float]] = {}
    for record in records:
        rows.append(
            {name: record[name] for name in (*kept, *counts)}
            | {f"asked_{name}": value for name, value in record["asked"].items()}
        )
        for size, shares in record["first_by_position"].items():
            first.setdefault(int(size), []).append(shares[0])
    write_csv(table.folder / "teacher.csv", rows)
    total = {name: sum(row[name] for row in rows) for name in counts}
    lines = [
        f"The teacher ranked {total['ranked']:,} clusters, dropped all of "
        f"{total['all_dropped']:,} and answered {total['malformed']:,} in no readable "
        "way.",
        *(
            f"Of {size} records it put the one that was shown first first in "
            f"{np.mean(shares):.0%} of its answers ({1 / size:.0%} by chance)."
            for size, shares in sorted(first.items())
        ),
    ]
    return ["\n".join(lines)]


def _selectors(table: Table) -> list[str]:
    return list(dict.fromkeys(s.columns["method"] for s in selections(table)))


def _draw_shares(table: Table) -> None:
    """Wrong answers kept, and the covering radius, by records kept."""
    panels = []
    shares = np.array(sorted(table.column("share")))
    for key, ylabel in (("kept", "wrong answers kept (%)"), ("radius", "radius")):
        lines = []
        scale = table.measures[key].scale
        for method in _selectors(table):
            noises = [
                s.columns["teacher_noise"]
                for s in table.where(method=method)
                if "teacher_noise" in s.columns
            ]
            # Of teachers the one with the least noise; `noise.png` has all.
            where = {"teacher_noise": min(noises)} if noises else {}
            x, values = table.line(key, "share", method=method, **where)
            lines.append(Line(method, 100 * x, scale * values))
        if key == "kept":
            lines.append(Line("chance", 100 * shares, 100 * shares[None], _CHANCE))
        panels.append(
            Panel(
                lines, "records kept (%)", ylabel, scale="log", ticks=list(100 * shares)
            )
        )
    draw(table.folder / "shares.png", panels, table.title, across=2)


def _draw_noise(table: Table) -> None:
    """Wrong answers kept by the noise of the teacher, a panel per share kept."""
    noises = table.column("teacher_noise")
    if len(noises) < 2:
        return
    panels = []
    for share in table.column("share"):
        lines = []
        for method in _selectors(table):
            found = table.where(method=method, share=share)
            if any("teacher_noise" in s.columns for s in found):
                x, values = table.line(
                    "kept", "teacher_noise", method=method, share=share
                )
                order = np.argsort(x)
                lines.append(Line(method, x[order], 100 * values[:, order]))
            else:
                lines.append(Line(method, [], 100 * found[0].values["kept"][:, None]))
        level = np.full((1, len(noises)), 100 * share)
        lines.append(Line("chance", np.array(sorted(noises)), level, _CHANCE))
        panels.append(
            Panel(
                lines,
                "share of clusters of which the teacher knows nothing",
                "wrong answers kept (%)",
                f"{100 * share:g} % kept",
            )
        )
    draw(table.folder / "noise.png", panels, table.title, across=3)


def _answer_ranks(table: Table) -> list[str]:
    """Fig. 6.1: where another answer ranks among the records, by distance."""
    texts = []
    for record, arrays in table.attached(RANKED):
        marked = arrays["marked"]
        panels, rows = [], []
        for kind in ("records", "answers"):
            ranks = arrays[kind]
            panels.append(
                Histogram.of(
                    f"embedded: {kind}",
                    "log10 of the rank of another answer",
                    np.log10(ranks),
                    marked,
                    kinds=("unmarked", "hallucinated"),
                )
            )
            for name, where in (("hallucinated", marked), ("unmarked", ~marked)):
                mine = ranks[where]
                rows.append(
                    {
                        "embedded": kind,
                        "answers": name,
                        "count": len(mine),
                        "records": record["size"],
                        "median": in_file(np.median(mine)),
                        "mean": in_file(mine.mean()),
                        "first": in_file(100 * (mine == 1).mean()),
                    }
                )
        draw_histograms(table.folder / "answer_ranks.png", panels, table.title)
        write_csv(table.folder / "answer_ranks.csv", rows)
        texts += [
            f"rank of {r['count']} {r['answers']} answers among {r['records']:,} "
            f"records, by {r['embedded']}: median {float(r['median']):g}, mean "
            f"{float(r['mean']):.1f}, first in {float(r['first']):.1f} %"
            for r in rows
        ]
    return ["\n".join(texts)] if texts else []
