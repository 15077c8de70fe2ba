"""When a process of tests forgets its programs, and where JAX writes them."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.harness import garbage


@pytest.mark.parametrize(
    ("resident", "stayed", "mapped", "forgets"),
    [
        (999, 0, 0.0, False),
        (1001, 0, 0.0, True),
        # What forgetting could not give back is not asked for after every module.
        (1001, 990, 0.0, False),
        (1299, 1050, 0.0, False),
        (1301, 1050, 0.0, True),
        (1, 0, 0.5, True),
        (None, 0, 0.0, True),
    ],
)
def test_programs_are_forgotten_where_that_gives_room(
    monkeypatch, resident, stayed, mapped, forgets
):
    monkeypatch.setattr(garbage, "_room", lambda: 1000)
    monkeypatch.setattr(garbage, "_resident_bytes", lambda: resident)
    monkeypatch.setattr(garbage, "_mapped_share", lambda: mapped)
    monkeypatch.setattr(garbage, "_stayed", stayed)
    assert garbage.no_room() == forgets


@pytest.mark.skipif(jax.__version_info__[:2] != (0, 10), reason="JAX's own is kept")
def test_programs_share_a_context():
    modules = [
        jax.jit(lambda x, n=n: x + n).lower(np.ones(3)).compiler_ir() for n in range(3)
    ]
    # A new one may have been due.
    assert len({id(module.context) for module in modules}) < 3
