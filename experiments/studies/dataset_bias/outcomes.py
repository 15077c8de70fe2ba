"""What only one method can show: swapped images, two kinds of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.studies.dataset_bias.pictures import PICTURE
from experiments.studies.dataset_bias.programs import Built
from experiments.studies.dataset_bias.reconstruction import reconstruct
from experiments.studies.dataset_bias.setup import Data
from experiments.study.journal import Cell
from robustjax.methods.bias import swap_images, swap_networks
from robustjax.training import TrainState, apply_prediction, as_float

_SHOWN = 10
_EMBEDDED = 1000
_DECODED = 10_000
# As many as networks for images take at once on a CPU.
_SWAPPED = 2000


def keep_swapped_images(
    cell: Cell, method: str, study: Data, state: TrainState
) -> None:
    """Keeps images that BiaSwap makes of what it holds to be aligned and conflicting.

    Args:
      cell: gets them.
      method: its label.
      study: of the training images.
      state: of repeats, the first of which is shown.
    """
    images = study.train.dataset.inputs
    suspected = np.asarray(state.loss_state.rows["conflicting"][0, : len(images)])
    rng = np.random.default_rng(study.config.seed)
    chosen = [
        images[rng.choice(rows, _SHOWN)]
        for rows in (np.flatnonzero(~suspected), np.flatnonzero(suspected))
        if len(rows)
    ]
    if len(chosen) < 2:
        return
    translator = jax.tree.map(lambda leaf: leaf[0], state.params["translator"])
    floats = [2 * as_float(jnp.asarray(each)) - 1 for each in chosen]
    # As wide as what was trained: the first layer says it.
    width = translator["encoder"]["down"]["from_rgb"]["kernel"].shape[-1]
    made = swap_images(swap_networks(width), translator, *floats)
    swapped = np.asarray(jnp.clip((made + 1) / 2, 0, 1))
    aligned, conflicting = ((np.asarray(each) + 1) / 2 for each in floats)
    _keep(
        *(cell, method, "swapped"),
        {"aligned": aligned, "conflicting": conflicting, "swapped": swapped},
    )


def swap_accuracies(
    built: Built, study: Data, state: TrainState
) -> dict[str, np.ndarray]:
    """Accuracies (R,) of DFA's two heads, on features and on swapped features.

    The head of the class is measured by labels and the other one by the bias, on test
    examples with both of their own features ("original"), or with what the head's
    encoder says of the example beside what the other one says of another ("swapped").
    """
    test = study.test
    rows = _rows(study, _SWAPPED)
    inputs = jnp.asarray(test.dataset.inputs[rows])
    labels, bias = test.dataset.labels[rows], test.bias[rows]
    other = np.random.default_rng(study.config.seed).permutation(len(rows))

    def guesses(params: Any, model_state: Any) -> dict[str, jax.Array]:
        z, b = _encode(built, params, model_state, inputs)

        def head(name: str, *features: jax.Array) -> jax.Array:
            logits = built.network.apply({"params": params}, *features, method=name)
            return jnp.argmax(jnp.asarray(logits), axis=-1)

        return {
            "target_original": head("intrinsic_logits", z, b),
            "target_swapped": head("intrinsic_logits", z, b[other]),
            "bias_original": head("bias_logits", z, b),
            "bias_swapped": head("bias_logits", z[other], b),
        }

    found = jax.vmap(guesses)(state.params, state.model_state)
    truth = {"target": labels, "bias": bias}
    return {
        f"{head}_{kind}": np.asarray(
            (np.asarray(found[f"{head}_{kind}"]) == truth[head][None]).mean(axis=1)
        )
        for head in truth
        for kind in ("original", "swapped")
    }


def keep_features(
    cell: Cell, method: str, built: Built, study: Data, state: TrainState
) -> None:
    """Keeps both of DFA's features of some test examples, of the first repeat."""
    rows = _rows(study, _EMBEDDED)
    params, model_state = jax.tree.map(
        lambda leaf: leaf[0], (state.params, state.model_state)
    )
    inputs = jnp.asarray(study.test.dataset.inputs[rows])
    z, b = _encode(built, params, model_state, inputs)
    _keep(
        *(cell, method, "features"),
        {
            "intrinsic": np.asarray(z),
            "bias": np.asarray(b),
            "target_of": study.test.dataset.labels[rows],
            "bias_of": study.test.bias[rows],
        },
    )


def keep_reconstructions(
    cell: Cell, method: str, built: Built, study: Data, state: TrainState
) -> None:
    """Keeps images decoded from DFA's features of two test images, of the first repeat.

    Args:
      cell: gets them, if inputs are images.
      method: its label.
      built: of the method.
      study: of the test images; most train the decoder, others are shown.
      state: of repeats.
    """
    test = study.test
    if test.dataset.inputs.ndim != 4:
        return
    rows = _rows(study, _DECODED)
    params, model_state = jax.tree.map(
        lambda leaf: leaf[0], (state.params, state.model_state)
    )
    images = [
        as_float(jnp.asarray(test.dataset.inputs[rows[start : start + _SWAPPED]]))
        for start in range(0, len(rows), _SWAPPED)
    ]
    encoded = [_encode(built, params, model_state, each) for each in images]
    found = reconstruct(
        np.concatenate(images),
        *(np.concatenate(each) for each in zip(*encoded, strict=True)),
        labels=test.dataset.labels[rows],
        biases=test.bias[rows],
        seed=study.config.seed,
    )
    arrays = {name: getattr(found, name) for name in ("rows", "columns", "made")}
    arrays |= {f"error of {name}": np.array(e) for name, e in found.errors.items()}
    _keep(cell, method, "reconstruction", arrays)


def _rows(study: Data, most: int) -> np.ndarray:
    count = len(study.test)
    rng = np.random.default_rng(study.config.seed)
    return np.sort(rng.choice(count, min(most, count), replace=False))


def _encode(built: Built, params: Any, model_state: Any, inputs: jax.Array) -> Any:
    return apply_prediction(
        built.network, params, model_state, built.preprocess(inputs), method="encode"
    )


def _keep(cell: Cell, method: str, kind: str, arrays: Mapping[str, np.ndarray]) -> None:
    cell.attach_arrays(PICTURE, f"{kind}.npz", arrays, method=method, kind=kind)
