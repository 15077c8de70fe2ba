"""Adapters: nothing at first, and the same when merged."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from robustjax.models import language
from robustjax.models.language._lora import MATRICES

from . import tiny

C = tiny.CONFIG
LORA = language.Lora(rank=2, alpha=3.0, targets=MATRICES)


def _trained(rng):
    fresh = language.init_adapters(tiny.model().params, LORA, jax.random.key(1))
    return jax.tree.map(lambda x: x + 0.2 * rng.standard_normal(x.shape), fresh)


def test_fresh_adapters_change_nothing(rng):
    params, tokens = tiny.model().params, tiny.tokens(rng, 2, 7)
    fresh = language.init_adapters(params, LORA, jax.random.key(1))
    assert all(np.any(fresh[name]["a"]) for name in MATRICES)
    plain = tiny.logits(C, params, tokens)
    np.testing.assert_array_equal(
        plain, tiny.logits(C, params, tokens, None, fresh, LORA.scale)
    )


def test_merged_weights_do_what_the_adapters_do(rng):
    params, tokens = tiny.model().params, tiny.tokens(rng, 2, 7)
    adapters = _trained(rng)
    beside = tiny.logits(C, params, tokens, None, adapters, LORA.scale)
    merged = language.merge_adapters(params, adapters, LORA)
    np.testing.assert_allclose(
        tiny.logits(C, merged, tokens), beside, rtol=2e-4, atol=2e-4
    )
    assert np.abs(beside - tiny.logits(C, params, tokens)).max() > 0.1
    by_hand = params["layers"]["k_proj"][1] + 1.5 * (
        adapters["k_proj"]["a"][1] @ adapters["k_proj"]["b"][1]
    )
    np.testing.assert_allclose(merged["layers"]["k_proj"][1], by_hand, rtol=1e-5)


@pytest.mark.parametrize(
    ("message", "settings"),
    [
        ("rank: got 0", {"rank": 0}),
        ("alpha: got 0", {"alpha": 0}),
        ("targets: got none", {"targets": ()}),
        (r"targets: unknown 'q_prj' \(did you mean 'q_proj'", {"targets": ("q_prj",)}),
    ],
)
def test_adapters_that_cannot_be(message, settings):
    with pytest.raises(ValueError, match=message):
        language.Lora(**settings)


def test_a_rank_beyond_the_matrix():
    with pytest.raises(
        ValueError, match="rank: got 9, expected at most 8, the rank of"
    ):
        language.init_adapters(
            tiny.model().params,
            language.Lora(rank=9, targets=("k_proj",)),
            jax.random.key(0),
        )
