"""Hugging Face folders: read, written, refused; held to PyTorch."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest

pytest.importorskip("safetensors", reason="needs the extra `instructions`")

from safetensors import numpy as safetensors_numpy

from robustjax.models import language

from . import tiny

C = tiny.CONFIG


def _equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_written_is_read(tmp_path, tied):
    config = dataclasses.replace(C, tied_head=tied)
    model = language.init_language_model(config, jax.random.key(3))
    language.save_language_model(model, tmp_path / "m")
    again = language.load_language_model(tmp_path / "m")
    assert again.config == config
    _equal(again.params, model.params)


@pytest.fixture
def folder(tmp_path):
    language.save_language_model(tiny.model(), tmp_path / "m")
    return tmp_path / "m"


def _in_parts(folder):
    """The same weights in two files with an index."""
    tensors = safetensors_numpy.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {}
    for part, names in enumerate((sorted(tensors)[:5], sorted(tensors)[5:])):
        file = f"model-0000{part + 1}-of-00002.safetensors"
        safetensors_numpy.save_file({n: tensors[n] for n in names}, folder / file)
        places |= dict.fromkeys(names, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_weights_in_parts(folder):
    index = _in_parts(folder)
    _equal(language.load_language_model(folder).params, tiny.model().params)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has no model-00002-of-00002\.safetensors"):
        language.load_language_model(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(
        ValueError, match="names '../elsewhere.safetensors', expected a"
    ):
        language.load_language_model(folder)


def _change_weights(folder, change):
    path = folder / "model.safetensors"
    tensors = safetensors_numpy.load_file(path)
    change(tensors)
    safetensors_numpy.save_file(tensors, path)


def test_folders_that_are_refused(folder, tmp_path):
    def refused(message):
        with pytest.raises(ValueError, match=message) as error:
            language.load_language_model(folder)
        assert "\n" not in str(error.value)

    with pytest.raises(ValueError, match="has no config.json"):
        language.load_language_model(tmp_path / "none")
    norm = np.ones(C.hidden_size, np.float32)
    _change_weights(folder, lambda t: t.update({"model.norm.weight": norm[:3]}))
    refused(r"'model.norm.weight' of shape \(3,\)")
    _change_weights(folder, lambda t: t.pop("model.norm.weight"))
    refused(r"lacks 1 weight\(s\) \(first: 'model.norm.weight'\)")
    _change_weights(folder, lambda t: t.update({"other.bias": norm}))
    refused("holds 'other.bias'")
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    refused("cannot read")
    (folder / "model.safetensors").unlink()
    refused("has no model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    for field, value, message in [
        ("model_type", "qwen3", "got model_type 'qwen3', expected 'llama'"),
        ("attention_bias", True, "got attention_bias True"),
        ("rope_scaling", {"rope_type": "llama3"}, "got rope_type 'llama3'"),
        ("hidden_size", None, "config.json: hidden_size: got None, expected an int"),
    ]:
        (folder / "config.json").write_text(json.dumps({**config, field: value}))
        refused(message)
    del config["hidden_size"]
    (folder / "config.json").write_text(json.dumps(config))
    refused("KeyError at 'hidden_size', expected the fields of a Llama model")
    (folder / "config.json").write_text("{")
    refused("cannot read")


def test_a_folder_with_something_in_it_is_not_written_to(folder):
    with pytest.raises(ValueError, match="is not empty, expected a new folder"):
        language.save_language_model(tiny.model(), folder)
    with pytest.raises(ValueError, match="tokenizer_from: .* has no tokenizer"):
        language.save_language_model(
            tiny.model(), folder.parent / "new", tokenizer_from=folder
        )


@pytest.mark.parity
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_transformers(tmp_path, rng, tied):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    settings = transformers.LlamaConfig(
        vocab_size=C.vocab_size,
        hidden_size=C.hidden_size,
        intermediate_size=C.intermediate_size,
        num_hidden_layers=C.num_layers,
        num_attention_heads=C.num_heads,
        num_key_value_heads=C.num_kv_heads,
        rms_norm_eps=1e-5,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    theirs = transformers.LlamaForCausalLM(settings).eval()
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    model = language.load_language_model(tmp_path / "theirs")
    tokens = tiny.tokens(rng, 2, 12)

    def logits_of(their_model):
        with torch.inference_mode():
            return their_model(torch.tensor(tokens, dtype=torch.long)).logits.numpy()

    ours = np.asarray(tiny.logits(model.config, model.params, tokens))
    np.testing.assert_allclose(ours, logits_of(theirs), rtol=2e-4, atol=2e-4)
    # And what we write is what they read.
    language.save_language_model(model, tmp_path / "ours")
    back = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "ours").eval()
    np.testing.assert_array_equal(logits_of(back), logits_of(theirs))
