"""Language models as Hugging Face keeps them: config.json and safetensors."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from robustjax.models.language._config import (
    LlamaConfig,
    config_from_record,
    record_from_config,
)
from robustjax.models.language._llama import (
    LAYER_NORMS,
    LanguageModel,
    matrix_sizes,
)
from robustjax.output_paths import check_output_folder

_INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
# What a tokenizer is made of; a model is of little use without.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "generation_config.json",
)


def load_language_model(
    folder: str | os.PathLike[str], *, dtype: Any = jnp.float32
) -> LanguageModel:
    """Reads a Llama model from a folder; nothing is downloaded.

    Args:
      folder: with `config.json` and either `model.safetensors` or its parts and
        `model.safetensors.index.json`.
      dtype: in which the weights are held.

    Raises:
      ValueError: a folder that is missing or holds another model, or weights that are
        missing, left over or of other shapes than the configuration says.
      ImportError: safetensors is not installed.
    """
    path = pathlib.Path(folder)
    config = config_from_record(_json(path / "config.json", folder))
    places = _places(config)
    arrays = {
        name: np.empty(shape, jnp.dtype(dtype))
        for name, shape in _shapes(config).items()
    }
    missing = set(places)
    for name, value in _tensors(path, folder):
        if name not in places:
            # Some files keep the head although it is tied, or tables of angles.
            if name.endswith("rotary_emb.inv_freq") or name == "lm_head.weight":
                continue
            raise ValueError(
                f"folder: {os.fspath(folder)!r} holds {name!r}, expected the weights "
                "of a Llama model alone"
            )
        where, layer = places[name]
        target = arrays[where] if layer is None else arrays[where][layer]
        value = value.T if _is_transposed(where) else value
        if value.shape != target.shape:
            raise ValueError(
                f"folder: {os.fspath(folder)!r} holds {name!r} of shape {value.shape}"
                f" (in, out), expected {target.shape}, by its config.json"
            )
        target[...] = value
        missing.discard(name)
    if missing:
        raise ValueError(
            f"folder: {os.fspath(folder)!r} lacks {len(missing)} weight(s) (first: "
            f"{min(missing)!r}), expected all of its config.json"
        )
    params: dict[str, Any] = {"layers": {}}
    for name in list(arrays):
        level, _, last = name.rpartition(".")
        # One by one: a large model is not twice on the host.
        (params[level] if level else params)[last] = jnp.asarray(arrays.pop(name))
    return LanguageModel(config, params)


def save_language_model(
    model: LanguageModel,
    folder: str | os.PathLike[str],
    *,
    tokenizer_from: str | os.PathLike[str] | None = None,
) -> None:
    """Writes a folder that `transformers` and `load_language_model` read.

    Args:
      model: with merged weights.
      folder: to write, which must not be there yet, or be empty.
      tokenizer_from: a folder whose tokenizer belongs to the model, to be copied.

    Raises:
      ValueError: a folder with something in it, or a tokenizer's that is none.
      ImportError: safetensors is not installed.
    """
    folder = pathlib.Path(folder)
    check_output_folder("folder", folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"folder: {str(folder)!r} is not empty, expected a new folder")
    copied: list[pathlib.Path] = []
    if tokenizer_from is not None:
        source = pathlib.Path(tokenizer_from)
        copied = [source / n for n in _TOKENIZER_FILES if (source / n).is_file()]
        if not any(file.name.startswith("tokenizer") for file in copied):
            raise ValueError(
                f"tokenizer_from: {os.fspath(tokenizer_from)!r} has no tokenizer, "
                "expected a folder with one"
            )
    save_file = _safetensors().numpy.save_file
    tensors = {}
    for name, (where, layer) in _places(model.config).items():
        level, _, last = where.rpartition(".")
        value = np.asarray((model.params[level] if level else model.params)[last])
        value = value if layer is None else value[layer]
        value = value.T if _is_transposed(where) else value
        tensors[name] = np.ascontiguousarray(value, np.float32)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, to appear under its name only when complete.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = pathlib.Path(scratch) / "model"
        made.mkdir()
        save_file(tensors, made / _WEIGHTS, metadata={"format": "pt"})
        record = record_from_config(model.config)
        (made / "config.json").write_text(json.dumps(record, indent=2) + "\n")
        for file in copied:
            shutil.copy(file, made / file.name)
        if folder.is_dir():
            folder.rmdir()
        made.rename(folder)


def _is_transposed(where: str) -> bool:
    """Whether Hugging Face keeps the matrix as (out, in)."""
    return where == "head" or where.endswith("_proj")


def _shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Place in the parameters -> shape."""
    width, layers = config.hidden_size, config.num_layers
    shapes: dict[str, tuple[int, ...]] = {
        "embed": (config.vocab_size, width),
        "norm": (width,),
        **{f"layers.{n}": (layers, *s) for n, s in matrix_sizes(config).items()},
        **{f"layers.{name}": (layers, width) for name in LAYER_NORMS},
    }
    if not config.tied_head:
        shapes["head"] = width, config.vocab_size
    return shapes


def _places(config: LlamaConfig) -> dict[str, tuple[str, int | None]]:
    """Hugging Face's name -> place in the parameters, and layer."""
    places: dict[str, tuple[str, int | None]] = {
        "model.embed_tokens.weight": ("embed", None),
        "model.norm.weight": ("norm", None),
    }
    if not config.tied_head:
        places["lm_head.weight"] = "head", None
    for layer in range(config.num_layers):
        for name in matrix_sizes(config):
            block = (
                "self_attn"
                if name in ("q_proj", "k_proj", "v_proj", "o_proj")
                else "mlp"
            )
            places[f"model.layers.{layer}.{block}.{name}.weight"] = (
                f"layers.{name}",
                layer,
            )
        for name in LAYER_NORMS:
            places[f"model.layers.{layer}.{name}.weight"] = f"layers.{name}", layer
    return places


def _json(path: pathlib.Path, folder: str | os.PathLike[str]) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(
            f"folder: {os.fspath(folder)!r} has no {path.name}, expected a folder with "
            "a language model"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"folder: cannot read {str(path)!r} ({error})") from None
    if not isinstance(record, dict):
        raise ValueError(f"folder: {str(path)!r} holds no object, expected one")
    return record


def _tensors(
    path: pathlib.Path, folder: str | os.PathLike[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Name, array of all files, one array in memory at a time."""
    names = [_WEIGHTS]
    if not (path / _WEIGHTS).is_file() and (path / _INDEX).is_file():
        index = _json(path / _INDEX, folder).get("weight_map")
        if not isinstance(index, dict) or not index:
            raise ValueError(f"folder: {str(path / _INDEX)!r} has no weight_map")
        names = sorted({str(name) for name in index.values()})
    for name in names:
        # The index is a file of others: it names files of its own folder.
        if pathlib.PurePath(name).name != name:
            raise ValueError(f"folder: {_INDEX} names {name!r}, expected a file name")
        if not (path / name).is_file():
            raise ValueError(
                f"folder: {os.fspath(folder)!r} has no {name}, expected safetensors"
            )
        yield from _of_file(path / name)


def _of_file(path: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)
    except safetensors.SafetensorError as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"folder: cannot read {str(path)!r} ({reason})") from None


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "language models need safetensors: pip install 'robustjax[instructions]'"
        ) from error
    return safetensors
