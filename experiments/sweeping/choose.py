"""Which point is best, and by what it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.sweeping.results import Result, Results, are_uneven, shown_in_cell
from robustjax import checks
from robustjax.tools.tables import text_table

BOUND = "best_on_test"
RULES = {
    "last": "chosen by what is reported, on the same examples: compare, do not quote",
    "noisy_validation": "chosen by held-out noisy labels after the last epoch",
    BOUND: "a bound, not a result: epoch and point were chosen on the test set",
}
"""How a point is chosen: name -> what that means."""


def best(
    results: Results,
    measure: str,
    rule: str,
    per: Sequence[str],
    where: Mapping[str, str],
) -> str:
    """The best point for each combination of some columns, as text.

    Args:
      results: of a sweep.
      measure: what is reported of it.
      rule: one of `RULES`; "best_on_test" chooses by the measure of that name.
      per: columns; a point is chosen for each of their combinations.
      where: only results with these values.

    Raises:
      ValueError: an unknown rule or measure, one that was not measured, or a column
        that there is none of.
    """
    checks.one_of("select", rule, RULES)
    if rule == BOUND and measure != BOUND:
        raise ValueError(f"select: {BOUND} is of --best={BOUND}, got {measure}")
    if rule != BOUND and measure == BOUND:
        raise ValueError(f"select: got {rule} for {BOUND}, expected {BOUND}")
    found = results.chosen(measure, where)
    columns = list(dict.fromkeys(n for r in found for n in r.columns))
    for name in per:
        checks.one_of("per", name, columns)
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in found:
        key = tuple(result.columns.get(name, "") for name in per)
        groups.setdefault(key, []).append(result)
    names = [n for n in columns if any(r.columns.get(n) for r in found)]
    uneven = are_uneven(found)
    title = results.measure(measure).title
    lowest = rule == "last" and results.measure(measure).lowest_is_best
    rows = []
    for among in groups.values():
        scores = [_score(results, result, rule) for result in among]
        place = np.argmin(scores) if lowest else np.argmax(scores)
        top = among[int(place)]
        cells = [top.columns.get(name, "") for name in names]
        cells += [str(len(top.values))] if uneven else []
        chosen = [f"{max(scores):.1f}"] if rule == "noisy_validation" else []
        value = shown_in_cell(top.array, results.measure(measure))
        rows.append([*cells, *chosen, value, str(len(among))])
    header = [*names, *(["repeats"] if uneven else [])]
    header += ["validation"] if rule == "noisy_validation" else []
    text = text_table([*header, title, "of"], rows)
    which = "; the lowest is the best" if lowest else ""
    count = f"{len(results.finished)} of {results.points} points are finished"
    if uneven:
        counts = [len(result.values) for result in found]
        count += f", compared over {min(counts)} to {max(counts)} repeats"
    return f"{rule}: {RULES[rule]}{which}; {count}\n\n{text}"


def _score(results: Results, result: Result, rule: str) -> float:
    if rule != "noisy_validation":
        return float(result.array.mean())
    values = []
    method = result.columns.get("method")
    fields = {} if method is None else {"method": method}
    for member in result.members:
        curve = results.tables[member.name].curve("validation_accuracy", **fields)
        if curve is None:
            raise ValueError(
                f"select: {member.name} measured nothing on held-out noisy labels; "
                "expected a sweep with --validation_fraction"
            )
        values += curve.values[:, -1].tolist()
    return 100 * float(np.mean(values))
