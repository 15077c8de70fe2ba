"""What a screen says: how far the best function of two scores is ahead, with errors."""

from __future__ import annotations

import numpy as np

from experiments.studies.active_learning.screen import PREFIX, RULES
from experiments.study.table import Table
from robustjax.tools.tables import text_table

_ERRORS = 2.0


def headroom(table: Table) -> str:
    """A row per noise ratio, method and round that was screened; "" if none was.

    A difference is that of the best function to the sum or product, paired by repeat,
    with its standard error; there is headroom where it is more than two standard
    errors above both.
    """
    lines = []
    for setting in table.settings:
        values = {rule: setting.values.get(f"{PREFIX}{rule}") for rule in RULES}
        found = {rule: each for rule, each in values.items() if each is not None}
        if len(found) < len(RULES) or not np.isfinite(found["best"]).any():
            continue
        against = [found["best"] - found[rule] for rule in ("sum", "product")]
        against = [each[np.isfinite(each)] for each in against]
        columns = setting.columns
        lines.append(
            [
                f"{columns['noise_ratio']:g}",
                str(columns["method"]),
                str(columns["round"]),
                *(f"{np.nanmean(found[rule]):.3f}" for rule in RULES),
                *(_with_error(each) for each in against),
                _verdict(against),
            ]
        )
    if not lines:
        return ""
    header = ["noise", "method", "round", "random", "P + I", "P x I", "best"]
    header += ["best - (P + I)", "best - P x I", "headroom"]
    return "mean masked loss of the next query\n" + text_table(header, lines)


def _error(each: np.ndarray) -> float:
    if len(each) < 2:
        return float("nan")
    return float(each.std(ddof=1) / len(each) ** 0.5)


def _with_error(each: np.ndarray) -> str:
    error = _error(each)
    text = f"{each.mean():+.3f}"
    return text if np.isnan(error) else f"{text} ±{error:.3f}"


def _verdict(differences: list[np.ndarray]) -> str:
    """Yes or no by rule; unknown of a single repeat."""
    errors = [_error(each) for each in differences]
    if any(np.isnan(error) for error in errors):
        return "unknown"
    ahead = [each.mean() > _ERRORS * error for each, error in zip(differences, errors)]
    return "yes" if all(ahead) else "no"
