"""Views of a round with random contents, for the tests of query strategies."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from robustjax.methods.active_learning import UNASKED, Observation
from robustjax.methods.active_learning._open_set_round import RoundView

K, WIDTH = 3, 5


def view_of(seed=0, *, size=60, labeled_in=9, labeled_ood=5, extra=1, **change):
    """A view of `size` examples, of which the given numbers are labelled.

    `extra` is 1 for an output for OOD examples; `change` goes into the view.
    """
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    features, kernel, bias = normal(size, WIDTH), normal(WIDTH, K + extra), normal(K)
    bias = jnp.pad(bias, (0, extra))
    labels = np.full(size, UNASKED, np.int32)
    asked = rng.permutation(size)[: labeled_in + labeled_ood]
    labels[asked[:labeled_in]] = np.arange(labeled_in) % K
    labels[asked[labeled_in:]] = K
    view = RoundView(
        labels=labels,
        num_classes=K,
        observation=Observation(
            features @ kernel + bias[None], features, (kernel, bias), normal(size)
        ),
        embeddings={
            "projections": normal(size, 6),
            "semantic": normal(4, size, 6),
            "distinctive": normal(4, size, 6),
        },
        round_number=1,
        key=jax.random.key(seed),
    )
    return view._replace(**change)


def observed(view, **change):
    """The view with another observation."""
    return view._replace(observation=view.observation._replace(**change))
