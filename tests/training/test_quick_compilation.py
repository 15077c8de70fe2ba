"""Programs that run once: fewer optimisations, the same bits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import models
from robustjax.training import _quick_compilation, init_variables
from robustjax.training._quick_compilation import jit_run_once


def drawn(key, inputs):
    return init_variables(models.MLP(3, (8,)), key, inputs)


@pytest.fixture
def arguments():
    return jax.random.key(0), jnp.zeros((1, 8))


def test_a_network_is_the_same_to_the_last_bit(monkeypatch, arguments):
    # The tests' own level is another one, with other bits.
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    full = {
        "xla_backend_optimization_level": 3,
        "xla_cpu_parallel_codegen_split_count": 32,
    }
    # Newer ones have no other fusions.
    if jax.__version_info__[:2] == (0, 10):
        full["xla_cpu_use_fusion_emitters"] = True
    wanted = jax.jit(drawn, compiler_options=full)(*arguments)
    found = jit_run_once(drawn)(*arguments)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_somebody_chose_stands(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=2")
    assert _quick_compilation.quick_options() == {}
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=somewhere")
    assert _quick_compilation.quick_options()["xla_backend_optimization_level"] == 1


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    given = {
        "xla_no_such_option": 1,
        "xla_backend_optimization_level": 1,
        "xla_nor_this_one": True,
    }
    monkeypatch.setattr(_quick_compilation, "quick_options", lambda: given)
    asked = []
    original = jax.jit

    def recorded(function, compiler_options=None):
        asked.append(compiler_options)
        return original(function, compiler_options=compiler_options)

    monkeypatch.setattr(jax, "jit", recorded)
    double = jit_run_once(lambda x: 2 * x)
    assert double(np.float32(3)) == 6
    assert double(np.float32(4)) == 8
    plain, first, *_, last = asked
    assert plain is None
    assert first == given
    assert last == {"xla_backend_optimization_level": 1}


def test_what_fails_for_another_reason_fails(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)

    def failing(x):
        def host(x):
            raise ValueError("of the host")

        return jax.pure_callback(host, jax.ShapeDtypeStruct((), np.float32), x)

    with pytest.raises(jax.errors.JaxRuntimeError, match="of the host"):
        jax.block_until_ready(jit_run_once(failing)(np.float32(3)))


def test_within_another_program_it_is_a_part_of_it(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    double = jit_run_once(lambda x: 2 * x)
    assert jax.jit(lambda x: double(x) + 1)(np.float32(3)) == 7
