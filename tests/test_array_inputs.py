"""Every public function of four packages, with arrays as people have them.

A new public function without a row in one of the tables fails the first test.
"""

from __future__ import annotations

import inspect
import re

import jax
import numpy as np
import pytest

from robustjax import data, graph, scores, selection

from .array_inputs import data_table, graph_table, scores_table, selection_table
from .array_inputs.variants import FORMS, VALUES

PACKAGES = {
    "data": (data, data_table),
    "graph": (graph, graph_table),
    "scores": (scores, scores_table),
    "selection": (selection, selection_table),
}
ROWS = {
    f"{package}.{name}": row
    for package, (_, table) in PACKAGES.items()
    for name, row in table.TABLE.items()
}
_SUBJECT = re.compile(r"([a-z_]\w*(?:\.\w+)?)[^:]*: \S")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_function_has_a_row(package):
    module, table = PACKAGES[package]
    public = {
        name
        for name, value in vars(module).items()
        if callable(value)
        and not inspect.isclass(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "").startswith("robustjax")
    }
    assert public == set(table.TABLE) | set(table.WITHOUT)
    assert not set(table.TABLE) & set(table.WITHOUT)


def _leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def _check(row, variant, folder):
    if variant in row.skips:
        return
    given, plain = row.inputs(variant, folder)
    try:
        got = _leaves(row.call(**given))
    except (ValueError, TypeError) as error:
        message = str(error)
        assert "\n" not in message
        subject = _SUBJECT.match(message)
        known = {*given, *row.names, "selection", "budget"}
        assert subject is not None, message
        assert subject.group(1) in known, message
        assert variant in VALUES or variant in row.refuses, message
        return
    assert variant not in row.must_refuse, f"{variant} was taken: {got}"
    assert variant not in row.refuses, f"{variant} was taken: {got}"
    with np.errstate(all="ignore"):
        want = _leaves(row.plain(**plain))
    assert len(got) == len(want)
    for ours, right in zip(got, want):
        assert ours.shape == right.shape
        if right.dtype.kind not in "fiub":
            np.testing.assert_array_equal(ours, right)
            continue
        size = np.abs(right[np.isfinite(right)].astype(np.float64)).max(initial=0)
        atol = row.atol * max(size, row.unit)
        ours, right = ours.astype(np.float64), right.astype(np.float64)
        np.testing.assert_allclose(ours, right, rtol=row.rtol, atol=atol)


@pytest.mark.parametrize("name", ROWS)
def test_every_form_gives_the_same(name, tmp_path):
    for variant in FORMS:
        try:
            _check(ROWS[name], variant, tmp_path)
        except Exception as error:
            error.add_note(f"{name}: {variant}")
            raise


@pytest.mark.parametrize("name", ROWS)
def test_other_values_give_the_right_result_or_one_line(name, tmp_path):
    for variant in VALUES:
        try:
            _check(ROWS[name], variant, tmp_path)
        except Exception as error:
            error.add_note(f"{name}: {variant}")
            raise
