"""What a type checker must see of the public names; checked by mypy, never run.

An ignore that ignores nothing is an error (`warn_unused_ignores`), so the misspelt name
is one as long as this file passes.
"""

import jax
import optax

import robustjax as rj


def client(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Names of the core and of the rooms that are imported on first use."""
    tx: rj.LossTransform = rj.chain(rj.ce(), rj.elr(3.0))
    loss, _ = rj.value(tx, tx.init(rj.ExampleSpec(10, 3)), logits, labels)
    weighting: optax.GradientTransformation = rj.aggregate_weighted()
    del weighting
    print(rj.scores.entropy, rj.methods.divide_mix)
    rj.elrr  # type: ignore[attr-defined]  # noqa: B018
    rj.chain(3.0)  # type: ignore[arg-type]
    return loss
