"""The forward pass against NumPy, and what must not change it."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import language

from . import tiny

C = tiny.CONFIG


def _norm(x, scale):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + C.norm_epsilon) * scale


def _turned(x):
    """(T, heads, d): each pair (i, i + d/2) as a complex number, times exp(i t w)."""
    half = C.head_dim // 2
    pairs = x[..., :half] + 1j * x[..., half:]
    rates = C.rope_theta ** (-np.arange(half) / half)
    pairs = pairs * np.exp(1j * np.arange(len(x))[:, None, None] * rates)
    return np.concatenate([pairs.real, pairs.imag], -1)


def _reference(params, tokens):
    """Logits of one text in float64, head by head and token by token."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    x = p["embed"][tokens]
    for at in range(C.num_layers):
        w = {name: value[at] for name, value in p["layers"].items()}
        y = _norm(x, w["input_layernorm"])
        q, k, v = (
            (y @ w[f"{name}_proj"]).reshape(len(tokens), -1, C.head_dim)
            for name in "qkv"
        )
        q, k = _turned(q), _turned(k)
        out = np.zeros_like(q)
        for t in range(len(tokens)):
            for head in range(C.num_heads):
                group = head * C.num_kv_heads // C.num_heads
                scores = k[: t + 1, group] @ q[t, head] / np.sqrt(C.head_dim)
                share = np.exp(scores - scores.max())
                out[t, head] = share / share.sum() @ v[: t + 1, group]
        x = x + out.reshape(len(tokens), -1) @ w["o_proj"]
        y = _norm(x, w["post_attention_layernorm"])
        gate = y @ w["gate_proj"]
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w["up_proj"])) @ w["down_proj"]
    return _norm(x, p["norm"]) @ p["embed"].T


def test_logits_are_those_of_the_formulas(rng):
    tokens = tiny.tokens(rng, 2, 9)
    params = tiny.model().params
    layers = params["layers"]
    gains = {
        n: layers[n] + 0.1 * rng.random(layers[n].shape) for n in layers if "norm" in n
    }
    params = {**params, "layers": {**layers, **gains}}
    got = tiny.logits(C, params, tokens)
    for row, want in zip(got, (_reference(params, t) for t in tokens)):
        np.testing.assert_allclose(row, want, rtol=2e-4, atol=2e-4)


def test_nothing_is_seen_of_what_comes_later(rng):
    tokens = tiny.tokens(rng, 1, 9)
    changed = tokens.copy()
    changed[0, 5:] = (tokens[0, 5:] + 1) % C.vocab_size
    before, after = (
        np.asarray(tiny.logits(C, tiny.model().params, t)) for t in (tokens, changed)
    )
    np.testing.assert_array_equal(before[0, :5], after[0, :5])
    assert (np.abs(before[0, 5:] - after[0, 5:]).max(1) > 1e-3).all()


def test_texts_of_a_row_do_not_see_each_other(rng):
    texts = [tiny.tokens(rng, n) for n in (4, 5, 3)]
    row = np.concatenate([*texts, [0, 0]])[None]
    segments = np.repeat([1, 2, 3, 0], [4, 5, 3, 2])[None]
    params = tiny.model().params
    packed = np.asarray(tiny.logits(C, params, row, segments))[0]
    assert np.isfinite(packed).all()
    begin = 0
    for text in texts:
        alone = tiny.logits(C, params, text[None])[0]
        part = packed[begin : begin + len(text)]
        np.testing.assert_allclose(part, alone, rtol=1e-4, atol=1e-4)
        begin += len(text)


@pytest.mark.slow
def test_log_likelihoods_are_those_of_the_logits(rng, monkeypatch):
    from robustjax.models.language import _head

    monkeypatch.setattr(_head, "_TOKENS_AT_ONCE", 8)
    tokens, targets = tiny.tokens(rng, 3, 7), tiny.tokens(rng, 3, 7)
    params = tiny.model().params
    hidden = language.hidden_states(C, params, tokens)
    got = language.log_likelihoods(C, params, hidden, targets)
    logs = jax.nn.log_softmax(language.logits(C, params, hidden))
    want = np.take_along_axis(np.asarray(logs), targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    # A mark of what is not to be counted is the likelihood of no token.
    outside = targets.copy()
    outside[0, :2] = -1, C.vocab_size
    marked = language.log_likelihoods(C, params, hidden, outside)
    assert np.isnan(marked[0, :2]).all()
    np.testing.assert_array_equal(marked[0, 2:], got[0, 2:])


@pytest.mark.slow
def test_recomputed_activations_and_half_precision(rng):
    tokens = tiny.tokens(rng, 2, 6)
    params = tiny.model().params

    def total(params, **options):
        return jnp.sum(language.hidden_states(C, params, tokens, **options) ** 2)

    plain, again = (
        jax.grad(total)(params, remat=remat)["layers"]["q_proj"]
        for remat in (False, True)
    )
    np.testing.assert_allclose(plain, again, rtol=1e-4, atol=1e-4)
    half = language.hidden_states(C, params, tokens, dtype=jnp.bfloat16)
    whole = language.hidden_states(C, params, tokens)
    assert half.dtype == jnp.bfloat16
    assert 0 < np.abs(np.asarray(half, np.float32) - whole).max() < 0.3


@pytest.mark.slow
def test_residual_dropout_rises_from_nothing_and_keeps_the_mean(rng):
    one = dataclasses.replace(C, num_layers=1)
    params = language.init_language_model(one, jax.random.key(1)).params
    tokens = tiny.tokens(rng, 1, 4)
    options = {"residual_dropout": 0.5, "key": jax.random.key(2)}
    # The only layer is the first, of rate 0.
    np.testing.assert_array_equal(
        language.hidden_states(one, params, tokens, **options),
        language.hidden_states(one, params, tokens),
    )
    params = tiny.model().params
    dropped = language.hidden_states(C, params, tokens, **options)
    assert np.abs(dropped - language.hidden_states(C, params, tokens)).max() > 0.1


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("num_kv_heads: got 3, expected a divisor of the 4 heads", {"num_kv_heads": 3}),
        ("head_dim: got 5, expected an even number", {"head_dim": 5}),
        ("num_layers: got 0, expected an integer >= 1", {"num_layers": 0}),
    ],
)
def test_sizes_that_do_not_fit(message, changes):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(C, **changes)


@pytest.mark.slow
def test_arguments_that_do_not_fit(rng):
    tokens = tiny.tokens(rng, 2, 6)
    params = tiny.model().params
    with pytest.raises(ValueError, match=r"tokens: got shape \(6,\)"):
        language.hidden_states(C, params, tokens[0])
    with pytest.raises(ValueError, match=r"segments: got shape \(2, 5\)"):
        language.hidden_states(C, params, tokens, segments=jnp.ones((2, 5), int))
    with pytest.raises(ValueError, match="key: got None"):
        language.hidden_states(C, params, tokens, residual_dropout=0.1)
    for bad in (1.0, -0.1):
        with pytest.raises(ValueError, match=f"residual_dropout: got {bad}"):
            language.hidden_states(
                C, params, tokens, residual_dropout=bad, key=jax.random.key(0)
            )
