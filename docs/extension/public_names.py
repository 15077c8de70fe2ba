"""The public names of the library, read from its source.

A face is a module without an underscore in its path. Its public names are what it
defines, and what it hands on as `from … import name as name`.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import pathlib
import pkgutil
from collections import defaultdict
from typing import Any, NamedTuple

PACKAGE = "robustjax"


class Name(NamedTuple):
    """A public name of a face.

    Attributes:
      face: the module that people import it from.
      name: its name there.
      source: the module that defines it; for a module, the module itself.
    """

    face: str
    name: str
    source: str

    @property
    def path(self) -> str:
        """What people type."""
        return f"{self.face}.{self.name}"

    @property
    def value(self) -> Any:
        """What it names."""
        return getattr(importlib.import_module(self.face), self.name)

    @property
    def is_module(self) -> bool:
        """Whether it names a module."""
        return inspect.ismodule(self.value)


@functools.cache
def faces() -> tuple[str, ...]:
    """Every public module, the package itself first."""
    package = importlib.import_module(PACKAGE)
    found = [PACKAGE]
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        parts = module.name.split(".")
        # The command is told by its own help, not by what it is made of.
        hidden = any(part.startswith("_") for part in parts) or "tools" in parts
        if not hidden:
            found.append(module.name)
    return tuple(sorted(found))


@functools.cache
def names_of(face: str) -> tuple[Name, ...]:
    """The public names of a face, in the order of its source."""
    found = {}
    for name, source in _bindings(face).items():
        if not name.startswith("_"):
            found[name] = Name(face, name, _defined_in(source, name))
    for other in faces():
        parent, _, name = other.rpartition(".")
        if parent == face:
            found[name] = Name(face, name, other)
    return tuple(found.values())


def all_names() -> tuple[Name, ...]:
    """The public names of all faces."""
    return tuple(name for face in faces() for name in names_of(face))


@functools.cache
def homes() -> dict[str, str]:
    """Path -> path of the same thing in the innermost face that has it."""
    same = defaultdict(list)
    for name in all_names():
        if not name.is_module:
            same[name.source, name.name].append(name.path)
    return {
        path: max(paths, key=lambda path: path.count("."))
        for paths in same.values()
        for path in paths
    }


@functools.cache
def _bindings(module: str) -> dict[str, str]:
    """Name -> the module that it is from, for what a module hands on or defines."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return {}
    tree = ast.parse(pathlib.Path(spec.origin).read_text())
    found: dict[str, str] = {}
    for node in _statements(tree.body):
        match node:
            case ast.ImportFrom(module=str(source), names=aliases):
                for alias in aliases:
                    if alias.asname == alias.name:
                        found[alias.name] = source
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found[name] = module
            case ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = module
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = module
    return found


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements, with those that only type checkers see."""
    found = []
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found += _statements(node.body)
        else:
            found.append(node)
    return found


def _defined_in(source: str, name: str) -> str:
    """The module that defines a name which `source` hands on or defines."""
    nested = f"{source}.{name}"
    if importlib.util.find_spec(source) is not None and _is_module(nested):
        return nested
    further = _bindings(source).get(name, source)
    return source if further == source else _defined_in(further, name)


def _is_module(path: str) -> bool:
    try:
        return importlib.util.find_spec(path) is not None
    except ModuleNotFoundError:
        return False
