"""Tables, plots and words on a study of features, from its table alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from experiments.studies.features.pictures import draw_activations
from experiments.study.numbers import (
    Measure,
    deviation,
    in_cell,
    in_words,
    mean,
)
from experiments.study.plot import Line, Panel, draw
from experiments.study.settings import Setting
from experiments.study.table import Table
from robustjax.tools.tables import in_file, text_table
from robustjax.training import write_csv

_HEADLINE = (
    Measure("test_iou", "mean IoU (%)"),
    Measure("max_box_accuracy", "GT-known Loc (%), best threshold"),
    Measure("fixed_box_accuracy", "GT-known Loc (%), threshold 0.2"),
    Measure("test_accuracy", "test accuracy (%)"),
    Measure("adversarial_accuracy", "accuracy under attack (%)"),
    Measure("heldout_ood_norm", "norm of activations, held-out OOD images", False),
    Measure("test_norm", "norm of activations, test images", False),
    Measure("class_cosine", "cosine of activations between classes", False),
    Measure("ood_correlation", "correlation of features with a class, OOD", False),
    Measure("test_correlation", "the same, test images and labels", False),
)
"""What is printed, the task's own measure first."""

_DETECTION = {
    score: Measure(f"{score}_*", f"OOD detection by {score} (%)", in_summary=False)
    for score in ("msp", "energy")
}
MEASURES = (
    *_HEADLINE,
    Measure("heldout_ood_square", "squared norm, held-out OOD images", False),
    Measure("best_threshold", "best threshold of maps", False),
    *_DETECTION.values(),
)
_PRINTED_DETECTION = ("auroc", "aupr_out", "fpr95_in_pos", "fpr95_ood_pos")


def report(table: Table) -> str:
    """Draws `curves.png` and `activations.png`, writes `detection.csv`; the text."""
    measured = {key for setting in table.settings for key in setting.values}
    headline = [measure for measure in _HEADLINE if measure.key in measured]
    main = headline[0]
    draw_curves(table, main)
    draw_activations(table)
    parts = [
        table.text(m.key, "method", "num_examples", title=f"{m.title}, N =")
        for m in headline
    ]
    parts.append(_detection(table))
    compared = [m for m in headline if m.key in (main.key, "adversarial_accuracy")]
    parts.append("\n".join(filter(None, (meaning(table, m) for m in compared))))
    return "\n\n".join(filter(None, parts)) + "\n"


def _scores(setting: Setting) -> Iterator[tuple[str, Measure, dict[str, np.ndarray]]]:
    """The scores by which OOD images were detected, with their measures (R,)."""
    for score, measure in _DETECTION.items():
        found = {
            key.removeprefix(f"{score}_"): values
            for key, values in setting.values.items()
            if key.startswith(f"{score}_")
        }
        if found:
            yield score, measure, found


def _detection(table: Table) -> str:
    """Writes `detection.csv`, a row per score; the text on the largest N."""
    largest = max(table.column("num_examples"))
    rows, lines = [], []
    for setting in table.settings:
        for score, measure, found in _scores(setting):
            row = {**setting.columns, "score": score}
            for name, values in found.items():
                row[f"{name}_mean"] = in_file(measure.scale * mean(values))
                row[f"{name}_std"] = in_file(measure.scale * deviation(values))
            rows.append(row)
            if setting.columns["num_examples"] == largest:
                cells = [in_cell(found[name], measure) for name in _PRINTED_DETECTION]
                lines.append([f"{setting.columns['method']}, {score}", *cells])
    if not rows:
        return ""
    write_csv(table.folder / "detection.csv", rows)
    header = [f"OOD detection (%), N = {largest:,}", *_PRINTED_DETECTION]
    return text_table(header, lines)


def meaning(table: Table, measure: Measure) -> str:
    """What a table says of every method against the standard, in a line each."""
    found: dict[str, dict[int, np.ndarray]] = {}
    # The repeats of all methods begin with the same network and the same examples.
    for setting, differences in table.against({"method": "standard"}, measure.key):
        mine = found.setdefault(setting.columns["method"], {})
        mine[setting.columns["num_examples"]] = measure.scale * differences
    lines = []
    for method, by_count in found.items():
        counts = sorted(by_count)
        texts = [in_words(by_count[count]) for count in counts]
        lines.append(
            f"{method} against standard, {measure.title}: {', '.join(texts)} "
            f"(N = {', '.join(f'{n:,}' for n in counts)}; paired by repeat"
            + (", ± standard error)" if "±" in texts[0] else ")")
        )
    return "\n".join(lines)


def draw_curves(table: Table, measure: Measure) -> None:
    """Draws `curves.png`: a measure by N, and by epoch for every N."""
    methods = table.column("method")
    counts = sorted(table.column("num_examples"))
    by_count = []
    for method in methods:
        x, values = table.line(measure.key, "num_examples", method=method)
        order = np.argsort(x)
        by_count.append(Line(method, x[order], measure.scale * values[:, order]))
    scale = "log" if len(counts) > 1 else "linear"
    panels = [
        Panel(
            by_count,
            "N",
            measure.title,
            "last epoch",
            bars=True,
            scale=scale,
            ticks=counts,
        )
    ]
    for count in counts:
        lines = []
        for method in methods:
            curve = table.curve(measure.key, method=method, num_examples=count)
            if curve is not None:
                lines.append(Line(method, curve.epochs, measure.scale * curve.values))
        panels.append(Panel(lines, "epoch", title=f"N = {count:,}"))
    draw(table.folder / "curves.png", panels, table.title)
