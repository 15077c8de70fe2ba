"""Label-noise models as pure functions of a key and the true labels.

The word *rate* means different things in different repositories. Here every model
says what share of labels it *chooses* to redraw (`NoisyLabels.chosen`), whether a
redraw may give the true class, and, as `NoisyLabels.transition`, the matrix from
which the expected share of *wrong* labels follows (`transitions.noise_rate`).

`count` says who is chosen: "exact" chooses exactly round(rate N) examples,
"exact_per_class" exactly round(rate N_c) of each true class, "bernoulli" each
example independently with probability `rate`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from robustjax import arrays, checks
from robustjax.corruption import transitions

COUNTS = ("exact", "exact_per_class", "bernoulli")
"""Values of `count`: who is chosen, exactly or by chance; see above."""

SCOPES = ("chosen", "all")


class NoisyLabels(NamedTuple):
    """Labels after corruption.

    Attributes:
      labels: (N,) int32 given labels.
      chosen: (N,) bool, the injected set; where a redraw may give the true class,
        some of these are still right. `labels != true` says which are wrong.
      transition: (C, C) float32 `P(given | true)` of the whole model, the unchosen
        examples included; None where it depends on the input.
    """

    labels: jax.Array
    chosen: jax.Array
    transition: jax.Array | None


def _choose(
    key: jax.Array, labels: jax.Array, rate: float, num_classes: int, count: str
) -> jax.Array:
    """Draws the (N,) bool set of examples whose labels are redrawn."""
    size = labels.shape[0]
    if count == "bernoulli":
        return jax.random.bernoulli(key, rate, (size,))
    place = jax.random.permutation(key, size)
    if count == "exact":
        return place < round(rate * size)
    # The place of each example among those of its class, in random order.
    order = jnp.lexsort((place, labels))
    per_class = jnp.bincount(labels, length=num_classes)
    starts = jnp.cumsum(per_class) - per_class
    rank = jnp.zeros(size, jnp.int32).at[order].set(jnp.arange(size)) - starts[labels]
    return rank < jnp.round(rate * per_class)[labels]


def _draw(key: jax.Array, labels: jax.Array, transition: jax.Array) -> jax.Array:
    """Draws one label per example from its row of the matrix."""
    return jax.random.categorical(key, jnp.log(transition)[labels]).astype(jnp.int32)


def _mix(transition: jax.Array, rate: float) -> jax.Array:
    """The matrix of a model that redraws a share `rate` of the labels."""
    return (1 - rate) * jnp.eye(transition.shape[0]) + rate * transition


def _check(labels: jax.Array, rate: float, num_classes: int, count: str) -> jax.Array:
    checks.in_range("rate", rate, 0, 1)
    checks.at_least("num_classes", num_classes, 2)
    checks.one_of("count", count, COUNTS)
    if not checks.is_traced(labels):
        checks.labels("labels", labels, num_classes)
    return jnp.asarray(labels, jnp.int32)


def symmetric(
    key: jax.Array,
    labels: jax.Array,
    rate: float,
    num_classes: int,
    *,
    include_true: bool,
    count: str = "exact",
) -> NoisyLabels:
    """Symmetric (uniform) noise.

    Args:
      key: PRNG key.
      labels: (N,) true labels.
      rate: share of labels that are redrawn, in [0, 1].
      num_classes: C.
      include_true: whether a redraw may give the true class. Yes in the DivideMix,
        ELR, SOP and DALC repositories (a share `rate (1 - 1/C)` ends up wrong); no
        in Co-teaching, JoCoR, O2U-Net, SimiFeat, Prune4ReL, APL and SCE, and in our
        reading of Kim (ECCV 2022).
      count: see the module.

    Raises:
      ValueError: a rate outside [0, 1], labels out of range, an unknown `count`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from robustjax import corruption
      >>> key, labels = jax.random.key(0), jnp.arange(100) % 10
      >>> noisy = corruption.symmetric(key, labels, 0.4, 10, include_true=False)
      >>> int((noisy.labels != labels).sum())
      40
    """
    labels = _check(labels, rate, num_classes, count)
    redraw = transitions.symmetric_transition(
        num_classes, 1.0, include_true=include_true
    )
    who, what = jax.random.split(key)
    chosen = _choose(who, labels, rate, num_classes, count)
    given = jnp.where(chosen, _draw(what, labels, redraw), labels)
    return NoisyLabels(given, chosen, _mix(redraw, rate))


def class_flip(
    key: jax.Array,
    labels: jax.Array,
    rate: float,
    num_classes: int,
    *,
    scope: str = "chosen",
    count: str = "exact",
) -> NoisyLabels:
    """Flips by a random matrix: "class-symmetry flipping" of Kim (ECCV 2022), sec. 4.

    The matrix is drawn anew for every key (`transitions.random_transition`); a
    redraw may give the true class.

    Args:
      key: PRNG key.
      labels: (N,) true labels.
      rate: share of labels that are redrawn, in [0, 1].
      num_classes: C.
      scope: "chosen" redraws that share; "all" redraws every label, so that `rate`
        has no effect and about `1 - 1/C` ends up wrong. The paper does not say.
      count: see the module.

    Raises:
      ValueError: as `symmetric`, or an unknown `scope`.
    """
    checks.one_of("scope", scope, SCOPES)
    labels = _check(labels, rate, num_classes, count)
    who, what, matrix = jax.random.split(key, 3)
    redraw = transitions.random_transition(matrix, num_classes)
    if scope == "all":
        rate, chosen = 1.0, jnp.ones(labels.shape, bool)
    else:
        chosen = _choose(who, labels, rate, num_classes, count)
    given = jnp.where(chosen, _draw(what, labels, redraw), labels)
    return NoisyLabels(given, chosen, _mix(redraw, rate))


def asymmetric(
    key: jax.Array,
    labels: jax.Array,
    rate: float,
    targets: np.ndarray | jax.Array,
    *,
    count: str = "bernoulli",
    compounding: bool = False,
) -> NoisyLabels:
    """Moves labels to one fixed target class each.

    Args:
      key: PRNG key.
      labels: (N,) true labels.
      rate: share of each class that is moved, in [0, 1]. Classes that map to
        themselves stay clean, so that the overall rate can be lower: nominal 40 %
        of the CIFAR-10 map is 20 % overall.
      targets: (C,) integers, see `transitions.class_map`, `next_in_block`,
        `random_pair_in_block`.
      count: see the module. "exact" counts the chosen over *all* classes, those
        that stay clean included (the DivideMix repository).
      compounding: replicates a bug of the ELR, SOP and APL repositories, which walk
        through the classes and choose among the labels *already moved*, so that
        mutual pairs end up at unequal rates (cat 24 %, dog 40 % for nominal 40 %).
        Needs `count="exact_per_class"`.

    Returns:
      `NoisyLabels`; under `compounding`, `transition` is None.

    Raises:
      ValueError: as `symmetric`, targets that are no classes, or `compounding` with
        another `count`.
    """
    if not checks.is_traced(targets):
        targets = checks.labels("targets", targets, len(targets))
    targets = jnp.asarray(targets, jnp.int32)
    num_classes = targets.shape[0]
    labels = _check(labels, rate, num_classes, count)
    if not compounding:
        chosen = _choose(key, labels, rate, num_classes, count)
        given = jnp.where(chosen, targets[labels], labels)
        return NoisyLabels(given, chosen, transitions.map_transition(targets, rate))
    if count != "exact_per_class":
        raise ValueError(
            f"count: got {count!r}, expected 'exact_per_class' with compounding=True"
        )

    def move(carry: tuple[jax.Array, jax.Array], step: jax.Array) -> tuple:
        given, chosen = carry
        picked = _choose(
            jax.random.fold_in(key, step), given, rate, num_classes, count
        ) & (given == step)
        return (jnp.where(picked, targets[step], given), chosen | picked), None

    start = (labels, jnp.zeros(labels.shape, bool))
    (given, chosen), _ = jax.lax.scan(move, start, jnp.arange(num_classes))
    return NoisyLabels(given, chosen, None)


def pairflip(
    key: jax.Array,
    labels: jax.Array,
    rate: float,
    num_classes: int,
    *,
    count: str = "bernoulli",
) -> NoisyLabels:
    """Moves labels to the next class, cyclically (Han et al., Co-teaching, 2018).

    Args:
      key: PRNG key.
      labels: (N,) true labels.
      rate: share of labels that are moved, in [0, 1]; all of them end up wrong.
      num_classes: C.
      count: see the module. "exact_per_class" is the ImageNet-N of Prune4ReL's
        text, "exact" that of its code.
    """
    targets = transitions.next_in_block(num_classes, num_classes)
    return asymmetric(key, labels, rate, targets, count=count)


def from_transition(
    key: jax.Array, labels: jax.Array, transition: jax.Array
) -> NoisyLabels:
    """Draws every label from its row of a given matrix.

    Args:
      key: PRNG key.
      labels: (N,) true labels.
      transition: (C, C), `P(given | true)`; the expected share of wrong labels is
        `transitions.noise_rate(transition, class_frequencies)`.

    Raises:
      ValueError: a matrix whose rows are not distributions, labels out of range.
    """
    checks.rank("transition", transition, 2)
    checks.stochastic("transition", transition)
    labels = _check(labels, 1.0, transition.shape[0], "exact")
    transition = jnp.asarray(transition, jnp.float32)
    given = _draw(key, labels, transition)
    return NoisyLabels(given, jnp.ones(labels.shape, bool), transition)


def instance_dependent(
    key: jax.Array,
    inputs: jax.Array,
    labels: jax.Array,
    rate: float,
    num_classes: int,
    *,
    rate_deviation: float = 0.1,
    pixel_scale: float = 1.0,
) -> NoisyLabels:
    """Instance-dependent noise (Xia et al., NeurIPS 2020, Alg. 2).

    Every example has its own flip probability, normal around `rate` and truncated
    to (0, 1), and its own distribution over wrong classes, a softmax of a random
    linear map of its pixels that is drawn per true class. The true class is never
    redrawn.

    Args:
      key: PRNG key.
      inputs: (N, ...) floats.
      labels: (N,) true labels.
      rate: the centre of the flip probabilities before they are truncated, in [0, 1].
        The share of wrong labels is near it in the middle, above it near 0 (about 0.1
        at 0.05) and below it near 1; at 0 and 1 nobody and everybody is flipped.
      num_classes: C.
      rate_deviation: standard deviation of the flip probability, >= 0 and finite.
      pixel_scale: factor on the inputs before the linear map. 1 with inputs of
        unit scale gives soft distributions; 255 with inputs in [0, 1] gives the
        nearly one-hot ones of public code that feeds raw 8-bit pixels.

    Raises:
      ValueError: as `symmetric`, lengths that differ, a negative deviation, inputs
        that are not finite or that float32 cannot tell apart, or a scale by which they
        leave its range.
    """
    labels = _check(labels, rate, num_classes, "exact")
    checks.in_range("rate_deviation", rate_deviation, 0, high_open=True)
    checks.in_range("pixel_scale", pixel_scale)
    checks.same_length(inputs=inputs, labels=labels)
    if not checks.is_traced(inputs):
        inputs = arrays.resolved("inputs", inputs)
        checks.finite("inputs", np.asarray(inputs))
    flat = jnp.reshape(inputs, (labels.shape[0], -1)).astype(jnp.float32)
    # What overflows is refused below.
    with np.errstate(over="ignore", invalid="ignore"):
        flat = pixel_scale * flat
    flip_key, map_key, draw_key = jax.random.split(key, 3)
    if rate_deviation > 0 and 0 < rate < 1:
        low, high = -rate / rate_deviation, (1 - rate) / rate_deviation
        flip = rate + rate_deviation * jax.random.truncated_normal(
            flip_key, low, high, labels.shape
        )
    else:
        flip = jnp.full(labels.shape, rate)

    def add_class(scores: jax.Array, true_class: jax.Array) -> tuple[jax.Array, None]:
        # One class at a time: all maps together would take d * C * C numbers.
        weights = jax.random.normal(
            jax.random.fold_in(map_key, true_class), (flat.shape[1], num_classes)
        )
        mine = (labels == true_class)[:, None]
        return jnp.where(mine, flat @ weights, scores), None

    scores = jnp.zeros((labels.shape[0], num_classes))
    scores, _ = jax.lax.scan(add_class, scores, jnp.arange(num_classes))
    # From numbers that are none, every label would be drawn as class 0.
    if not checks.is_traced(scores) and not bool(jnp.isfinite(scores).all()):
        raise ValueError(
            f"pixel_scale: got {pixel_scale:g} for inputs up to "
            f"{float(jnp.abs(jnp.asarray(inputs)).max()):g}, expected a product that "
            "float32 can hold"
        )
    own = jax.nn.one_hot(labels, num_classes, dtype=bool)
    wrong = jax.nn.softmax(jnp.where(own, -jnp.inf, scores))
    probabilities = jnp.where(own, 1 - flip[:, None], flip[:, None] * wrong)
    given = jax.random.categorical(draw_key, jnp.log(probabilities)).astype(jnp.int32)
    return NoisyLabels(given, given != labels, None)
