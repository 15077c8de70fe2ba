"""Selection by gradients: against NumPy, and one by one against many at a time."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from robustjax.methods import instructions
from robustjax.models import language
from robustjax.training import language as training
from tests.methods.instructions.pools import pool_of


def test_influence_is_the_highest_cosine():
    rng = np.random.default_rng(0)
    gradients, targets = rng.normal(size=(7, 5)), rng.normal(size=(3, 5))
    gradients[2], targets[1] = 0, 0
    cosine = np.array(
        [
            [g @ t / np.linalg.norm(g) / np.linalg.norm(t) for t in targets[[0, 2]]]
            for g in np.where(gradients.any(1, keepdims=True), gradients, 1)
        ]
    )
    wanted = np.where(gradients.any(1), cosine.max(1), 0)
    found = instructions.gradient_influence(gradients, targets)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    pool = pool_of(7, gradients=gradients, target_gradients=targets)
    kept = instructions.gradient_similarity(pool, 3, key=jax.random.key(0))
    best = np.argsort(-wanted)[:3]
    assert kept.selection.indices.tolist() == best.tolist()
    assert kept.reasons[best[0]] == f"similarity {wanted[best[0]]:g}"
    with pytest.raises(ValueError, match="targets: got 4 numbers in a row, expected 5"):
        instructions.gradient_influence(gradients, targets[:, :4])
    with pytest.raises(ValueError, match="targets: all of their gradients are zero"):
        instructions.gradient_influence(gradients, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="gradients: got 7 for 6 records"):
        pool_of(6, gradients=gradients)


def test_a_sketch_keeps_inner_products_in_the_mean():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2, 400)).astype(np.float32)
    found = []
    for number in range(60):
        project = instructions.gradient_sketch(64, key=jax.random.key(number))
        one, other = np.asarray(project(rows))
        np.testing.assert_allclose(one, project(rows[:1])[0], rtol=1e-5)
        found.append([one @ one, one @ other])
    exact = np.array([rows[0] @ rows[0], rows[0] @ rows[1]])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    np.testing.assert_array_less(np.abs(np.mean(found, axis=0) - exact), 3.5 * error)
    assert np.asarray(project(rows)).shape == (2, 64)
    with pytest.raises(ValueError, match="dims: got 0"):
        instructions.gradient_sketch(0, key=jax.random.key(0))


@pytest.mark.slow
def test_gradients_one_by_one_rank_alike():
    config = language.LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=24,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=8,
        tied_head=True,
    )
    model = language.init_language_model(config, jax.random.key(0), scale=0.3)
    lora = language.Lora(rank=2, alpha=4.0, targets=("q_proj",))
    # Fresh ones have no gradient by half of their entries.
    adapters = jax.tree.map(
        lambda x: x + 0.1, language.init_adapters(model.params, lora, jax.random.key(1))
    )
    rng = np.random.default_rng(0)
    answers = np.arange(8) >= 3
    texts = [training.TokenText(rng.integers(0, 32, 8), answers) for _ in range(10)]
    rows = training.padded_rows(texts, length=8)
    project = instructions.gradient_sketch(16, key=jax.random.key(2))
    many, one = (
        training.per_example_lora_gradients(
            model, rows, adapters, lora, batch_size=size, project=project
        )
        for size in (5, 1)
    )
    np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-6)
    ranked = [
        np.argsort(-instructions.gradient_influence(g[2:], g[:2].mean(0)[None]))
        for g in (many, one)
    ]
    assert ranked[0].tolist() == ranked[1].tolist()
