"""MQNet's meta-learning: how to weigh purity against informativeness, from answers.

Park et al., "Meta-Query-Net: Resolving Purity-Informativeness Dilemma in Open-set
Active Learning" (NeurIPS 2022). The oracle's answers of a round tell which of the
examples asked for were of the task's own classes (IN), and what their losses were
under the classifier that had not seen them. A monotone network learns to order
examples by these losses, those of OOD examples counted as 0, and its scores pick the
examples of the next round.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import arrays, checks, conditioning
from robustjax.losses._ranking import TIES, pair_up, pairwise_ranking
from robustjax.models._mqnet import MQNet


def convert_scores(
    raw: Any, reference: Any = None, *, clip: float | None = 5.0
) -> jax.Array:
    """`exp((raw - mean) / std)`, the form in which MQNet takes purity and the other.

    Mean and population standard deviation are those of the unlabelled pool. Convert
    once, before the query, and keep the values of the examples asked for: the same
    numbers then serve the query and the meta-learning after it. (The authors' code
    standardises over the queried examples alone there, and predicted losses by mean
    and deviation of another score, the confidence.)

    Args:
      raw: (n,) finite numbers, larger meaning purer or more informative.
      reference: (m,) finite numbers whose mean and deviation are taken; by default
        `raw`. If they are all equal, every score becomes 1.
      clip: bound of the absolute z-score, > 0, so that no outlier overflows; None for
        none, as published.

    Returns:
      (n,) float32 > 0.

    Raises:
      ValueError: a wrong rank, no scores, NaN or infinity, or a bound that is not
        positive.
    """
    if clip is not None:
        checks.in_range("clip", clip, 0, low_open=True)
    reference = raw if reference is None else reference
    given = {"raw": raw, "reference": reference}
    for name, array in given.items():
        checks.rank(name, array, 1)
        if np.shape(array)[0] == 0:
            raise ValueError(f"{name}: got no scores, expected at least one")
        if not checks.is_traced(array):
            given[name] = arrays.numbers(name, array, 1)
            checks.finite(name, given[name])
    if not checks.is_traced((raw, reference)):
        z = jnp.asarray(_standardized(**given), jnp.float32)
        return jnp.exp(z if clip is None else jnp.clip(z, -clip, clip))
    raw = jnp.asarray(raw, jnp.float32)
    reference = jnp.asarray(reference, jnp.float32)
    # From one of the values on: a common level costs no digits then.
    level = reference[0]
    raw, reference = raw - level, reference - level
    deviation = jnp.std(reference)
    flat = jnp.max(reference) == jnp.min(reference)
    z = (raw - jnp.mean(reference)) / jnp.where(flat, 1.0, deviation)
    z = jnp.where(flat, 0.0, z)
    return jnp.exp(z if clip is None else jnp.clip(z, -clip, clip))


def _standardized(raw: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n,) float64 z-scores; neither a common level nor a common scale costs digits."""
    level, values = (
        conditioning.Rows(each[:, None], reference[:1])(slice(None))[:, 0]
        for each in (reference, raw)
    )
    size = np.abs(level).max()
    if size == 0:
        return np.zeros(len(values))
    # Squares of the largest numbers are none.
    scale = conditioning.power_of_two(size)
    return (values / scale - (level / scale).mean()) / (level / scale).std()


def masked_losses(losses: jax.Array, is_in: jax.Array) -> jax.Array:
    """The losses of IN examples, and 0 for OOD ones (whatever is given for them)."""
    return jnp.where(is_in, losses, 0.0)


def batch_order(
    key: jax.Array, num_examples: int, *, steps: int, batch_size: int
) -> jax.Array:
    """Examples of every step, (steps, batch_size) int32: shuffled passes in a row.

    A batch may hold the end of a pass and the beginning of the next.
    """
    passes = -(-steps * batch_size // num_examples)

    def one(key: jax.Array) -> jax.Array:
        return jax.random.permutation(key, num_examples)

    order = jax.vmap(one)(jax.random.split(key, passes)).reshape(-1)
    return order[: steps * batch_size].reshape(steps, batch_size).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("model", "steps", "batch_size", "ties"))
def _fit(
    key: jax.Array,
    initial: Any,
    inputs: jax.Array,
    targets: jax.Array,
    mask: jax.Array,
    rates: dict[str, jax.Array],
    *,
    model: MQNet,
    steps: int,
    batch_size: int,
    ties: str,
) -> tuple[Any, jax.Array]:
    init_key, order_key = jax.random.split(key)
    params = model.init(init_key, inputs[:1]) if initial is None else initial
    order = batch_order(order_key, inputs.shape[0], steps=steps, batch_size=batch_size)

    def rate(step: jax.Array) -> jax.Array:
        return rates["learning_rate"] * jnp.where(step < steps // 2, 1.0, 0.1)

    optimizer = optax.chain(
        optax.add_decayed_weights(rates["weight_decay"]), optax.sgd(rate)
    )

    def mean_loss(params: Any, rows: jax.Array) -> jax.Array:
        values = pairwise_ranking(
            mqnet_scores(params, inputs[rows], model=model),
            targets[rows],
            margin=rates["margin"],
            ties=ties,
        )
        real = jnp.logical_and(*pair_up(mask[rows]))
        total = jnp.sum(jnp.where(real, values, 0.0))
        return total / jnp.maximum(jnp.sum(real), 1)

    def step(carry: tuple[Any, Any], rows: jax.Array) -> tuple[Any, jax.Array]:
        params, state = carry
        loss, slope = jax.value_and_grad(mean_loss)(params, rows)
        updates, state = optimizer.update(slope, state, params)
        return (optax.apply_updates(params, updates), state), loss

    start = params, optimizer.init(params)
    (params, _), history = jax.lax.scan(step, start, order)
    return params, history


def fit_mqnet(
    key: jax.Array,
    inputs: jax.Array,
    losses: jax.Array,
    is_in: jax.Array,
    *,
    steps: int = 11_200,
    learning_rate: jax.Array | float = 1e-3,
    batch_size: int = 32,
    margin: jax.Array | float = 1.0,
    ties: str = "ignore",
    weight_decay: jax.Array | float = 0.0,
    initial: Any = None,
    mask: jax.Array | None = None,
    model: MQNet | None = None,
) -> tuple[Any, jax.Array]:
    """Fits the meta-model to the answers of one round, in one compiled program.

    Descends the mean of `losses.pairwise_ranking` over pairs of a random
    batch by plain SGD; after half of the steps the learning rate is a tenth. The
    targets are the losses of IN examples and 0 for OOD ones.

    Published settings. The paper: margin 0.1, learning rate 0.01, weight decay 5e-4,
    batches of 64 examples, 100 epochs (some 800 steps for 500 examples). The authors'
    code: the defaults here, 100 epochs of at least 100 steps, which is 11,200 for 500
    examples and 12,800 for 1,000, and `ties="as_lower"`. Both end well before the
    loss has: on synthetic answers, 3,000 steps of learning rate 0.1 order new examples
    better, 90 to 96 % of the pairs right in place of 82 to 93 %.

    Args:
      key: of the start and of the batches.
      inputs: (n, 2) purity and informativeness as `convert_scores` has them, of the
        examples asked for in this round; n >= 2.
      losses: (n,) of the classifier that had not seen these answers. Values at OOD
        examples do not matter.
      is_in: (n,) bool, the oracle's answers.
      steps: >= 1, a constant of the program, as are `batch_size` and `ties`.
      learning_rate: > 0, possibly traced.
      batch_size: examples per step, even; at most the even part of n is used.
      margin: of the ranking loss, >= 0, possibly traced.
      ties: of the ranking loss; two OOD examples always tie.
      weight_decay: >= 0, possibly traced, on all parameters.
      initial: parameters to start from, such as those of the round before; by default
        new ones every time, as in the authors' code.
      mask: (n,) bool, False on padding, which has no influence but on the batches.
      model: by default `MQNet()`.

    Returns:
      The parameters, and the (steps,) losses of the batches.

    Raises:
      ValueError: fewer than two examples, other shapes, NaN among the inputs or the
        losses of IN examples, a number outside its range, answers that are not bool,
        or a mask of other values than bools, or 0 and 1.
    """
    checks.at_least("steps", steps, 1)
    checks.in_range("learning_rate", learning_rate, 0, low_open=True)
    checks.in_range("margin", margin, 0)
    checks.in_range("weight_decay", weight_decay, 0)
    checks.one_of("ties", ties, TIES)
    checks.at_least("batch_size", batch_size, 2)
    if batch_size % 2:
        raise ValueError(f"batch_size: got {batch_size}, expected an even number")
    checks.rank("inputs", inputs, 2)
    checks.rank("losses", losses, 1)
    checks.rank("is_in", is_in, 1)
    size = np.shape(inputs)[0]
    mask = jnp.ones(size, bool) if mask is None else checks.truths("mask", mask)
    checks.rank("mask", mask, 1)
    checks.same_length(inputs=inputs, losses=losses, is_in=is_in, mask=mask)
    if size < 2:
        raise ValueError(f"inputs: got {size} examples, expected at least two")
    checks.truth("is_in", is_in)
    mask = jnp.asarray(mask, bool)
    targets = masked_losses(jnp.asarray(losses, jnp.float32), jnp.asarray(is_in, bool))
    inputs = jnp.asarray(inputs, jnp.float32)
    for name, array in (("inputs", inputs), ("losses", targets)):
        if not checks.is_traced((array, mask)):
            checks.finite(name, np.asarray(array)[np.asarray(mask)])
    rates = {
        "learning_rate": learning_rate,
        "margin": margin,
        "weight_decay": weight_decay,
    }
    return _fit(
        key,
        initial,
        jnp.where(mask[:, None], inputs, 0.0),
        targets,
        mask,
        {name: jnp.asarray(rate, jnp.float32) for name, rate in rates.items()},
        model=MQNet() if model is None else model,
        steps=steps,
        batch_size=min(batch_size, size - size % 2),
        ties=ties,
    )


def mqnet_scores(
    params: Any, inputs: jax.Array, *, model: MQNet | None = None
) -> jax.Array:
    """Scores (n,) float32 of purity and informativeness (n, 2); the largest are asked.

    Args:
      params: from `fit_mqnet`.
      inputs: (n, 2) floats, see `convert_scores`.
      model: the one that was fitted, by default `MQNet()`.
    """
    model = MQNet() if model is None else model
    scores: Any = model.apply(params, jnp.asarray(inputs))
    return scores
