"""Without the extra packages an error of one line says what to install."""

from __future__ import annotations

import sys

import pytest

from robustjax.methods.instructions._endpoint import Endpoint
from robustjax.methods.instructions._local_teacher import load_local_model
from robustjax.methods.instructions._model_folder import unpack_language_model
from robustjax.methods.instructions._question import Message, Question
from robustjax.methods.instructions._training_texts import load_tokenizer
from robustjax.models import language
from tests.models.language import tiny

_QUESTION = Question((Message("user", "q"),))


@pytest.mark.parametrize("package", ["httpx2", "tenacity"])
def test_an_endpoint(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    endpoint = Endpoint("http://127.0.0.1:9/v1", "m", tmp_path / "a.sqlite")
    missing = rf"^a teacher behind an endpoint needs {package}: pip install 'robustjax"
    if package == "tenacity":
        pytest.importorskip("httpx2", reason="needs the extra `instructions`")
    with pytest.raises(ModuleNotFoundError, match=missing):
        endpoint.ask([_QUESTION])
    # A dry run needs neither.
    assert endpoint.estimate([_QUESTION]).questions == 1


def test_a_local_model(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "weights.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModuleNotFoundError, match=r"^a local language model needs tr"):
        load_local_model(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"^reading GGUF weights needs tr"):
        unpack_language_model(tmp_path / "weights.gguf", tmp_path / "model")


def test_a_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModuleNotFoundError, match=r"^a tokenizer needs transformers: "):
        load_tokenizer(tmp_path)


def test_a_model_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"^language models need safetensors: pip"):
        language.save_language_model(tiny.model(), tmp_path / "m")
    assert not (tmp_path / "m").exists()
