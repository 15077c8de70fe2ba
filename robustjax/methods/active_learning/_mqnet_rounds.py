"""What MQNet asks for in which round, and the surface that it has learnt.

Park et al., "Meta-Query-Net: Resolving Purity-Informativeness Dilemma in Open-set
Active Learning" (NeurIPS 2022).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import checks
from robustjax.methods.active_learning._mqnet_meta import fit_mqnet, mqnet_scores
from robustjax.models._mqnet import MQNet

RULES = ("mqnet", "sum", "product")


def ranked_by(rule: str, *, fitted: bool, ood_seen: bool) -> str:
    """What a round is ranked by: one of `RULES`, or "informativeness".

    Args:
      rule: see `query_scores`.
      fitted: whether there is a meta-model.
      ood_seen: whether any labelled example is OOD.
    """
    if rule != "mqnet":
        return rule
    if not ood_seen:
        return "informativeness"
    return "mqnet" if fitted else "sum"


def query_scores(
    purity: jax.Array,
    informativeness: jax.Array,
    *,
    params: Any = None,
    ood_seen: bool = True,
    rule: str = "mqnet",
    model: MQNet | None = None,
) -> jax.Array:
    """The scores of the unlabelled pool, of which the largest are asked for.

    The rule "mqnet": as long as no OOD example has been labelled, in any round, by
    informativeness alone, since there is nothing to be pure of; before there is a
    meta-model, so in the first round, by the sum; then by the meta-model. The first
    fallback is the paper's for pools without OOD examples; its authors' code has
    none, and training does not lead there, as the weights of purity start above 0.

    Args:
      purity: (n,) floats, as `convert_scores` has them.
      informativeness: (n,) floats, the same; in the first round of the authors'
        confidence mode the raw `1 - max p`, see `query_mqnet.MQNetQuery.first_round`.
      params: of the meta-model of the round before, or None.
      ood_seen: whether any labelled example is OOD.
      rule: "mqnet", or "sum" or "product" of the two in every round, with which the
        paper compares; those know no fallback.
      model: of the params; by default `MQNet()`.

    Returns:
      (n,) float32.

    Raises:
      ValueError: an unknown rule or other shapes.
    """
    checks.one_of("rule", rule, RULES)
    checks.rank("purity", purity, 1)
    checks.rank("informativeness", informativeness, 1)
    checks.same_length(purity=purity, informativeness=informativeness)
    purity = jnp.asarray(purity, jnp.float32)
    informativeness = jnp.asarray(informativeness, jnp.float32)
    ranking = ranked_by(rule, fitted=params is not None, ood_seen=ood_seen)
    if ranking == "product":
        return purity * informativeness
    if ranking == "informativeness":
        return informativeness
    if ranking == "sum":
        return purity + informativeness
    inputs = jnp.stack([purity, informativeness], axis=1)
    return mqnet_scores(params, inputs, model=model)


def can_learn(is_in: Any, mask: Any = None) -> bool:
    """Whether answers (n,) hold OOD and IN examples (where `mask` is True).

    Without OOD examples purity cannot be learnt; without IN examples all targets are
    equal.
    """
    checks.truth("is_in", is_in)
    answers = np.asarray(is_in)
    if mask is not None:
        answers = answers[np.asarray(checks.truths("mask", mask))]
    return bool(answers.any() and not answers.all())


def next_meta_model(
    key: jax.Array,
    previous: Any,
    inputs: jax.Array,
    losses: jax.Array,
    is_in: jax.Array,
    *,
    reinitialize: bool = True,
    mask: jax.Array | None = None,
    **settings: Any,
) -> Any:
    """The meta-model after a round's answers; it serves the next round.

    Args:
      key: of `fit_mqnet`.
      previous: the parameters of the round before, or None.
      inputs: (n, 2) of the examples asked for, see `fit_mqnet`.
      losses: (n,), see there.
      is_in: (n,) bool, see there.
      reinitialize: start from new parameters, as the authors' code does; False goes on
        from the previous ones, as in the paper's Algorithm 2.
      mask: (n,) bool, False on padding.
      **settings: further arguments of `fit_mqnet`.

    Returns:
      The new parameters, or `previous` as it is where the answers cannot teach
      anything, see `can_learn`.

    Raises:
      ValueError: see `fit_mqnet`.
    """
    if not can_learn(is_in, mask):
        return previous
    initial = None if reinitialize else previous
    params, _ = fit_mqnet(
        key, inputs, losses, is_in, initial=initial, mask=mask, **settings
    )
    return params


def score_surface(
    params: Any,
    purity: jax.Array,
    informativeness: jax.Array,
    *,
    model: MQNet | None = None,
) -> jax.Array:
    """Scores on a grid, for a picture of what has been learnt.

    Args:
      params: of the meta-model.
      purity: (p,) values, converted.
      informativeness: (q,) values, converted.
      model: by default `MQNet()`.

    Returns:
      (p, q) float32, non-decreasing along both axes if the model is monotone.

    Raises:
      ValueError: values of another rank.
    """
    checks.rank("purity", purity, 1)
    checks.rank("informativeness", informativeness, 1)
    grid = jnp.meshgrid(
        jnp.asarray(purity), jnp.asarray(informativeness), indexing="ij"
    )
    inputs = jnp.stack([axis.reshape(-1) for axis in grid], axis=1)
    return mqnet_scores(params, inputs, model=model).reshape(grid[0].shape)


def iso_score_slope(
    params: Any, point: jax.Array, *, model: MQNet | None = None
) -> jax.Array:
    """The slope of the line of equal scores through a point, d purity / d info.

    That is `-(dPhi/dI) / (dPhi/dP)`: with informativeness to the right and purity
    upwards, a line that falls steeply means that informativeness counts for more, a
    flat one that purity does. The paper draws it at the lowest-scored example that
    was asked for.

    Args:
      params: of the meta-model.
      point: (2,) purity and informativeness, converted.
      model: by default `MQNet()`.

    Returns:
      () float32, <= 0 if the model is monotone; minus infinity where only
      informativeness counts, NaN where neither does.

    Raises:
      ValueError: a point of another shape.
    """
    if np.shape(point) != (2,):
        raise ValueError(f"point: got shape {np.shape(point)}, expected (2,)")

    def score(point: jax.Array) -> jax.Array:
        return mqnet_scores(params, point[None], model=model)[0]

    by_purity, by_informativeness = jax.grad(score)(jnp.asarray(point, jnp.float32))
    return -by_informativeness / by_purity
