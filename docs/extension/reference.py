"""Pages of the reference: one per face, with every public name at its home.

A name that several faces have is described in the innermost of them; the others list
it, and their paths lead there.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry
from sphinx.pycode import ModuleAnalyzer

from docs.extension.markup import readable
from docs.extension.public_names import Name, faces, homes, names_of

_UNDERLINES = "=-"


def pages() -> dict[str, str]:
    """File name -> text of every page about the library's names."""
    return {"index.rst": _index(), **{f"{face}.rst": _face(face) for face in faces()}}


def register_aliases(app: Sphinx, env: Any) -> None:
    """Makes the paths that lead to another face known, to links and inventories."""
    objects = env.domains.python_domain.objects
    for path, home in homes().items():
        if path != home and home in objects:
            known = objects[home]
            objects[path] = ObjectEntry(
                known.docname, known.node_id, known.objtype, True
            )


def source_of(app: Sphinx, module: str, attribute: str) -> str | None:
    """The module whose text defines a name; that of a value's type is of no use."""
    name = attribute.partition(".")[0]
    return next((n.source for n in names_of(module) if n.name == name), None)


def _index() -> str:
    rows = [(f":doc:`{face} <{face}>`", _first_line(_module(face))) for face in faces()]
    return "\n".join(
        [
            *_heading("All names", 0),
            "What can be imported, module by module; the alphabetical list is the",
            ":ref:`index <genindex>`. ``robustjax`` itself has the loss transforms, so",
            "that ``import robustjax as rj`` is enough in a training loop. What every",
            "part needs is in its package: `robustjax.arrays`, `robustjax.checks`,",
            "`robustjax.conditioning`, `robustjax.files` and `robustjax.output_paths`",
            "are for those who add methods.",
            "",
            *_table(("module", "what is in it"), rows),
            ".. toctree::",
            "   :hidden:",
            "",
            *(f"   {face}" for face in faces()),
            "",
        ]
    )


def _face(face: str) -> str:
    at_home: dict[str, list[Name]] = {}
    elsewhere, modules = [], []
    for name in names_of(face):
        if name.is_module:
            modules.append((f":doc:`{name.name} <{name.path}>`", _described(name)))
        elif homes()[name.path] == name.path:
            at_home.setdefault(name.source, []).append(name)
        else:
            link = f":py:obj:`{name.name} <{homes()[name.path]}>`"
            elsewhere.append((link, _described(name)))
    lines = [
        *_heading(face, 0),
        f".. py:module:: {face}",
        "",
        *readable((inspect.getdoc(_module(face)) or "").splitlines()),
        "",
    ]
    if modules:
        lines += _table(("module", "what is in it"), modules)
    if elsewhere:
        lines += _table(("name", "what it is"), elsewhere)
    if at_home:
        found = [name for names in at_home.values() for name in names]
        lines += _table(
            ("name", "what it is"),
            [(f":py:obj:`{n.name} <{n.path}>`", _described(n)) for n in found],
        )
    for source, names in at_home.items():
        if source != face:
            lines += _section(source)
        lines += [line for name in names for line in _entry(name)]
    return "\n".join(lines)


def _section(source: str) -> list[str]:
    """What the file that defines some names says of itself: papers, often."""
    title, _, rest = (inspect.getdoc(_module(source)) or source).partition("\n\n")
    title = " ".join(title.split()).removesuffix(".").replace("`", "")
    return [*_heading(title, 1), *readable(rest.splitlines()), ""]


def _entry(name: Name) -> Iterator[str]:
    known = [p for p, home in homes().items() if home == name.path != p]
    also = [f"Also ``{'``, ``'.join(known)}``."] if known else []
    if is_constant(name.value):
        yield from _constant(name, also)
        return
    kind = "class" if inspect.isclass(name.value) else "function"
    yield f".. auto{kind}:: {name.path}"
    if kind == "class":
        yield "   :members:"
    yield from ("", *(f"   {line}" for line in also), "")


def _constant(name: Name, also: list[str]) -> Iterator[str]:
    yield f".. py:data:: {name.name}"
    yield f"   :module: {name.face}"
    shown = repr(name.value)
    if len(shown) <= 88 and typing.get_origin(name.value) is None:
        yield f"   :value: {shown}"
    yield ""
    text = constant_docs(name)
    if typing.get_origin(name.value) is not None:
        text = f"{text}\n\n``{_type_text(name.value)}``"
    yield from (f"   {line}" for line in [*text.splitlines(), "", *also])
    yield ""


def is_constant(value: Any) -> bool:
    """Whether it is described by the text under it, having no docstring."""
    return value is Any or not (inspect.isclass(value) or inspect.isfunction(value))


def constant_docs(name: Name) -> str:
    """The text under an assignment, "" where there is none."""
    docs = ModuleAnalyzer.for_module(name.source).find_attr_docs()
    return "\n".join(docs.get(("", name.name), ())).strip()


def _type_text(value: Any) -> str:
    return str(value).replace("typing.", "").replace("collections.abc.", "")


def _described(name: Name) -> str:
    value = name.value
    if not name.is_module and is_constant(value):
        return constant_docs(name).partition("\n\n")[0].replace("\n", " ")
    return _first_line(value)


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _heading(text: str, level: int) -> list[str]:
    return [text, _UNDERLINES[level] * len(text), ""]


def _table(header: tuple[str, str], rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 30 70", ""]
    for first, second in (header, *rows):
        lines += [f"   * - {first}", f"     - {second}"]
    return [*lines, ""]
