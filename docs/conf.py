"""The site: these pages, the docstrings, the registry and the launchers' help.

`make docs` builds it strictly and without a network. With `-t online` names of other
libraries lead to their sites.
"""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from robustjax import __version__  # noqa: E402

project = "robustjax"
author = "the robustjax authors"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "docs.extension",
]
root_doc = "index"
exclude_patterns = ["extension"]

# Other libraries' names need their inventories, hence a network.
intersphinx_mapping = {}
if tags.has("online"):  # type: ignore[name-defined]  # noqa: F821
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "jax": ("https://docs.jax.dev/en/latest", None),
        "optax": ("https://optax.readthedocs.io/en/latest", None),
        "flax": ("https://flax-linen.readthedocs.io/en/latest", None),
    }

# Docstrings put code between single backticks; a public name there becomes a link.
default_role = "code-or-name"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"show-inheritance": False}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 110
add_module_names = True
toc_object_entries_show_parents = "hide"

myst_heading_anchors = 4
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"robustjax {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
