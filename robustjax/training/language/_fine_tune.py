"""Fine-tuning from a model and rows to a model, in one call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from robustjax import checks
from robustjax.models import language
from robustjax.training._execution import choose_execution
from robustjax.training._fit import fit
from robustjax.training._interruption import StopRequest
from robustjax.training._mesh import place as placed
from robustjax.training._mesh import state_sharding
from robustjax.training._program import Program, check_batch_size
from robustjax.training._state import TrainData, TrainState
from robustjax.training.language._algorithm import FROZEN, fine_tuning
from robustjax.training.language._answers import check_tokens
from robustjax.training.language._checkpoints import (
    FineTuningCheckpoints,
    fingerprint,
    transform_probe,
)
from robustjax.training.language._objective import Objective
from robustjax.training.language._recipes import FineTuningRecipe
from robustjax.training.language._rows import TokenRows
from robustjax.transforms import ExampleSpec, LossState

Report = Callable[[int, dict[str, np.ndarray]], None]


class FineTuned(NamedTuple):
    """What came of fine-tuning.

    Attributes:
      model: with its new weights, adapters merged.
      adapters: by themselves; None where all weights were trained.
      loss_state: the memory of the loss transform, by the number of a text.
      history: metric -> (epochs,) means over steps, of the epochs that were run by
        this call and not before a resume.
    """

    model: language.LanguageModel
    adapters: Any
    loss_state: LossState
    history: dict[str, np.ndarray]


def fine_tune(
    model: language.LanguageModel,
    rows: TokenRows,
    recipe: FineTuningRecipe,
    *,
    key: jax.Array,
    lora: language.Lora | None = None,
    objective: Objective | None = None,
    mesh: Mesh | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    report: Report | None = None,
    stop: StopRequest | None = None,
) -> FineTuned:
    """Trains a language model on the answers of texts.

    An epoch is one compiled program. The same arguments give the same weights, whether
    the training was interrupted or not.

    Args:
      model: where to begin; stays as it is.
      rows: of `padded_rows` or `packed_rows`.
      recipe: how; `RECIPES` has published ones. Its batch size counts rows; a batch
        cannot be larger than the data.
      key: PRNG key: of the order, adapters and dropout.
      lora: adapters to train alone; by default all weights are trained.
      objective: the loss, and how it is computed; by default cross-entropy of the
        answer tokens.
      mesh: of `training.data_mesh`, for batches divided among devices.
      checkpoints: a folder from which the same training is continued, and in which
        its state is kept after every epoch; by default nowhere.
      report: called after every epoch with its number (from 0) and metrics, (1,) each.
      stop: checked after every epoch.

    Raises:
      ValueError: rows, recipe and model that do not fit each other, or checkpoints of
        another training.
      NonFiniteLossError: as soon as an epoch with a non-finite loss ends.
      InterruptedRunError: if `stop` was requested; the state is saved first.
    """
    objective = objective or Objective()
    program, state, data = prepare(
        model, rows, recipe, key=key, lora=lora, objective=objective, mesh=mesh
    )
    folder = None
    if checkpoints is not None:
        run = fingerprint(
            jax.random.key_data(key),
            *map(repr, (model.config, recipe, lora)),
            *(objective.form, objective.average, str(objective.dtype)),
            rows._asdict(),
            model.params,
        )
        steps = -(-len(rows.tokens) // recipe.batch_size)
        probe = transform_probe(objective.transform, recipe.epochs, steps)
        folder = FineTuningCheckpoints(checkpoints, run, probe)
    history: list[dict[str, np.ndarray]] = []

    def keep(epoch: int, metrics: dict[str, np.ndarray]) -> None:
        history.append(metrics)
        if report is not None:
            report(epoch, metrics)

    state = fit(
        program,
        state,
        data,
        epochs=recipe.epochs,
        report=keep,
        stop=stop,
        checkpoints=folder,
    )
    trained = _first(state.params)
    params, adapters = trained, None
    if lora is not None:
        # Where the adapters are: the caller's weights may lie on one device.
        base = model.params if mesh is None else _first(state.model_state[FROZEN])
        params, adapters = language.merge_adapters(base, trained, lora), trained
    return FineTuned(
        language.LanguageModel(model.config, params),
        adapters,
        _first(state.loss_state),
        {
            name: np.concatenate([each[name] for each in history])
            for name in (history[0] if history else ())
        },
    )


def _first(tree: Any) -> Any:
    """The only repeat of a state."""
    return jax.tree.map(lambda x: x[0], tree)


def prepare(
    model: language.LanguageModel,
    rows: TokenRows,
    recipe: FineTuningRecipe,
    *,
    key: jax.Array,
    lora: language.Lora | None,
    objective: Objective,
    mesh: Mesh | None,
) -> tuple[Program, TrainState, TrainData]:
    """What `fine_tune` runs, epoch by epoch; see there."""
    shards = 1 if mesh is None else mesh.size
    _check(model, rows, recipe, objective, shards)
    count, length = rows.tokens.shape
    by_token = objective.form == "tokens"
    text_spec = ExampleSpec(
        rows.num_texts,
        model.config.vocab_size if by_token else 2,
        pad_to=shards,
        positions=(length,) if by_token else (),
    )
    steps = recipe.epochs * -(-count // recipe.batch_size)
    algorithm = fine_tuning(
        model,
        objective,
        recipe.optimizer(steps),
        text_spec=text_spec,
        rows=count,
        segments=rows.texts.shape[1],
        lora=lora,
        residual_dropout=recipe.residual_dropout,
        shards=shards,
    )
    program = Program(
        algorithm,
        ExampleSpec(count, 2, pad_to=shards),
        batch_size=recipe.batch_size,
        execution=choose_execution(convolutional=False),
        mesh=mesh,
        block_size=objective.rows_at_once or recipe.batch_size,
    )
    data = program.make_data(
        rows.stacked, np.zeros((1, count), np.int32), {"texts": rows.texts[None]}
    )
    leaves, form = jax.tree.flatten(algorithm.init(key, data.inputs, program.spec))
    # Copies, by the way: what the program consumes is not the caller's model. One by
    # one, so that a large model's moments are not there twice.
    for place, leaf in enumerate(leaves):
        leaves[place] = leaf[None]
    state = jax.tree.unflatten(form, leaves)
    if mesh is not None:
        state = placed(state, state_sharding(state, mesh, repeats=True))
    return program, state, data


def _check(
    model: language.LanguageModel,
    rows: TokenRows,
    recipe: FineTuningRecipe,
    objective: Objective,
    shards: int,
) -> None:
    count, length = rows.tokens.shape
    check_tokens(model.config, rows.tokens)
    checks.in_range("length of rows", length, 2, model.config.context)
    check_batch_size(recipe.batch_size, count, shards)
    if objective.form == "tokens" and rows.texts.shape[1] > 1:
        raise ValueError(
            f"rows: got up to {rows.texts.shape[1]} texts in a row, expected padded "
            "rows for form 'tokens'"
        )
    if objective.rows_at_once is not None and objective.rows_at_once % shards:
        raise ValueError(
            f"rows_at_once: got {objective.rows_at_once}, expected a multiple of the "
            f"{shards} devices"
        )
