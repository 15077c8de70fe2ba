"""A key in the environment, for endpoints."""

from __future__ import annotations

import pytest

from tests.methods.instructions.endpoint_problem import KEY


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
