"""The tables of README and docs as they are printed, and printing them anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.printed_tables.cells import BUILDERS, ROOT, Files, Table

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MARKER = re.compile(r"<!-- table: (?P<name>\w+)(?:; files: (?P<files>[^>]*?))? -->")


class Printed(NamedTuple):
    """A table on a page.

    `first` and `last` are its lines, `marker` that of the comment before it or None.
    """

    first: int
    last: int
    marker: int | None
    name: str | None
    files: tuple[str, ...]
    cells: Table


def printed_tables(text: str) -> Iterator[Printed]:
    """Every table of a page, outside of code blocks."""
    lines = text.split("\n")
    number, code = 0, False
    while number < len(lines):
        if lines[number].lstrip().startswith("```"):
            code = not code
        if code or not lines[number].lstrip().startswith("|"):
            number += 1
            continue
        last = number
        while last < len(lines) and lines[last].lstrip().startswith("|"):
            last += 1
        before = number - 1
        while before > 0 and not lines[before].strip():
            before -= 1
        found = MARKER.fullmatch(lines[before].strip())
        names = found["files"].split(", ") if found and found["files"] else ()
        rows = [lines[number], *lines[number + 2 : last]]
        yield Printed(
            number,
            last,
            before if found else None,
            found["name"] if found else None,
            tuple(names),
            [[cell.strip() for cell in cells_of(row)] for row in rows],
        )
        number = last


def cells_of(row: str) -> list[str]:
    """The cells between the bars of one line."""
    return re.split(r"(?<!\\)\|", row.strip())[1:-1]


def main() -> None:
    """Prints all tables anew."""
    for page in PAGES:
        lines = page.read_text().split("\n")
        for table in reversed(list(printed_tables(page.read_text()))):
            if table.marker is None or table.name not in BUILDERS:
                continue
            files = Files()
            rows = BUILDERS[table.name](files)
            body = ["| " + " | ".join(row) + " |" for row in rows]
            body.insert(1, "|" + "---|" * len(rows[0]))
            lines[table.first : table.last] = [
                re.sub(r"\| +(?=\|)", "| ", line) for line in body
            ]
            names = ", ".join(sorted(files.read))
            lines[table.marker] = f"<!-- table: {table.name}; files: {names} -->"
        page.write_text("\n".join(lines))
