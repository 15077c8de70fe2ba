"""Pre-activation networks in plain PyTorch, written from the papers' figures."""

import jax
import jax.numpy as jnp
import numpy as np


def build(torch, channels, blocks, *, stem, stem_norm, last_norm, classes, slope=0.0):
    """A network whose modules are named as ours are."""
    nn = torch.nn

    def relu(x):
        return nn.functional.leaky_relu(x, slope)

    class Block(nn.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.norm1 = nn.BatchNorm2d(before)
            self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            if stride != 1 or before != width:
                self.shortcut_conv = nn.Conv2d(before, width, 1, stride, bias=False)

        def forward(self, x):
            y = relu(self.norm1(x))
            short = self.shortcut_conv(y) if hasattr(self, "shortcut_conv") else x
            return self.conv2(relu(self.norm2(self.conv1(y)))) + short

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem_conv = nn.Conv2d(3, stem, 3, 1, 1, bias=False)
            self.stem_norm = nn.BatchNorm2d(stem) if stem_norm else None
            before, self.names = stem, []
            for stage, (width, count) in enumerate(zip(channels, blocks), 1):
                for number in range(1, count + 1):
                    stride = 2 if stage > 1 and number == 1 else 1
                    self.names.append(f"stage{stage}_block{number}")
                    self.add_module(self.names[-1], Block(before, width, stride))
                    before = width
            self.last_norm = nn.BatchNorm2d(before) if last_norm else None
            self.head = nn.Linear(before, classes)

        def forward(self, x):
            x = self.stem_conv(x)
            if self.stem_norm is not None:
                x = relu(self.stem_norm(x))
            for name in self.names:
                x = getattr(self, name)(x)
            if self.last_norm is not None:
                x = relu(self.last_norm(x))
            features = x.mean((2, 3))
            return features, self.head(features)

    return Net()


def copy_variables(torch, variables, module):
    """Puts our variables into a PyTorch module of the same names."""
    names = {"mean": "running_mean", "var": "running_var", "bias": "bias"}
    state = {}

    def visit(tree, path):
        for key, value in tree.items():
            if isinstance(value, dict):
                visit(value, [*path, key])
                continue
            array = np.asarray(value)
            if key == "kernel":
                array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            name = ".".join([*path, names.get(key, "weight")])
            state[name] = torch.tensor(array)

    visit(variables["params"], [])
    visit(variables["batch_stats"], [])
    wanted = {k for k in module.state_dict() if not k.endswith("num_batches_tracked")}
    assert wanted == state.keys()
    module.load_state_dict(state, strict=False)
    return module


def assert_parity(torch, model, variables, module, images, *, gradient):
    """Prediction and training (with a gradient, if asked for) are the same.

    Returns:
      Our features.
    """
    copy_variables(torch, variables, module)

    def loss(params):
        logits, _ = model.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
        )
        return jnp.sum(logits**2), logits

    @jax.jit
    def ours(params):
        features = model.apply(variables, images, method="features")
        predicted = model.apply(variables, images)
        if not gradient:
            return features, predicted, loss(params)[1]
        by_params, trained = jax.grad(loss, has_aux=True)(params)
        return features, predicted, trained, by_params["stem_conv"]["kernel"]

    got = jax.device_get(ours(variables["params"]))
    x = torch.tensor(images.transpose(0, 3, 1, 2))
    with torch.no_grad():
        want = [*module.eval()(x)]
    _, trained = module.train()(x)
    want.append(trained.detach())
    if gradient:
        (trained**2).sum().backward()
        want.append(module.stem_conv.weight.grad.permute(2, 3, 1, 0))
    for one, other in zip(got, want, strict=True):
        scale = np.abs(other.numpy()).max()
        assert scale > 1e-2
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-3 * scale)
    return got[0]
