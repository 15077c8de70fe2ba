"""Losses of answers and of next tokens against one text at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax import losses
from robustjax.training import language
from tests.models.language import tiny

from . import problem


@pytest.mark.parametrize("rows", [problem.PADDED, problem.PACKED])
def test_losses_are_of_the_answers_alone(rows):
    model, texts = tiny.model(), problem.texts()
    found = language.answer_losses(model, rows, batch_size=3)
    want = problem.losses(model, texts)
    np.testing.assert_allclose(found.loss, want, rtol=1e-4, atol=1e-4)
    sizes = np.array([text.answers.sum() for text in texts])
    np.testing.assert_array_equal(found.tokens, sizes)
    assert found.per_text == pytest.approx(want.mean(), rel=1e-4)
    assert found.per_token == pytest.approx(
        (want * sizes).sum() / sizes.sum(), rel=1e-4
    )


def test_next_tokens():
    model = tiny.model()
    prompts = [text.tokens for text in problem.texts()]
    found = language.next_token_log_likelihoods(model, prompts, [3, 0, 9], batch_size=2)
    for prompt, row in zip(prompts, found):
        logs = jax.nn.log_softmax(
            tiny.logits(model.config, model.params, prompt[None])[0, -1]
        )
        np.testing.assert_allclose(row, logs[jnp.array([3, 0, 9])], rtol=1e-4)


@pytest.mark.parametrize(
    ("message", "prompts", "candidates"),
    [
        ("number of prompts: got 0", [], [1]),
        ("prompts: number 1 has 0 tokens, expected 1 … 64", [[1], []], [1]),
        ("prompts: number 0 has 65 tokens", [[1] * 65], [1]),
        ("tokens: got 32, expected 0 … 31", [[1]], [32]),
        ("tokens: got -1, expected 0 … 31", [[1, -1]], [3]),
    ],
)
def test_prompts_that_cannot_be_asked(message, prompts, candidates):
    with pytest.raises(ValueError, match=message):
        language.next_token_log_likelihoods(tiny.model(), prompts, candidates)


@pytest.mark.slow
def test_a_text_is_an_example_of_two_classes():
    given = jnp.array([1e-9, 1e-3, 0.3, 0.69, 0.71, 2.0, 30.0])
    p, zero = np.exp(-np.asarray(given, np.float64)), jnp.zeros(7, int)

    def cross_entropy(x):
        return losses.cross_entropy(language.sequence_logits(x), zero)

    np.testing.assert_allclose(cross_entropy(given), given, rtol=1e-4, atol=2e-6)
    found = jax.nn.softmax(language.sequence_logits(given))
    np.testing.assert_allclose(found[:, 1], 1 - p, rtol=1e-4, atol=2e-6)
    slope = jax.grad(lambda x: jnp.sum(cross_entropy(x)))(given)
    np.testing.assert_allclose(slope[1:], 1.0, rtol=1e-3)
    assert np.isfinite(slope).all()
    gce = losses.gce(language.sequence_logits(given), zero, q=0.7)
    np.testing.assert_allclose(gce, (1 - p**0.7) / 0.7, rtol=1e-3, atol=2e-6)
