r"""Gradients of single texts by LoRA adapters: one by one, and many under `vmap`.

    python -m experiments.benchmarks.lora_gradients
    python -m experiments.benchmarks.lora_gradients --model_folder=models/smollm2

What selection by gradients (LESS) computes of every record. Without a folder the model
is a small Llama with random weights. Both sides are compiled; the loop takes one text
at a time, as published code does.
"""

from __future__ import annotations

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax.methods import instructions
from robustjax.models import language
from robustjax.training import language as training

_FOLDER = flags.DEFINE_string("model_folder", None, "A Llama model; random without.")
_TEXTS = flags.DEFINE_integer("texts", 64, "Texts.")
_LENGTH = flags.DEFINE_integer("length", 32, "Tokens of each.")
_BATCH = flags.DEFINE_integer("batch_size", 16, "Texts at a time under vmap.")
_DIMS = flags.DEFINE_integer("dims", 1024, "Numbers of a sketched gradient.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds.")
_TARGETS = 4


def _model() -> language.LanguageModel:
    if _FOLDER.value is not None:
        return language.load_language_model(_FOLDER.value)
    config = language.LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        tied_head=True,
    )
    return language.init_language_model(config, jax.random.key(0), scale=0.2)


def main(argv: list[str]) -> None:
    """Times both, and compares their rankings."""
    del argv
    model = _model()
    lora = language.Lora(rank=8, alpha=16.0, targets=("q_proj", "v_proj"))
    adapters = language.init_adapters(model.params, lora, jax.random.key(1))
    # As after some steps: fresh adapters have no gradient by `a`.
    adapters = jax.tree.map(lambda x: x + 0.01, adapters)
    rng = np.random.default_rng(0)
    answers = np.arange(_LENGTH.value) >= _LENGTH.value // 2
    texts = [
        training.TokenText(
            rng.integers(0, model.config.vocab_size, _LENGTH.value), answers
        )
        for _ in range(_TEXTS.value)
    ]
    rows = training.padded_rows(texts, length=_LENGTH.value)
    project = instructions.gradient_sketch(_DIMS.value, key=jax.random.key(2))

    def gradients(batch_size: int) -> np.ndarray:
        return training.per_example_lora_gradients(
            model, rows, adapters, lora, batch_size=batch_size, project=project
        )

    ranked = []
    for size in (1, _BATCH.value):
        found = gradients(size)
        similar = instructions.gradient_influence(
            found[_TARGETS:], found[:_TARGETS].mean(axis=0, keepdims=True)
        )
        ranked.append(np.argsort(-similar, kind="stable"))
    same = np.array_equal(ranked[0], ranked[1])
    print(f"{len(texts)} texts of {_LENGTH.value} tokens; the same ranking: {same}")
    times = interleaved(
        {
            "one by one": lambda: (gradients(1), None)[1],
            "robustjax": lambda: (gradients(_BATCH.value), None)[1],
        },
        _ROUNDS.value,
        warmup=0,
    )
    report("lora_gradients", times, "one by one", OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
