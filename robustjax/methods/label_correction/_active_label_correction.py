"""Active label correction with robust updates and entropy propagation, "ALC".

Kim, "Active Label Correction Using Robust Parameter Update and Entropy Propagation",
ECCV 2022. The classifier is trained with contribution weights that fade consistently
hard examples (`transforms.alpha_weights`); the candidates for a query are the
examples of smallest weight; among them the most uncertain are asked, one after the
other, while the news of each spreads over the neighbourhood graph
(`selection.propagate_entropy`). Either half can be switched off.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks, graph, scores, selection, transforms
from robustjax.methods.label_correction._correction_loop import (
    CorrectionState,
    RoundModel,
)
from robustjax.methods.label_correction._round_training import (
    Fitted,
    RoundTrainer,
    Variables,
    phase_keys,
    with_given_weights,
)
from robustjax.selection._within_budget import Paid, typical_count, walk, worth
from robustjax.training import apply_prediction, as_float
from robustjax.transforms import LossTransform

GRAPH_SPACES = ("input", "hidden")
"""Values of `Propagation.space`."""


@dataclasses.dataclass(frozen=True)
class Propagation:
    """How entropies spread during the selection of a batch.

    Attributes:
      mode: "literal" or "delta", see `selection.propagate_entropy`.
      neighbors: k of the graph.
      step_size: delta_L of an Euler step.
      steps: Euler steps per pick.
      space: where the graph lives: "input" is the classifier's input, one graph for
        good; "hidden" is its last hidden layer, a graph per round and repeat.
    """

    mode: str = "literal"
    neighbors: int = 10
    step_size: float = 0.1
    steps: int = 10
    space: str = "input"

    def __post_init__(self) -> None:
        checks.one_of("mode", self.mode, selection.MODES)
        checks.one_of("space", self.space, GRAPH_SPACES)
        checks.at_least("neighbors", self.neighbors, 1)
        checks.in_range("step_size", self.step_size, 0, 1)
        checks.at_least("steps", self.steps, 0)


@functools.partial(jax.jit, static_argnames=("count", "num_candidates", "mode"))
def _pick(
    logits: jax.Array,
    weights: jax.Array,
    queried: jax.Array,
    diffusion: graph.ClampedDiffusion | None,
    spending: selection.Spending | None,
    *,
    count: int,
    num_candidates: int,
    mode: str,
) -> jax.Array:
    """Picks one repeat's batch; see `ActiveLabelCorrection`."""
    entropies = scores.entropy(logits)
    # Ranking p^S, which falls with alpha, is ranking by smallest alpha.
    available = ~queried
    if spending is not None:
        # What no round can pay for would only take the places of others.
        available &= Paid.nothing().plus(spending.prices).within(spending.limit)
    candidates, usable = selection.top_available(-weights, available, num_candidates)
    if diffusion is None and spending is not None:
        prices, divisors = spending.prices[candidates], spending.divisors[candidates]
        ranked = worth(entropies[candidates], divisors)
        place = walk(ranked, usable, prices, spending.limit, count=count)
        return jnp.where(place >= 0, candidates[place], -1)
    if diffusion is None:
        place, _ = selection.top_available(entropies[candidates], usable, count)
        return candidates[place]
    picks, _ = selection.propagate_entropy(
        entropies,
        candidates,
        usable,
        diffusion,
        num_queries=count,
        mode=mode,
        spending=spending,
    )
    return picks


@dataclasses.dataclass(frozen=True)
class ActiveLabelCorrection:
    """ALC, and its ablations.

    Attributes:
      name: for reports.
      robust: train with contribution weights; without, all weights are equal and
        every example is a candidate.
      propagation: how entropies spread; None picks the candidates of largest
        entropy.
      candidates_per_query: |C| / Q; None makes every example a candidate. The paper
        gives no number: |C| = Q would make the entropies irrelevant, and |C| at the
        noisy share of the pool would switch the filter off.
      weight_step: delta_alpha.
      weight_scale: sigma_alpha, see `transforms.alpha_weights`.
      freeze_scale: see `transforms.alpha_weights`.
      loss_pass: see `transforms.alpha_weights`.
      weighting: see `transforms.alpha_weights`.
      warm_start: continue from the last round's parameters instead of from scratch.
      extra_epochs: of training with the final weights held fixed (Alg. 1, line 11),
        with a schedule that starts anew.
    """

    name: str = "alc"
    robust: bool = True
    propagation: Propagation | None = Propagation()
    candidates_per_query: float | None = 5.0
    weight_step: float = 0.1
    weight_scale: str | float = "mean_loss"
    freeze_scale: bool = False
    loss_pass: str = "evaluation"
    weighting: str = "unit_mean"
    warm_start: bool = False
    extra_epochs: int = 0

    def __post_init__(self) -> None:
        if self.candidates_per_query is not None:
            checks.in_range("candidates_per_query", self.candidates_per_query, 1)
        checks.at_least("extra_epochs", self.extra_epochs, 0)
        with checks.errors_name(step_size="weight_step", scale="weight_scale"):
            self._transform()  # Checks the rest.

    def _transform(self, head: LossTransform | None = None) -> LossTransform:
        """The chain that trains; its head is cross-entropy unless it is given."""
        head = head or transforms.ce()
        if not self.robust:
            return transforms.chain(head)
        return transforms.chain(
            transforms.alpha_weights(
                self.weight_step,
                scale=self.weight_scale,
                freeze_scale=self.freeze_scale,
                loss_pass=self.loss_pass,
                weighting=self.weighting,
            ),
            head,
        )

    @property
    def _kind(self) -> str:
        if not self.robust:
            return "uniform"
        flags = (self.weight_step, self.weight_scale, self.freeze_scale)
        return f"alpha{(*flags, self.loss_pass, self.weighting)}"

    def init_memory(
        self, trainer: RoundTrainer, labels: jax.Array, keys: jax.Array
    ) -> Any:
        """The network of the last round, where the next one starts from them.

        Raises:
          ValueError: as many neighbours as examples.
        """
        if self.propagation is not None:
            size, neighbors = labels.shape[1], self.propagation.neighbors
            checks.in_range("neighbors", neighbors, 1, size - 1)
        return trainer.untrained(keys) if self.warm_start else ()

    def train(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> tuple[RoundModel, Any]:
        """Trains with weights that start uniform in every round."""
        fitted = self._fit(trainer, state, keys)
        weights = None
        if self.robust:
            rows = fitted.state.loss_state.rows[0]
            weights = rows["weight"][:, : trainer.spec.num_examples]
            if self.extra_epochs:
                final, reduction = rows["weight"], transforms.Reduction.MEAN
                if self.weighting == "literal":
                    # alpha itself, summed over the batch, as in the epochs before.
                    final = final / trainer.spec.num_examples
                    reduction = transforms.Reduction.SUM
                variables = fitted.variables
                fitted = trainer.fit(
                    f"fixed weights {self.weighting}",
                    lambda: transforms.chain(
                        transforms.given_weights(reduction),
                        transforms.ce(),
                    ),
                    state.labels,
                    phase_keys(keys, 1),
                    variables=variables,
                    prepare=lambda start: with_given_weights(start, final),
                    epochs=self.extra_epochs,
                )
        model = RoundModel(fitted, fitted.logits(trainer.inputs), weights)
        return model, fitted.variables if self.warm_start else ()

    def _fit(
        self, trainer: RoundTrainer, state: CorrectionState, keys: jax.Array
    ) -> Fitted:
        """The training of a round, up to `extra_epochs`."""
        return trainer.fit(
            self._kind,
            self._transform,
            state.labels,
            keys,
            variables=state.memory if self.warm_start else None,
        )

    def select(
        self,
        trainer: RoundTrainer,
        model: RoundModel,
        state: CorrectionState,
        keys: jax.Array,
        count: int,
        spending: selection.Spending | None = None,
    ) -> tuple[jax.Array, Any]:
        """Asks about uncertain examples among those of smallest weight.

        With costs, the candidates are so many times what the budget pays for at average
        cost, and what it pays for is chosen among them.
        """
        del keys
        size = trainer.spec.num_examples
        weights = model.weights
        if weights is None:
            weights = jax.device_put(np.ones(model.logits.shape[:2], np.float32))
        wanted = size
        if self.robust and self.candidates_per_query is not None:
            queries = count if spending is None else typical_count(spending)
            wanted = min(size, round(self.candidates_per_query * queries))
        most = min(count, wanted)
        pick = functools.partial(
            _pick,
            count=most,
            num_candidates=wanted,
            mode="" if self.propagation is None else self.propagation.mode,
        )
        if self.propagation is not None and self.propagation.space == "hidden":
            # A graph of its own for every repeat, so one repeat at a time.
            hidden = hidden_features(trainer, model)
            picks = []
            for repeat in range(model.logits.shape[0]):
                picks.append(
                    pick(
                        model.logits[repeat],
                        weights[repeat],
                        state.queried[repeat],
                        make_diffusion(hidden[repeat], self.propagation),
                        jax.tree.map(operator.itemgetter(repeat), spending),
                    )
                )
            return _filled(jnp.stack(picks), count), state.memory
        diffusion = None
        if self.propagation is not None:
            diffusion = input_diffusion(trainer, self.propagation)
        picks = jax.vmap(pick, in_axes=(0, 0, 0, None, 0))(
            model.logits, weights, state.queried, diffusion, spending
        )
        return _filled(picks, count), state.memory


def _filled(picks: jax.Array, count: int) -> jax.Array:
    """Picks with -1 in the places for which there are no candidates."""
    missing = count - picks.shape[1]
    if not missing:
        return picks
    return jnp.pad(picks, ((0, 0), (0, missing)), constant_values=-1)


def make_diffusion(
    points: jax.Array | np.ndarray, propagation: Propagation
) -> graph.ClampedDiffusion:
    """The clamped diffusion on the kNN graph of a point set."""
    built = graph.neighbor_graph(points, propagation.neighbors)
    return graph.clamped_diffusion(
        built.laplacian, step_size=propagation.step_size, steps=propagation.steps
    )


def input_diffusion(
    trainer: RoundTrainer, propagation: Propagation
) -> graph.ClampedDiffusion:
    """The diffusion on the graph of the trainer's inputs, built once."""
    key = ("diffusion", dataclasses.replace(propagation, mode="literal"))
    if key not in trainer.cache:
        trainer.cache[key] = make_diffusion(trainer.points(), propagation)
    return trainer.cache[key]


def hidden_features(trainer: RoundTrainer, model: RoundModel) -> jax.Array:
    """The last hidden layer's activations on all training examples, (R, N, H)."""
    network = trainer.model

    def one(variables: Variables) -> jax.Array:
        inputs = as_float(trainer.inputs)
        return apply_prediction(network, *variables, inputs, method="features")

    return jax.lax.map(one, model.fitted.variables)
