"""Every printed table follows from the committed results, cell by cell."""

import re

import numpy as np
import pytest

from robustjax import methods
from tests.printed_tables import BUILDERS
from tests.printed_tables.active_learning import pooled_precision
from tests.printed_tables.cells import RESULTS, Files, paired
from tests.printed_tables.pages import PAGES, printed_tables

# What tables without measurements may not hold: decimals, percentages, deviations.
MEASURED = re.compile("±|\\d[.,]\\d|\\d ?%|\\d\N{MULTIPLICATION SIGN}")

TABLES = [
    pytest.param(page, table, id=f"{page.name}:{table.first + 1}")
    for page in PAGES
    for table in printed_tables(page.read_text())
]


@pytest.mark.parametrize(("page", "table"), TABLES)
def test_a_table_is_what_its_files_say(page, table):
    assert table.name is not None, f"{page.name}:{table.first + 1} names no source"
    if table.name == "words":
        found = [c for row in table.cells for c in row if MEASURED.search(c)]
        assert not found, "numbers without a source"
        return
    files = Files()
    want = BUILDERS[table.name](files)
    assert list(table.files) == sorted(files.read)
    assert [[cell.strip() for cell in row] for row in want] == table.cells


def test_every_builder_has_its_table():
    names = {case.values[1].name for case in TABLES}
    assert names - {"words"} == set(BUILDERS)
    assert {page.name for page in PAGES} >= {"README.md", "import.md", "speed.md"}


def test_repeats_and_summaries_are_of_the_same_runs():
    """What keeps its repeats has the means and deviations of its summary."""
    compared = 0
    for path in sorted(RESULTS.rglob("repeats.csv")):
        files = Files()
        folder = path.parent.relative_to(RESULTS)
        values = {}
        for row in files.rows(f"{folder}/repeats.csv"):
            columns = {
                k: v for k, v in row.items() if k not in ("repeat", "measure", "value")
            }
            key = (tuple(columns.items()), row["measure"])
            values.setdefault(key, []).append(float(row["value"]))
        for (columns, measure), each in values.items():
            if measure.split("_")[0] in ("msp", "energy", "maxlogit", "odin"):
                continue
            row = files.row(f"{folder}/summary.csv", **dict(columns))
            mean, deviation = np.mean(each), np.std(each, ddof=1)
            got = [float(row[f"{measure}_{kind}"]) for kind in ("mean", "std")]
            # Summaries are rounded to four decimals or six digits.
            np.testing.assert_allclose(got, [mean, deviation], rtol=1e-5, atol=6e-5)
            compared += 1
    assert compared > 100


PAGE = """
<!-- table: words -->
| a | b |
|---|---|
| c \\| d |  |

```
| no | table |
```

| without | a source |
|---|---|
| 1.5 | 2 |
"""


def test_tables_and_their_markers_are_found():
    first, second = printed_tables(PAGE)
    assert (first.name, first.files) == ("words", ())
    assert first.cells == [["a", "b"], ["c \\| d", ""]]
    assert second.name is None
    assert MEASURED.search(second.cells[1][0])
    assert not MEASURED.search(second.cells[1][1])


def test_all_recipes_have_their_layouts():
    rows = Files().rows("layouts/differences.csv")
    recipes = {f"{e.family}-{e.name}" for e in methods.entries(role="recipe")}
    assert {row["recipe"] for row in rows} == recipes


def test_differences_are_paired_and_purities_pooled():
    one, other = np.array([3.0, 6.0, 9.0]), np.array([1.0, 2.0, 3.0])
    assert paired(one, other) == "+4.0 ±1.2"
    assert paired(other, one) == "\N{MINUS SIGN}4.0 ±1.2"
    rows = [
        {"labels_mean": "40", "labeled_in_mean": "10"},
        {"labels_mean": "60", "labeled_in_mean": "20"},
        {"labels_mean": "140", "labeled_in_mean": "40"},
    ]
    # 10 of 20 and 20 of 80: the mean of the rounds would be 37.5.
    assert pooled_precision(rows) == 30
