"""SimiFeat: finding wrong labels from features, without training.

Zhu, Dong, Liu, "Detecting Corrupted Labels Without Training a Model to Predict",
ICML 2022; the transition matrix by high-order consensus, "HOC", of Zhu, Song, Liu,
"Clusterability as an Alternative to Anchor Points", ICML 2021.

Two differences from the authors' code: every pass estimates the matrix from one draw of
triplets, not from the mean of ten; and the two neighbours of a drawn example are its
nearest among *all* N examples. The authors look for them among the drawn 15,000 alone,
where they are farther off and of one true class less often, which the estimate takes
for noise. Up to N = 15,000 both are the same; beyond, the neighbours are at hand
anyway, as the votes need those of all examples.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from robustjax import checks, graph
from robustjax.methods.label_correction._round_training import folded

RULES = ("rank", "vote")


@dataclasses.dataclass(frozen=True)
class SimiFeat:
    """Settings of the detector.

    Attributes:
      neighbors: k, the example itself included.
      rule: "rank" flags, in every given class, as many of the least supported
        examples as the estimated transition matrix says are wrong; "vote" flags an
        example whose neighbours' majority disagrees.
      passes: votes whose majority decides. Each draws its own triplets and jitter
        and, given an augmentation, its own features.
      triplets: examples drawn to estimate the matrix, in every pass; their neighbours
        may be any of the N examples.
      jitter: half-width of the uniform noise on the rank rule's thresholds.
      first_steps: gradient steps of the first estimate.
      later_steps: of each later one, which starts from the one before.
    """

    neighbors: int = 10
    rule: str = "rank"
    passes: int = 21
    triplets: int = 15_000
    jitter: float = 0.05
    first_steps: int = 400
    later_steps: int = 20

    def __post_init__(self) -> None:
        checks.at_least("neighbors", self.neighbors, 3)
        checks.one_of("rule", self.rule, RULES)
        checks.at_least("passes", self.passes, 1)
        checks.at_least("triplets", self.triplets, 1)
        checks.in_range("jitter", self.jitter, 0)


class Consensus(NamedTuple):
    """Unconstrained parameters of the transition matrix and the class prior."""

    transition_logits: jax.Array
    prior_logits: jax.Array

    @property
    def transition(self) -> jax.Array:
        """(C, C) matrix, rows on the simplex."""
        return jax.nn.softmax(self.transition_logits, axis=1)

    @property
    def prior(self) -> jax.Array:
        """(C,) distribution of the true class."""
        return jax.nn.softmax(self.prior_logits)


def consensus_counts(
    labels: jax.Array, neighbors: jax.Array, rows: jax.Array, num_classes: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Frequencies of the labels of (example, first, second neighbour).

    Args:
      labels: (N,) given labels.
      neighbors: (N, >= 2) neighbour indices, self excluded.
      rows: (M,) examples to count.
      num_classes: C.

    Returns:
      (C,), (C, C) and (C, C, C) frequencies, each summing to 1.
    """
    one_hot = jax.nn.one_hot(labels, num_classes)
    a, b, c = one_hot[rows], one_hot[neighbors[rows, 0]], one_hot[neighbors[rows, 1]]
    count = rows.shape[0]
    first = jnp.mean(a, axis=0)
    second = a.T @ b / count
    third = jnp.einsum("ni,nj,nk->ijk", a, b, c) / count
    return first, second, third


def expected_counts(
    transition: jax.Array, prior: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What `consensus_counts` tends to if neighbours share their true class."""
    first = prior @ transition
    second = jnp.einsum("c,ci,cj->ij", prior, transition, transition)
    third = jnp.einsum("c,ci,cj,ck->ijk", prior, transition, transition, transition)
    return first, second, third


def fit_consensus(
    start: Consensus,
    counts: tuple[jax.Array, jax.Array, jax.Array],
    *,
    steps: int,
    learning_rate: float,
) -> Consensus:
    """Fits matrix and prior to consensus counts by Adam on the sum of three norms."""
    optimizer = optax.adam(learning_rate)

    def distance(parameters: Consensus) -> jax.Array:
        expected = expected_counts(parameters.transition, parameters.prior)
        # The square root of zero has no gradient; the offset is far below the noise.
        return sum(
            (jnp.sqrt(jnp.sum((e - c) ** 2) + 1e-12) for e, c in zip(expected, counts)),
            start=jnp.float32(0),
        )

    def step(
        carry: tuple[Consensus, optax.OptState], _: None
    ) -> tuple[tuple[Consensus, optax.OptState], None]:
        parameters, state = carry
        gradient = jax.grad(distance)(parameters)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(parameters, updates), state), None

    carry, _ = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
    return carry[0]


def initial_consensus(num_classes: int) -> Consensus:
    """A matrix with a dominant diagonal, and a uniform prior."""
    return Consensus(
        transition_logits=5 * jnp.eye(num_classes) - 1.0,
        prior_logits=jnp.zeros(num_classes),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _initial_consensuses(repeats: int, num_classes: int) -> Consensus:
    """`initial_consensus` of every repeat, leaves (R, …)."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (repeats, *leaf.shape)),
        initial_consensus(num_classes),
    )


def soft_labels(
    labels: jax.Array,
    neighbors: jax.Array,
    distances: jax.Array,
    num_classes: int,
) -> jax.Array:
    """Similarity-weighted votes of the neighbours and the example itself.

    A neighbour weighs its cosine similarity; the example's own distance, which is
    zero, is replaced by the extrapolation `2 d_1 - d_2` of the first two.

    Args:
      labels: (N,) given labels.
      neighbors: (N, k-1) indices, self excluded.
      distances: (N, k-1) cosine distances.
      num_classes: C.

    Returns:
      (N, C) votes, unit Euclidean norm.
    """
    own = 2 * distances[:, 0] - distances[:, 1]
    weights = jnp.concatenate([(1 - own)[:, None], 1 - distances], axis=1)
    voters = jnp.concatenate([labels[:, None], labels[neighbors]], axis=1)
    votes = jnp.einsum("nk,nkc->nc", weights, jax.nn.one_hot(voters, num_classes))
    return votes / jnp.maximum(jnp.linalg.norm(votes, axis=1, keepdims=True), 1e-12)


@functools.partial(jax.jit, static_argnames=("num_classes", "settings", "first"))
def _one_pass(
    labels: jax.Array,
    neighbors: jax.Array,
    distances: jax.Array,
    consensus: Consensus,
    key: jax.Array,
    *,
    num_classes: int,
    settings: SimiFeat,
    first: bool,
) -> tuple[jax.Array, Consensus]:
    """One pass's verdict, True for suspicious, and the refined estimate."""
    votes = soft_labels(labels, neighbors, distances, num_classes)
    if settings.rule == "vote":
        return jnp.argmax(votes, axis=1) != labels, consensus
    draw_key, jitter_key = jax.random.split(key)
    size = labels.shape[0]
    rows = jax.random.permutation(draw_key, size)[: min(settings.triplets, size)]
    consensus = fit_consensus(
        consensus,
        consensus_counts(labels, neighbors, rows, num_classes),
        steps=settings.first_steps if first else settings.later_steps,
        learning_rate=0.1 if first else 0.01,
    )
    transition, prior = consensus.transition, consensus.prior
    given = jnp.mean(jax.nn.one_hot(labels, num_classes), axis=0)
    # P(true = i | given = i), the share of class i to be trusted.
    trusted = jnp.diagonal(transition) * prior / jnp.maximum(given, 1e-12)
    trusted = trusted + jax.random.uniform(
        jitter_key, (num_classes,), minval=-settings.jitter, maxval=settings.jitter
    )
    trusted = jnp.where(trusted <= 0, 0.05, jnp.where(trusted >= 1, 0.95, trusted))
    support = jnp.take_along_axis(votes, labels[:, None], axis=1)[:, 0]
    # The rank of each example within its given class, least supported first.
    order = jnp.lexsort((support, labels))
    per_class = jnp.bincount(labels, length=num_classes)
    starts = jnp.cumsum(per_class) - per_class
    rank = jnp.zeros(size, jnp.int32).at[order].set(jnp.arange(size)) - starts[labels]
    return rank < (1 - trusted[labels]) * per_class[labels], consensus


def check(features: np.ndarray | jax.Array, settings: SimiFeat) -> None:
    """Raises `ValueError` where the settings do not fit the features.

    Args:
      features: (N, d); none may be all zero, for it has no direction.
      settings: of the detector.
    """
    size = len(features)
    if settings.neighbors > size:
        raise ValueError(
            f"neighbors: got {settings.neighbors} for {size} examples, expected at "
            "most as many"
        )
    zero = np.flatnonzero(~np.asarray(features).any(axis=1))
    if zero.size:
        raise ValueError(
            f"features: {zero.size} row(s) are all zero (first: row {zero[0]}), which "
            "SimiFeat cannot compare by angle"
        )


def detect(
    features: np.ndarray | jax.Array,
    labels: np.ndarray | jax.Array,
    num_classes: int,
    keys: jax.Array,
    settings: SimiFeat | None = None,
    *,
    augmented: Callable[[int], np.ndarray | jax.Array] | None = None,
) -> jax.Array:
    """Flags suspicious labels, for one or many labelings of the same features.

    Args:
      features: (N, d) floats, compared by cosine.
      labels: (R, N) given labels.
      num_classes: C.
      keys: (R,) PRNG keys.
      settings: of the detector.
      augmented: `(pass) -> (N, d)` features of freshly augmented images. The authors
        use 21 such passes; without it, passes share the features and differ in
        their triplets and jitter alone.

    Returns:
      (R, N) bool, True where the majority of passes finds the label suspicious.

    Raises:
      ValueError: shapes that do not match, or as `graph.nearest_neighbors`.
    """
    settings = settings or SimiFeat()
    checks.rank("labels", labels, 2)
    checks.same_length(features=features, **{"labels of a repeat": labels[0]})
    checks.same_length(labels=labels, keys=keys)
    labels = np.asarray(labels, np.int32)
    consensus = _initial_consensuses(len(labels), num_classes)
    found = None
    votes = np.zeros(labels.shape, np.int32)
    for number in range(settings.passes):
        if augmented is not None or found is None:
            here = features if augmented is None else augmented(number)
            found = graph.nearest_neighbors(
                here, settings.neighbors - 1, metric="cosine"
            )
        one = functools.partial(
            _one_pass,
            num_classes=num_classes,
            settings=settings,
            first=number == 0,
        )
        pass_keys = folded(keys, number)
        suspicious, consensus = jax.vmap(one, in_axes=(0, None, None, 0, 0))(
            labels, found.indices, found.distances, consensus, pass_keys
        )
        votes += np.asarray(suspicious)
    return jax.device_put(2 * votes > settings.passes)
