"""Published ResNet weights as Linen variables."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from robustjax.models._resnet import ARCHITECTURES, ResNet
from robustjax.models._state_dict_files import StateDict, read_state_dict

_PREFIXES = ("module.", "backbone.", "model.")
_BLOCK = re.compile(r"stage(\d+)_block(\d+)")
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def load_resnet_weights(
    path: str | os.PathLike[str], model: ResNet
) -> dict[str, dict[str, Any]]:
    """Reads published weights for `model` from a local file.

    See `read_state_dict` for the formats of the file and `convert_resnet` for the
    key layouts and the result.

    Weights do not show where the strides are. Hugging Face's `config.json`, where it
    lies beside the file, does, and is checked: with `downsample_in_bottleneck` false
    (the default, and so in `microsoft/resnet-*`) the stride of a bottleneck sits in its
    3x3 convolution as in `ResNet`, torchvision and timm (v1.5); with true it sits in
    the first 1x1, which is another network under the same keys.

    Raises:
      ValueError: whatever is wrong with the file, naming it.
      ImportError: safetensors or PyTorch is needed and not installed.
    """
    state = read_state_dict(path)
    if _is_hugging_face(_stripped(state)):
        _check_config(pathlib.Path(path).parent / "config.json", model)
    try:
        return convert_resnet(state, model)
    except ValueError as error:
        raise ValueError(f"path: {str(path)!r}: {error}") from None


def convert_resnet(
    state: Mapping[str, np.ndarray], model: ResNet
) -> dict[str, dict[str, Any]]:
    """Turns a state dict into the variables of `model`.

    Two layouts of keys are known: that of torchvision, which timm shares
    ("layer1.0.conv1.weight", "fc.weight"), and that of Hugging Face transformers
    ("resnet.encoder.stages.0.layers.0.layer.0.convolution.weight",
    "classifier.1.weight"). Prefixes "module.", "backbone." and "model." that all keys
    share are taken off. Counters ("num_batches_tracked") are ignored, and so is the
    classifier where the model has none.

    Args:
      state: name -> array, convolutions as (C_out, C_in, k_h, k_w).
      model: says which arrays are needed; its stem's input channels are the file's.

    Returns:
      {"params": …, "batch_stats": …}, nested as `model.init` gives them, of float32
      NumPy arrays.

    Raises:
      ValueError: keys that are missing or not known, or arrays of another shape than
        the model needs.
    """
    state = _stripped(state)
    hugging_face = _is_hugging_face(state)
    name_of = _hugging_face_name if hugging_face else _torchvision_name
    head = "classifier." if hugging_face else "fc."
    stem = state.get(name_of(("params", "stem_conv", "kernel")))
    channels = stem.shape[1] if stem is not None and stem.ndim == 4 else 3
    wanted = {
        name_of(path): (path, leaf.shape) for path, leaf in _shapes(model, channels)
    }
    found = {
        name: array
        for name, array in state.items()
        if not name.endswith("num_batches_tracked")
        and (model.num_classes is not None or not name.startswith(head))
    }
    _refuse("missing", wanted.keys() - found.keys(), state, model)
    _refuse("not known", found.keys() - wanted.keys(), state, model)
    misfits, others = [], []
    for name, (_, shape) in wanted.items():
        array, shape = found[name], _torch_shape(shape)
        if array.shape != shape:
            misfits.append(f"{name} {array.shape} instead of {shape}")
        if not np.issubdtype(array.dtype, np.floating):
            others.append(f"{name} {array.dtype}")
    _refuse("of another shape", misfits, state, model)
    _refuse("not of floats", others, state, model)
    flat = {
        path: np.ascontiguousarray(_from_torch(found[name]), np.float32)
        for name, (path, _) in wanted.items()
    }
    return traverse_util.unflatten_dict(flat)


def infer_depth(state: Mapping[str, np.ndarray]) -> int:
    """The depth of the ResNet that a state dict belongs to: 18, 34, 50 or 101.

    Args:
      state: name -> array, in one of the layouts of `convert_resnet`.

    Raises:
      ValueError: blocks that are those of no known depth.
    """
    state = _stripped(state)
    if _is_hugging_face(state):
        block, third = r"encoder\.stages\.(\d+)\.layers\.(\d+)\.", "layer.2."
    else:
        block, third = r"layer(\d+)\.(\d+)\.", "conv3."
    matches = [match for name in state if (match := re.match(block, name))]
    places = {(int(m[1]), int(m[2])) for m in matches}
    bottleneck = any(m.string[m.end() :].startswith(third) for m in matches)
    stages = sorted({stage for stage, _ in places})
    counts = tuple(sum(place[0] == stage for place in places) for stage in stages)
    for depth, architecture in ARCHITECTURES.items():
        if (counts, bottleneck) == (architecture.blocks, architecture.bottleneck):
            return depth
    kind = "bottleneck" if bottleneck else "basic"
    known = ", ".join(map(str, ARCHITECTURES))
    raise ValueError(
        f"state: got {kind} blocks {counts} per stage, expected those of ResNet-{known}"
    )


def _shapes(model: ResNet, channels: int) -> list[tuple[tuple[str, ...], Any]]:
    """The paths and shapes of the variables of a model."""
    image = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), image)
    return sorted(traverse_util.flatten_dict(variables).items())


def _stripped(state: Mapping[str, np.ndarray]) -> StateDict:
    """Takes off the prefixes that all keys share, in whatever order they come."""
    state = dict(state)
    while True:
        common = [p for p in _PREFIXES if state and all(k.startswith(p) for k in state)]
        if not common:
            break
        state = {key.removeprefix(common[0]): value for key, value in state.items()}
    # Hugging Face's own prefix marks the backbone only; the classifier has none.
    return {key.removeprefix("resnet."): value for key, value in state.items()}


def _is_hugging_face(state: Iterable[str]) -> bool:
    return any(
        key.startswith(("embedder.", "encoder.", "classifier.")) for key in state
    )


def _torchvision_name(path: tuple[str, ...]) -> str:
    _, *modules, leaf = path
    names = {
        "stem_conv": "conv1",
        "stem_norm": "bn1",
        "shortcut_conv": "downsample.0",
        "shortcut_norm": "downsample.1",
        "head": "fc",
    }

    def module(name: str) -> str:
        if place := _BLOCK.fullmatch(name):
            return f"layer{place[1]}.{int(place[2]) - 1}"
        return names.get(name, name.replace("norm", "bn"))

    return ".".join([*map(module, modules), _LEAVES[leaf]])


def _hugging_face_name(path: tuple[str, ...]) -> str:
    _, *modules, leaf = path
    names = {
        "stem_conv": "embedder.embedder.convolution",
        "stem_norm": "embedder.embedder.normalization",
        "shortcut_conv": "shortcut.convolution",
        "shortcut_norm": "shortcut.normalization",
        "head": "classifier.1",
    }

    def module(name: str) -> str:
        if place := _BLOCK.fullmatch(name):
            stage, block = int(place[1]) - 1, int(place[2]) - 1
            return f"encoder.stages.{stage}.layers.{block}"
        if name in names:
            return names[name]
        kind = "convolution" if name.startswith("conv") else "normalization"
        return f"layer.{int(name[-1]) - 1}.{kind}"

    return ".".join([*map(module, modules), _LEAVES[leaf]])


def _from_torch(array: np.ndarray) -> np.ndarray:
    """(C_out, C_in, k_h, k_w) to (k_h, k_w, C_in, C_out), (C_out, C_in) transposed."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _torch_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape[::-1]


def _refuse(what: str, entries: Iterable[str], state: StateDict, model: ResNet) -> None:
    """Raises `ValueError` if there are any entries, naming the first few."""
    entries = sorted(entries)
    if not entries:
        return
    shown = ", ".join(entries[:3]) + (", …" if len(entries) > 3 else "")
    head = f"{model.num_classes} classes" if model.num_classes else "no classifier"
    try:
        depth = infer_depth(state)
    except ValueError:
        depth = model.depth
    hint = f" (its blocks are those of ResNet-{depth})" if depth != model.depth else ""
    raise ValueError(
        f"state: {len(entries)} key(s) {what}: {shown}; expected a "
        f"ResNet-{model.depth} with {head} and the {model.stem!r} stem{hint}"
    )


def _check_config(path: pathlib.Path, model: ResNet) -> None:
    """Raises `ValueError` if a Hugging Face configuration is of another network."""
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    if not isinstance(config, dict) or config.get("model_type") != "resnet":
        return
    needed: dict[str, Any] = {"hidden_act": "relu", "downsample_in_first_stage": False}
    if ARCHITECTURES[model.depth].bottleneck:
        needed["downsample_in_bottleneck"] = False
    for key, value in needed.items():
        if config.get(key, value) != value:
            raise ValueError(
                f"path: {str(path)!r} has {key} {config[key]!r}, expected {value!r}"
            )
