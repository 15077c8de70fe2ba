"""How the code is laid out: imports point down, none go in circles, files are short."""

from __future__ import annotations

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MOST_LINES = 400
# From the ground up; what stands in one place may import from each other.
FLOORS = (
    {"losses", "corruption", "graph", "scores"},
    {"transforms", "selection", "models", "data"},
    {"training"},
    {"answers", "methods"},
    {"pages", "tools"},
    {"experiments"},
)


@functools.cache
def _modules() -> dict[str, pathlib.Path]:
    """Dotted name -> file, of the library and its launchers."""
    found = {}
    for room in ("robustjax", "experiments"):
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path
    return found


@functools.cache
def _imports() -> dict[str, set[str]]:
    """Module -> the modules that it imports as it is imported itself."""
    modules = _modules()
    found: dict[str, set[str]] = {}
    for name, path in modules.items():
        names = set()
        for node in _run_at_import(ast.parse(path.read_text()).body):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                # Of a package whose name is a module's, the module alone is meant.
                names |= (inner & set(modules)) or {node.module}
        found[name] = {each for each in names if each in modules and each != name}
    return found


def _run_at_import(body):
    """Statements outside of functions, and outside of `if TYPE_CHECKING:`."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for inner in ("body", "orelse", "finalbody", "handlers"):
                parts = getattr(node, inner, [])
                yield from _run_at_import(parts if isinstance(parts, list) else [])


def _floor(name: str) -> int | None:
    first, *rest = name.split(".")
    room = first if first == "experiments" or not rest else rest[0]
    return next((n for n, rooms in enumerate(FLOORS) if room in rooms), None)


def test_imports_point_down():
    assert sum(map(len, _imports().values())) > 1000
    up = [
        f"{name} imports {other}"
        for name, others in _imports().items()
        for other in others
        if None not in (_floor(name), _floor(other)) and _floor(name) < _floor(other)
    ]
    assert not up


def test_no_imports_go_in_circles():
    imports, state = _imports(), {}

    def circle_from(name, path):
        if state.get(name) == "done":
            return None
        if name in path:
            return [*path[path.index(name) :], name]
        for other in sorted(imports[name]):
            found = circle_from(other, [*path, name])
            if found:
                return found
        state[name] = "done"
        return None

    for name in imports:
        assert circle_from(name, []) is None


@pytest.mark.parametrize("folder", ["robustjax", "experiments", "tests", "examples"])
def test_files_are_short(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    long = {
        str(path.relative_to(ROOT)): count
        for path in files
        if (count := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long
