"""Strict settings for every test: eight virtual devices, no silent broadcasting."""

from __future__ import annotations

import os
import pathlib

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests compile many tiny programs; optimising them costs more than it gains.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def rng() -> np.random.Generator:
    """A NumPy generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """The folder of offline data sets, or a skip that says what is missing."""
    root = os.environ.get("ROBUSTJAX_DATA")
    if not root:
        pytest.skip("ROBUSTJAX_DATA is not set: no offline data sets to read")
    path = pathlib.Path(root)
    if not path.is_dir():
        pytest.skip(f"ROBUSTJAX_DATA={root} is not a folder")
    return path


@pytest.fixture(scope="session")
def mesh() -> jax.sharding.Mesh:
    """A one-dimensional mesh over all eight virtual devices."""
    return jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
