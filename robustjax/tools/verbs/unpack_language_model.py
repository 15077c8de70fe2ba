"""Writes a language model's folder: the verb `unpack-language-model`."""

from __future__ import annotations

from robustjax.methods.instructions._model_folder import unpack_language_model
from robustjax.tools.command.output import say
from robustjax.tools.options.unpack_language_model import UnpackLanguageModelConfig
from robustjax.training import StopRequest


def main(config: UnpackLanguageModelConfig, stop: StopRequest) -> None:
    """Writes the folder."""
    del stop
    if not config.source or not config.out:
        raise ValueError("source and out: expected --source=… --out=…")
    unpack_language_model(config.source, config.out)
    say(f"{config.out} is written")
