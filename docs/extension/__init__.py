"""What the site is made from: the library itself, its registry and its launchers."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

from sphinx.application import Sphinx

from docs.extension import docstrings, launcher_help, method_table, reference

FOLDER = "reference"
"""Where the pages that are written by the build lie, beside those of people."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the extension."""
    # What was read by other code is read again.
    app.add_config_value("extension_digest", _own_digest(), "env", (str,))
    app.add_role("code-or-name", docstrings.CodeOrName())
    app.connect("builder-inited", _write_pages)
    app.connect("env-updated", reference.register_aliases)
    app.connect("viewcode-follow-imported", reference.source_of)
    app.connect("include-read", _lead_to_pages)
    app.connect("autodoc-skip-member", docstrings.skip_field)
    app.connect("autodoc-process-docstring", docstrings.to_markup, 100)
    # After napoleon, which would take what it makes for code of its own.
    app.connect("autodoc-process-docstring", docstrings.arguments_are_code, 900)
    app.connect("doctree-read", docstrings.public_foreign_names)
    # Before intersphinx, which warns of what it does not know.
    app.connect("missing-reference", docstrings.own_name, 400)
    return {"parallel_read_safe": True}


def _own_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write_pages(app: Sphinx) -> None:
    """Writes what has changed, and removes what no face stands behind any more."""
    folder = pathlib.Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    pages = {
        **reference.pages(),
        "methods.md": method_table.page(),
        "launchers.md": launcher_help.page(),
    }
    for path in folder.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _lead_to_pages(
    app: Sphinx, path: pathlib.Path, docname: str, content: list[str]
) -> None:
    """Links between the files of the root lead to their pages on the site."""
    for name in ("contributing", "changelog"):
        content[0] = content[0].replace(
            f"]({name.upper()}.md)", f"](project/{name}.md)"
        )
