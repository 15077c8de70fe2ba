"""A fine-tuning step of SmolLM2-135M against PyTorch on the same CPU.

    python -m experiments.benchmarks.language_step

All weights are trained by AdamW on the answers' tokens: the model of `transformers` in
PyTorch, and ours, with an epoch as one program. Random weights and tokens: neither
changes the time.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import CLOCKS, OUT_DIR, interleaved, report
from robustjax.cores import usable_cores
from robustjax.models import language
from robustjax.training import language as tuning
from robustjax.training.language._fine_tune import prepare

_STEPS = flags.DEFINE_integer("steps", 2, "Steps per timed call.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Timed rounds.")
_THREADS = flags.DEFINE_integer("threads", usable_cores(), "Threads of PyTorch.")
_BATCH = flags.DEFINE_integer("batch_size", 4, "Texts per step.")
_CLOCK = flags.DEFINE_enum(
    "clock",
    "wall",
    list(CLOCKS),
    "What is measured: the clock's time, or the CPU's, for a machine with other work.",
)
_LENGTH = flags.DEFINE_integer("length", 256, "Tokens of a text.")

_RECIPE = tuning.FineTuningRecipe(epochs=1, learning_rate=1e-5)
_PEER = "PyTorch eager, transformers"


def _made_up_rows() -> tuning.TokenRows:
    """Texts of one length, the second half of which is the answer."""
    rng = np.random.default_rng(0)
    size = _LENGTH.value
    return tuning.padded_rows(
        [
            tuning.TokenText(
                rng.integers(0, language.SMOLLM2_135M.vocab_size, size),
                np.arange(size) >= size // 2,
            )
            for _ in range(_STEPS.value * _BATCH.value)
        ]
    )


def _ours(
    model: language.LanguageModel, rows: tuning.TokenRows, lora: language.Lora | None
) -> Callable[[], None]:
    program, state, data = prepare(
        model,
        rows,
        dataclasses.replace(_RECIPE, batch_size=_BATCH.value),
        key=jax.random.key(0),
        lora=lora,
        objective=tuning.Objective(),
        mesh=None,
    )
    kept = [state]

    def run() -> None:
        kept[0], metrics = program.epoch(kept[0], data)
        jax.block_until_ready((kept[0].params, metrics))

    return run


def _theirs(folder: pathlib.Path, rows: tuning.TokenRows) -> Callable[[], None]:
    import torch
    import transformers

    torch.set_num_threads(_THREADS.value)
    model: Any = transformers.LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32
    )
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=_RECIPE.learning_rate,
        betas=_RECIPE.betas,
        weight_decay=_RECIPE.weight_decay,
    )
    tokens = torch.from_numpy(rows.tokens).long()
    # What is -100 is not learned, by its convention.
    labels = torch.where(torch.from_numpy(rows.answers), tokens, -100)

    def run() -> None:
        for index in torch.randperm(len(tokens)).split(_BATCH.value):
            optimizer.zero_grad(set_to_none=True)
            model(tokens[index], labels=labels[index]).loss.backward()
            optimizer.step()

    return run


def main(argv: list[str]) -> None:
    """Times epochs of the same model."""
    del argv
    rows = _made_up_rows()
    model = language.init_language_model(language.SMOLLM2_135M, jax.random.key(0))
    cases = {
        "robustjax, all weights": _ours(model, rows, None),
        "robustjax, adapters": _ours(model, rows, language.Lora()),
    }
    baseline = None
    if jax.default_backend() != "cpu":
        print("PyTorch is compared on the CPU only", file=sys.stderr)
    else:
        try:
            with tempfile.TemporaryDirectory() as scratch:
                folder = pathlib.Path(scratch) / "model"
                language.save_language_model(model, folder)
                cases[_PEER] = _theirs(folder, rows)
            baseline = _PEER
        except ImportError:
            print(
                "PyTorch or transformers is missing (pip install "
                "'robustjax[instructions]')",
                file=sys.stderr,
            )
    clock = CLOCKS[_CLOCK.value]
    times = interleaved(cases, _ROUNDS.value, warmup=1, clock=clock)
    report("language_step", times, baseline, OUT_DIR.value, units=_STEPS.value)


if __name__ == "__main__":
    app.run(main)
