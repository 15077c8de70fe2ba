"""A tokenizer whose tokens are bytes, with a chat template of its own."""

from __future__ import annotations

import tokenizers
import transformers

TEMPLATE = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def byte_tokenizer(
    *, begins: bool = False, merges: tuple[tuple[str, str], ...] = (), **options
) -> transformers.PreTrainedTokenizerFast:
    """Of 256 bytes, `merges` of two signs, `<|end|>` and `<|turn|>`.

    Args:
      begins: whether every sequence begins with `<|end|>`.
      merges: of signs, in which a space is "Ġ".
      **options: of the tokenizer.
    """
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    known = [*alphabet, *("".join(pair) for pair in merges)]
    raw = tokenizers.Tokenizer(
        tokenizers.models.BPE({sign: at for at, sign in enumerate(known)}, list(merges))
    )
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    special = {
        "eos_token": "<|end|>",
        "additional_special_tokens": ["<|turn|>"],
        "chat_template": TEMPLATE,
        **options,
    }
    if begins:
        special["bos_token"] = "<|end|>"
        raw.add_special_tokens(["<|end|>"])
        raw.post_processor = tokenizers.processors.TemplateProcessing(
            single="<|end|> $A", special_tokens=[("<|end|>", len(known))]
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **special)
