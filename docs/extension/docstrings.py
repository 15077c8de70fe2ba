"""How docstrings are read: code between single backticks, links where it is a name."""

from __future__ import annotations

import inspect
import re
from typing import Any

from docutils import nodes
from docutils.nodes import Node, system_message
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from docs.extension.markup import readable
from docs.extension.public_names import PACKAGE, faces

_LOGGER = logging.getLogger(__name__)
# What annotations turn into when they are read.
_FOREIGN = {
    "jax.jaxlib._jax.Array": "jax.Array",
    "jax._src.basearray.Array": "jax.Array",
    "flax.linen.module.Module": "flax.linen.Module",
    "optax._src.base.GradientTransformation": "optax.GradientTransformation",
}
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class CodeOrName(SphinxRole):
    """What stands between single backticks: a public name, or code as it is."""

    def run(self) -> tuple[list[Node], list[system_message]]:
        """A reference where the text can be a name, else a literal."""
        text = self.rawtext.strip("`")
        if not _DOTTED.fullmatch(text):
            return [nodes.literal(text, text, classes=["docutils"])], []
        role = self.env.domains.python_domain.role("obj")
        assert role is not None
        return role("obj", self.rawtext, text, self.lineno, self.inliner, {}, [])


def to_markup(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Reads a docstring as it was written."""
    lines[:] = readable(lines)


def arguments_are_code(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """An argument that is named like some function does not lead there."""
    try:
        own = set(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return
    lines[:] = [
        re.sub(r"(?<![`\w])`(\w+)`(?!`)", lambda m: _literal(m, own), line)
        for line in lines
    ]


def _literal(match: re.Match[str], names: set[str]) -> str:
    return f"`{match[0]}`" if match[1] in names else match[0]


def public_foreign_names(app: Sphinx, doctree: nodes.document) -> None:
    """Names of other libraries as people write them, not by where they are defined."""
    for node in doctree.findall(pending_xref):
        target = node.get("reftarget", "")
        if target in _FOREIGN:
            node["reftarget"] = _FOREIGN[target]
        elif target.startswith("np."):
            node["reftarget"] = f"numpy.{target[3:]}"


def own_name(app: Sphinx, env: Any, node: Any, content: Any) -> Node | None:
    """A name without its package; a warning, hence an error, where there is none."""
    target = node.get("reftarget", "")
    domain = env.domains.python_domain
    room = target.partition(".")[0]
    if target.startswith(f"{PACKAGE}."):
        path = target
    elif "." in target and f"{PACKAGE}.{room}" in faces():
        path = f"{PACKAGE}.{target}"
    else:
        return None
    if path in domain.objects:
        source = node["refdoc"]
        return domain.resolve_xref(env, source, app.builder, "obj", path, node, content)
    if "._" not in path:
        _LOGGER.warning("no public name: %s", target, location=node)
    return None


def skip_field(
    app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """Leaves out what NamedTuples say of their fields: classes describe them."""
    doc = getattr(value, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None
