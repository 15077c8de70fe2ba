"""Training a classifier from a pre-trained network: its last layer, or all of it.

So are features learned without labels judged, and used where labels are few: Chen,
Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020, sections 2.3 and 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from robustjax import transforms
from robustjax.training import (
    Recipe,
    TrainState,
    as_float,
    single_phase,
    supervised,
)
from robustjax.training._supervised import Augment, Preprocess
from robustjax.transforms import ExampleSpec, LossTransform

HEAD = "head"
"""What the last linear layer is called in the parameters of every model."""


class FrozenFeatures(nn.Module):
    """A classifier whose features are given, with the same variables.

    Attributes:
      model: a Linen module whose outputs are `head(features(inputs))`.
    """

    model: nn.Module

    def setup(self) -> None:
        """Shares the classifier's variables, under their own names."""
        nn.share_scope(self, self.model)

    def __call__(
        self, inputs: jax.Array, *, train: bool = False, mask: jax.Array | None = None
    ) -> jax.Array:
        """Logits (B, C) of inputs (B, ...); the features in prediction mode, always."""
        del train, mask
        features = self.model.features(inputs, train=False)
        return self.model.head(jax.lax.stop_gradient(features))


def with_pretrained(
    state: TrainState, params: Any, model_state: Mapping[str, Any]
) -> TrainState:
    """The state with other pre-trained variables, so that repeats start from theirs.

    Args:
      state: of `linear_probe`, before the first step; one repeat, or leaves (R, ...).
      params: parameters, leaves of one network, or (R, ...), or (1, ...) for all
        repeats. The head may be missing, and then stays what it is.
      model_state: further variable collections, alike.

    Returns:
      The state; its arrays are copies, for training consumes them.

    Raises:
      ValueError: other variables than the state's.
    """

    def put(new: Any, old: Any) -> Any:
        return jax.tree.map(
            lambda a, b: jnp.array(jnp.broadcast_to(a, b.shape), b.dtype), new, old
        )

    given = {**state.params, **params} if HEAD not in params else params
    repeats = jnp.ndim(state.epoch) > 0
    _check_same("params", given, state.params, repeats)
    _check_same("model_state", dict(model_state), state.model_state, repeats)
    return state._replace(
        params=put(dict(given), dict(state.params)),
        model_state=put(dict(model_state), state.model_state),
    )


def linear_probe(
    model: nn.Module,
    params: Any,
    model_state: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    train_all: bool = False,
    transform: LossTransform | None = None,
    augment: Augment | None = None,
    preprocess: Preprocess = as_float,
) -> Recipe:
    """Trains the last linear layer on the features of a pre-trained network.

    The features are those of prediction mode: BatchNorm keeps its running statistics,
    nothing is dropped. Neither momentum nor weight decay reaches the other parameters,
    and no gradient of them is computed. If the inputs are not augmented, it is cheaper
    to compute the features once and to train an `MLP` without hidden layers on them.

    Published settings (SimCLR on CIFAR-10): SGD with momentum 0.9 (Nesterov), learning
    rate 0.1 for batches of 512 with cosine decay, no weight decay, 100 epochs, random
    crops and mirror images. Park et al. (NeurIPS 2021) say that they train the last
    layer, but their result on all of CIFAR-10 is above what that gives; `train_all`
    is the other reading.

    Args:
      model: a Linen module whose outputs are `head(features(inputs))`.
      params: of the pre-trained network, such as the first of
        `simclr.encoder_variables`. If it has no head, a fresh one is made.
      model_state: its further variable collections. These are of one network; see
        `with_pretrained` for repeats that each have their own.
      optimizer: any optax transformation.
      epochs: of training.
      train_all: whether to train the whole network, in training mode.
      transform: a chain with a head of logits; by default cross-entropy.
      augment: `(key, inputs) -> inputs`, random changes in training; by default none.
      preprocess: applied after it, and in prediction; by default `as_float`.

    Returns:
      A recipe of one phase; see `training.supervised`.

    Raises:
      ValueError: a model without `features`; when the state is made, other variables
        than the model's.
    """
    if not callable(getattr(type(model), "features", None)):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with methods 'features' "
            f"and {HEAD!r}"
        )

    def trained(tree: Any) -> dict[str, str]:
        return {name: "head" if name == HEAD else "frozen" for name in tree}

    chosen = optimizer
    if not train_all:
        parts = {"head": optimizer, "frozen": optax.set_to_zero()}
        chosen = optax.multi_transform(parts, trained)
    algorithm = supervised(
        model if train_all else FrozenFeatures(model),
        transforms.ce() if transform is None else transform,
        chosen,
        augment=augment,
        preprocess=preprocess,
    )

    def init(key: jax.Array, sample_inputs: jax.Array, spec: ExampleSpec) -> TrainState:
        fresh = algorithm.init(key, sample_inputs, spec)
        return with_pretrained(fresh, params, model_state)

    return single_phase(algorithm._replace(init=init), epochs)


def _check_same(
    name: str, new: Mapping[str, Any], old: Mapping[str, Any], repeats: bool
) -> None:
    """Raises `ValueError` unless two trees have the same leaves.

    Args:
      name: of what is checked.
      new: what was given.
      old: what is to be replaced.
      repeats: whether it has a leading axis of them, which the new one may lack.
    """

    def listed(tree: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
        return {jax.tree_util.keystr(path): jnp.shape(leaf) for path, leaf in leaves}

    got, expected = listed(new), listed(old)
    for path in sorted(set(got) ^ set(expected)):
        what = "no such variable" if path in got else "it"
        raise ValueError(
            f"{name}: {'got' if path in got else 'misses'} {path}, expected {what}"
        )
    for path, shape in expected.items():
        alike = (shape[1:], (1, *shape[1:])) if repeats else ()
        if got[path] not in (shape, *alike):
            raise ValueError(
                f"{name}: got {path} of shape {got[path]}, expected {shape}"
            )
