"""Strict settings for every test: eight virtual devices, no silent broadcasting."""

from __future__ import annotations

import atexit
import os
import pathlib
import shutil
import sys
import tempfile

# Every process would compile this library, its launchers and the asserts of all tests
# anew: a quarter of the time of a file of tests whose programs are in the cache.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Libraries read all of these when they are imported: below, by `compilation_cache`.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Where an operation stands in the source is written into every program otherwise.
os.environ.setdefault("JAX_INCLUDE_FULL_TRACEBACKS_IN_LOCATIONS", "0")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
# Threads of scikit-learn, NumPy and PyTorch would wait for each other beside those of
# another worker: half of the time of a study that draws t-SNE.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# PyTorch 2.13's AVX2 kernel for the gradient of a convolution with few channels writes
# past its memory: on an AMD EPYC nearly every run of such a test aborted.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX")

from tests import compilation_cache

# Tests build the same programs again and again, in every run. Worker processes of
# pytest-xdist inherit the folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _folder = compilation_cache.default_folder()
    if compilation_cache.is_ours(_folder):
        compilation_cache.trim(_folder)
    else:
        _folder = pathlib.Path(tempfile.mkdtemp(prefix="robustjax-xla-"))
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_folder)
# Launchers in tests decode the same splits over and over.
os.environ.setdefault(
    "ROBUSTJAX_DECODED_CACHE", str(compilation_cache.cache_folder("tests-decoded"))
)
import jax
import numpy as np
import pytest

from tests.harness import garbage, one_context

# Tests compile far more than they compute. A third of their time is LLVM's optimiser,
# programs of a few lines do not gain by being compiled in parts, and fusions that are
# emitted by MLIR take twice to four times as long as the old ones.
if "XLA_FLAGS" not in os.environ:
    _flags = ["--xla_backend_optimization_level=0"]
    # What XLA does not know ends the process; these are newer than the first.
    if jax.__version_info__[:2] == (0, 10):
        _flags += [
            "--xla_cpu_parallel_codegen_split_count=1",
            "--xla_cpu_use_fusion_emitters=false",
            # Virtual devices wait for each other; after 40 s the process is ended,
            # which a busy machine takes for a step.
            "--xla_cpu_collective_call_terminate_timeout_seconds=600",
        ]
    os.environ["XLA_FLAGS"] = " ".join(_flags)

garbage.collect_rarely()
one_context.share()
# The variable is for worker processes: here JAX had been imported before it was set.
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
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


def pytest_collection_finish():
    garbage.keep_what_is_there()


@pytest.fixture(scope="module", autouse=True)
def _forgotten_programs():
    """Compiled programs of thousands of tests would fill gigabytes.

    The next module needs many of them again: they are kept as long as there is room.
    """
    yield
    if garbage.no_room():
        garbage.forget_programs()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Tests fail that skip although what they need is there: data, or a browser."""
    report = yield
    browser = item.get_closest_marker("browser") and shutil.which("chromium")
    if report.skipped and browser:
        report.outcome = "failed"
        report.longrepr = f"skipped although {browser} is there: {report.longrepr}"
    if report.skipped and "data_dir" in item.fixturenames:
        root = os.environ.get("ROBUSTJAX_DATA")
        if root and pathlib.Path(root).is_dir():
            report.outcome = "failed"
            report.longrepr = f"skipped although ROBUSTJAX_DATA={root} is there"
    return report
