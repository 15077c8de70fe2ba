"""What an importer pays: neither models nor data sets nor launchers."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HEAVY = (
    "flax",
    "orbax",
    "tensorflow_datasets",
    "tensorflow",
    "torch",
    "sklearn",
    "matplotlib",
    "tqdm",
    "absl.flags",
)

_USE = """
import sys
for name in {heavy!r}:
    sys.modules[name] = None  # Importing it raises ImportError.
import jax, jax.numpy as jnp
import robustjax as rj
tx = rj.chain(rj.alpha_weights(), rj.gce(q=0.7))
state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=3))
rows = jnp.arange(4)
batch = {{"index": rows, "label": rows % 3, "mask": rows >= 0}}
terms, state = tx.update(rj.start(batch), state, batch, logits=jnp.ones((4, 3)))
print(float(rj.reduce(terms)))
from robustjax import corruption, graph, losses, scores, selection, transforms
for room in ("methods", "models", "training"):
    try:
        getattr(rj, room)
    except ModuleNotFoundError as error:
        assert "pip install 'robustjax[tools]'" in str(error), error
        assert f"robustjax.{{room}} needs " in str(error), error
    else:
        raise AssertionError(room)
"""


def _python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_the_core_works_without_the_heavy_packages():
    done = _python(_USE.format(heavy=_HEAVY))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def test_import_alone_loads_nothing():
    done = _python(
        "import sys, robustjax; print(*sorted({m.split('.')[1] for m in sys.modules "
        "if m.startswith('robustjax.')}), 'jax' in sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "_version",
        "False",
    ]


def test_type_checkers_see_the_names_that_there_are():
    import ast
    import inspect

    import robustjax
    from robustjax import transforms

    tree = ast.parse(inspect.getsource(robustjax))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    told = {
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == {*robustjax._LAZY_MODULES, *robustjax._LAZY_ATTRIBUTES}
    assert robustjax.elr is transforms.elr
    assert told <= set(dir(robustjax))


@pytest.mark.slow
def test_imports_point_down_the_floors():
    """Lower rooms never import higher ones (the order of the architecture)."""
    import ast
    import pathlib

    import robustjax

    floors = {
        **dict.fromkeys(("losses", "corruption", "graph", "scores"), 1),
        **dict.fromkeys(("transforms", "selection", "models", "data"), 2),
        **dict.fromkeys(("answers", "training"), 3),
        "pages": 4,
        "methods": 4,
        "tools": 5,
    }
    root = pathlib.Path(robustjax.__file__).parent
    wrong = []
    for path in root.rglob("*.py"):
        room = path.relative_to(root).parts[0]
        if room not in floors:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            targets = []
            if isinstance(node, ast.ImportFrom) and node.module:
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            for target in targets:
                parts = target.split(".")
                if parts[0] == "experiments":
                    wrong.append((str(path), target))
                if parts[0] == "robustjax" and floors.get(parts[1], 0) > floors[room]:
                    wrong.append((str(path), target))
    assert not wrong
