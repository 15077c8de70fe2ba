"""Gradients of single texts: many at a time as one at a time, and as differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import language as models
from robustjax.training import language
from tests.models.language import tiny

from . import problem

LORA = models.Lora(rank=2, targets=("v_proj", "down_proj"))


@pytest.fixture(scope="module")
def adapters():
    rng = np.random.default_rng(1)
    fresh = models.init_adapters(tiny.model().params, LORA, jax.random.key(1))
    return jax.tree.map(lambda x: x + 0.1 * rng.standard_normal(x.shape), fresh)


def _gradients(adapters, **options):
    return language.per_example_lora_gradients(
        tiny.model(), problem.PADDED, adapters, LORA, **options
    )


@pytest.mark.slow
def test_they_are_those_of_a_loop(adapters):
    many = _gradients(adapters, batch_size=4)
    alone = _gradients(adapters, batch_size=1)
    assert many.shape == (7, sum(x.size for x in jax.tree.leaves(adapters)))
    # By the number of the text, also of rows in another order, as packed ones are.
    order = np.random.default_rng(2).permutation(7)
    moved = language.TokenRows(*(part[order] for part in problem.PADDED))
    got = language.per_example_lora_gradients(
        tiny.model(), moved, adapters, LORA, batch_size=4
    )
    np.testing.assert_allclose(got, many, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(many, alone, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_they_are_differences_of_losses(adapters, rng):
    found = _gradients(adapters)
    leaves, form = jax.tree.flatten(adapters)
    directions = [rng.standard_normal(leaf.shape) for leaf in leaves]
    size = np.sqrt(sum((way**2).sum() for way in directions))
    directions = [way / size for way in directions]
    moved = []
    for step in (0.01, -0.01):
        pairs = zip(leaves, directions)
        shifted = form.unflatten([leaf + step * way for leaf, way in pairs])
        merged = models.merge_adapters(tiny.model().params, shifted, LORA)
        model = models.LanguageModel(tiny.CONFIG, merged)
        moved.append(problem.losses(model, problem.texts()))
    along = found @ np.concatenate([way.ravel() for way in directions])
    np.testing.assert_allclose(
        along, (moved[0] - moved[1]) / 0.02, rtol=0.01, atol=2e-3
    )


def test_projected(adapters, rng):
    matrix = jnp.asarray(
        rng.standard_normal((_gradients(adapters).shape[1], 3)), jnp.float32
    )
    got = _gradients(adapters, project=lambda rows: rows @ matrix)
    np.testing.assert_allclose(got, _gradients(adapters) @ matrix, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_rows_with_several_texts(adapters):
    with pytest.raises(ValueError, match="expected padded rows"):
        language.per_example_lora_gradients(
            tiny.model(), problem.PACKED, adapters, LORA
        )
