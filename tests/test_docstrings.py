"""The examples in docstrings, run as they stand."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import robustjax

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules():
    for found in pkgutil.walk_packages(robustjax.__path__, "robustjax."):
        yield importlib.import_module(found.name)


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in modules():
        for test in finder.find(module, globs={}):
            if test.examples:
                yield test


EXAMPLES = {test.name: test for test in examples()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_shows(name):
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=_FLAGS)
    runner.run(EXAMPLES[name], out=report.append, clear_globs=False)
    assert not report, "".join(report)


@pytest.mark.slow
def test_what_people_import_first_has_an_example():
    names = {name.rpartition(".")[2] for name in EXAMPLES}
    assert names >= {
        *("value", "chain", "elr", "sop", "gce", "alpha_weights", "small_loss"),
        *("taufe", "only_where", "inject_hyperparams", "rowwise", "supervised"),
        *("find_label_issues", "label_quality_scores", "symmetric", "entry"),
        *("k_center", "badge", "prune4rel", "select", "nearest_neighbors"),
    }
