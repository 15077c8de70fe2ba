"""Published weights: parity with PyTorch, both key layouts, all formats, errors."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from robustjax.models import ResNet, convert_resnet, infer_depth, load_resnet_weights
from robustjax.models._state_dict_files import read_state_dict
from tests.models import published

# PyTorch warns about itself on import and on loading.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


# Of the first stage: an eighth of the published one, so that files are small.
WIDTH = 8


def network(*arguments, **options):
    return ResNet(*arguments, **options, width=WIDTH)


@pytest.fixture(scope="module")
def state():
    return published.random_state(published.basic_keys(first=WIDTH))


def images(size=64):
    return np.random.default_rng(1).normal(size=(2, size, size, 3)).astype(np.float32)


def run(model, variables, inputs):
    @jax.jit
    def both(variables, inputs):
        return (
            model.apply(variables, inputs, method="features"),
            model.apply(variables, inputs),
        )

    return jax.device_get(both(variables, jnp.asarray(inputs)))


def assert_same(got, want):
    """Equal to 1e-4 of the largest entry."""
    assert np.abs(want).max() > 0.05
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())


def to_hugging_face(key):
    """The same key in the other layout, mapped the other way than the converter."""
    norm = {"conv": "convolution", "bn": "normalization"}
    key = re.sub(r"^(conv|bn)1", lambda m: f"embedder.embedder.{norm[m[1]]}", key)
    key = re.sub(
        r"^layer(\d)\.(\d+)",
        lambda m: f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}",
        key,
    )
    key = re.sub(
        r"\.(conv|bn)(\d)", lambda m: f".layer.{int(m[2]) - 1}.{norm[m[1]]}", key
    )
    key = key.replace("downsample.0", "shortcut.convolution")
    key = key.replace("downsample.1", "shortcut.normalization")
    return f"classifier.1.{key[3:]}" if key.startswith("fc.") else f"resnet.{key}"


def hugging_face(**config):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(num_labels=5, **config)
    model = transformers.ResNetForImageClassification(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.3, 0.9)
            module.bias.data.uniform_(-0.2, 0.2)
    return torch, model


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize(
    ("depth", "config"),
    [
        (
            18,
            {
                "hidden_sizes": [WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH],
                "depths": [2, 2, 2, 2],
                "layer_type": "basic",
            },
        ),
        (
            101,
            {
                "hidden_sizes": [4 * WIDTH, 8 * WIDTH, 16 * WIDTH, 32 * WIDTH],
                "depths": [3, 4, 23, 3],
                "layer_type": "bottleneck",
            },
        ),
    ],
)
def test_parity_with_transformers(depth, config, tmp_path):
    torch, theirs = hugging_face(embedding_size=WIDTH, **config)
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert infer_depth(state) == depth
    size = 65 if depth == 18 else 64
    with torch.no_grad():
        inputs = torch.tensor(images(size).transpose(0, 3, 1, 2))
        pooled = theirs.resnet(inputs).pooler_output.flatten(1).numpy()
        logits = theirs(inputs).logits.numpy()
    model = network(depth, 5)
    theirs.save_pretrained(tmp_path)
    variables = load_resnet_weights(tmp_path / "model.safetensors", model)
    features, got = run(model, variables, images(size))
    assert_same(features, pooled)
    assert_same(got, logits)
    if depth > 18:
        return
    # The backbone alone has no prefix, and a headless network ignores the classifier.
    backbone = theirs.resnet.state_dict()
    alone = convert_resnet({k: v.numpy() for k, v in backbone.items()}, network(depth))
    without = convert_resnet(state, network(depth))
    jax.tree.map(np.testing.assert_array_equal, alone, without)


def plain_torch_resnet(torch, stem_stride=2, pool=True):
    """A ResNet-18 under torchvision's names, written from the paper's Figure 3."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.downsample = None
            if stride != 1 or before != width:
                conv = nn.Conv2d(before, width, 1, stride, bias=False)
                self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))

        def forward(self, x):
            y = torch.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return torch.relu(
                y + (x if self.downsample is None else self.downsample(x))
            )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            kernel = 7 if pool else 3
            self.conv1 = nn.Conv2d(
                3, WIDTH, kernel, stem_stride, kernel // 2, bias=False
            )
            self.bn1 = nn.BatchNorm2d(WIDTH)
            for stage in range(4):
                width = WIDTH << stage
                first = Block(max(WIDTH, width // 2), width, 2 if stage else 1)
                blocks = nn.Sequential(first, Block(width, width, 1))
                self.add_module(f"layer{stage + 1}", blocks)
            self.fc = nn.Linear(8 * WIDTH, 5)

        def forward(self, x):
            x = torch.relu(self.bn1(self.conv1(x)))
            if pool:
                x = nn.functional.max_pool2d(x, 3, 2, 1)
            for stage in range(4):
                x = getattr(self, f"layer{stage + 1}")(x)
            features = x.mean((2, 3))
            return features, self.fc(features)

    return Net().eval()


# Sizes that stay even on the way down tell PyTorch's padding from "SAME".
@pytest.mark.parity
@pytest.mark.parametrize(("stem", "size"), [("imagenet", 64), ("small", 18)])
def test_parity_with_plain_pytorch_under_torchvision_names(state, stem, size, tmp_path):
    torch = pytest.importorskip("torch")
    theirs = plain_torch_resnet(torch, *((2, True), (1, False))[stem == "small"])
    if stem == "small":
        kernel = published.random_state({"conv1.weight": (WIDTH, 3, 3, 3)})
        state = state | kernel
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    nested = {"epoch": 3, "state_dict": {}}
    for key, value in theirs.state_dict().items():
        nested["state_dict"][f"module.{key}"] = value
    torch.save(nested, tmp_path / "weights.pth")
    model = network(18, 5, stem=stem)
    variables = load_resnet_weights(tmp_path / "weights.pth", model)
    with torch.no_grad():
        want = theirs(torch.tensor(images(size).transpose(0, 3, 1, 2)))
    for ours, reference in zip(run(model, variables, images(size)), want):
        assert_same(ours, reference.numpy())


def test_layouts_and_prefixes_give_the_same_variables(state):
    model = network(18, 5)
    want = convert_resnet(state, model)
    layouts = {
        "hugging face": {to_hugging_face(key): value for key, value in state.items()},
        "prefixed": {f"module.backbone.{key}": value for key, value in state.items()},
        "half": {key: value.astype(np.float16) for key, value in state.items()},
    }
    for name, other in layouts.items():
        got = convert_resnet(other, model)
        tolerance = 1e-3 if name == "half" else 0
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-7),
            got,
            want,
        )
        assert infer_depth(other) == 18
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert jax.tree.structure(shapes) == jax.tree.structure(want)
    assert {leaf.dtype for leaf in jax.tree.leaves(want)} == {np.dtype(np.float32)}
    kernel = want["params"]["stage2_block1"]["shortcut_conv"]["kernel"]
    np.testing.assert_array_equal(
        kernel[0, 0].T, state["layer2.0.downsample.0.weight"][:, :, 0, 0]
    )


def save(path, state):
    if path.suffix == ".npz":
        np.savez(path, **state)
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy").save_file(state, path)
    else:
        torch = pytest.importorskip("torch")
        torch.save({key: torch.tensor(value) for key, value in state.items()}, path)


@pytest.mark.parametrize(
    "suffix",
    [
        ".npz",
        pytest.param(".safetensors", marks=pytest.mark.parity),
        pytest.param(".pt", marks=pytest.mark.parity),
        pytest.param(".bin", marks=pytest.mark.parity),
    ],
)
def test_formats_round_trip(state, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save(path, state)
    got = read_state_dict(path)
    assert got.keys() == state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(got[key], value)
    model = network(18, 5)
    jax.tree.map(
        np.testing.assert_array_equal,
        load_resnet_weights(path, model),
        convert_resnet(state, model),
    )
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"path: cannot read .*weights{suffix}' as"):
        read_state_dict(path)
    with pytest.raises(ValueError, match=r"path: cannot read .*: No such file"):
        read_state_dict(tmp_path / f"absent{suffix}")


@pytest.mark.parity
def test_bfloat16_and_code_in_a_file(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch.tensor([1.5, -0.25])
    torch.save({"model": {"w": values.bfloat16()}}, tmp_path / "w.pt")
    (got,) = read_state_dict(tmp_path / "w.pt").values()
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, values.numpy())
    torch.save({"w": re.compile("a")}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="it is damaged or holds more than arrays$"):
        read_state_dict(tmp_path / "w.pt")
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="holds int under 'epoch', expected an array"):
        read_state_dict(tmp_path / "w.pt")
    torch.save([values], tmp_path / "w.pt")
    with pytest.raises(ValueError, match="holds list, expected named arrays"):
        read_state_dict(tmp_path / "w.pt")


def test_missing_packages_and_suffixes(tmp_path, monkeypatch):
    for module, suffix in (("torch", ".pth"), ("safetensors.numpy", ".safetensors")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        path = tmp_path / f"weights{suffix}"
        with pytest.raises(ValueError, match="path: cannot read .*No such file"):
            read_state_dict(path)
        path.touch()
        with pytest.raises(ImportError, match=r"pip install 'robustjax\[parity\]'"):
            read_state_dict(path)
    with pytest.raises(ValueError, match="path: unknown '.h5'; known: .safetensors"):
        read_state_dict(tmp_path / "weights.h5")


@pytest.mark.slow
def test_errors_name_the_keys(state, tmp_path):
    def without(*keys):
        return {key: value for key, value in state.items() if key not in keys}

    model = network(18, 5)
    with pytest.raises(ValueError, match=r"2 key\(s\) missing: fc.bias, fc.weight; ex"):
        convert_resnet(without("fc.weight", "fc.bias"), model)
    convert_resnet(without("fc.weight", "fc.bias"), network(18))
    with pytest.raises(ValueError, match=r"1 key\(s\) not known: layer1.0.se.weight;"):
        convert_resnet(state | {"layer1.0.se.weight": np.zeros(3)}, model)
    with pytest.raises(
        ValueError, match=r"fc.bias \(5,\) instead of \(10,\), fc.weight \(5, 64\)"
    ):
        convert_resnet(state, network(18, 10))
    with pytest.raises(ValueError, match=r"conv1.weight \(8, 3, 7, 7\) instead of .*3"):
        convert_resnet(state, network(18, 5, stem="small"))
    with pytest.raises(ValueError, match=r"key\(s\) not of floats: fc.bias int64"):
        convert_resnet(state | {"fc.bias": np.arange(5)}, model)
    with pytest.raises(
        ValueError, match=r"missing: .*\(its blocks are those of Res.*18"
    ):
        convert_resnet(state, network(50, 5))
    theirs = {to_hugging_face(key): value for key, value in state.items()}
    del theirs["resnet.encoder.stages.1.layers.0.shortcut.convolution.weight"]
    with pytest.raises(
        ValueError, match="1 .* missing: encoder.stages.1.layers.0.shortcut.convolution"
    ):
        convert_resnet(theirs, model)
    with pytest.raises(ValueError, match=r"state: got basic blocks \(\) per stage"):
        infer_depth({"weight": np.zeros(3)})
    np.savez(tmp_path / "weights.npz", weight=np.zeros(3))
    with pytest.raises(ValueError, match=r"path: .*weights.npz': state: \d+ key\(s\)"):
        load_resnet_weights(tmp_path / "weights.npz", model)


@pytest.mark.slow
def test_hugging_face_configuration_tells_where_the_stride_is(state, tmp_path):
    shapes = {key: np.zeros(value.shape, np.float32) for key, value in state.items()}
    theirs = {to_hugging_face(key): value for key, value in shapes.items()}
    np.savez(tmp_path / "weights.npz", **theirs)
    config = {"model_type": "resnet", "downsample_in_bottleneck": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    load_resnet_weights(tmp_path / "weights.npz", network(18, 5))
    with pytest.raises(ValueError, match="has downsample_in_bottleneck True, expected"):
        load_resnet_weights(tmp_path / "weights.npz", network(50, 5))
    config = {"model_type": "resnet", "hidden_act": "gelu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="has hidden_act 'gelu', expected 'relu'"):
        load_resnet_weights(tmp_path / "weights.npz", network(18, 5))
    (tmp_path / "config.json").write_text("not JSON")
    load_resnet_weights(tmp_path / "weights.npz", network(18, 5))
