"""Docstrings are plain text with a little Markdown; here they become reStructuredText.

Tables and indented blocks of code or formulas are kept as such, and the signs of
formulas outside of backticks (`|`, `*`) mean themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_CODE = re.compile(r"(`+[^`]+`+)")
# A star that opens emphasis which nothing closes, as in (B, *size, C).
_LONE_STAR = re.compile(r"(?<![\w*])\*(?=\w)(?![^*]*\w\*)")


def readable(lines: Iterable[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    found: list[str] = []
    block: list[str] = []
    for line in [*lines, ""]:
        if line.lstrip().startswith("|") or (block and line.startswith("    ")):
            block.append(line)
            continue
        if block:
            found += _block(block)
            block = []
        if _opens_code(found, line):
            found += ["::", ""]
            block = [line]
            continue
        found.append(_escaped(line))
    return [*found[:-1], *_block(block)] if block else found[:-1]


def _opens_code(before: list[str], line: str) -> bool:
    """Whether an indented line stands under a paragraph that is not indented."""
    if not line.startswith("    ") or len(before) < 2 or before[-1].strip():
        return False
    above = next((known for known in reversed(before) if known.strip()), " ")
    return not above.startswith((" ", "- ", "* ")) and not above.endswith("::")


def _block(lines: list[str]) -> Iterator[str]:
    if not lines[0].lstrip().startswith("|"):
        yield from lines
        return
    indent = " " * (len(lines[0]) - len(lines[0].lstrip()))
    yield from (f"{indent}.. list-table::", f"{indent}   :header-rows: 1", "")
    for line in lines:
        if not re.fullmatch(r"[|\s:-]+", line):
            first, *rest = line.strip().strip("|").split("|")
            yield f"{indent}   * - {first.strip()}".rstrip()
            yield from (f"{indent}     - {cell.strip()}".rstrip() for cell in rest)
    yield ""


def _escaped(line: str) -> str:
    if line.lstrip().startswith((">>>", "...", "..")):
        return line
    parts = _CODE.split(line)
    parts[::2] = [
        _LONE_STAR.sub(r"\\*", part).replace("|", "\\|") for part in parts[::2]
    ]
    return "".join(parts)
