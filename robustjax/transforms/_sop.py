"""Sparse over-parameterisation (Liu et al., ICML 2022) and the terms of SOP+."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from robustjax import checks
from robustjax.losses._label_distributions import as_distributions
from robustjax.transforms._base import (
    AxisName,
    Batch,
    ExampleSpec,
    LossTransform,
    Penalty,
    Stage,
    Terms,
    need,
    need_shape,
    over_examples,
)
from robustjax.transforms._reduction import example_mean, positions_of, shares
from robustjax.transforms._rows import rowwise, stateless

# The authors' smallest corrected probability, and the deviation of the first rows.
FLOOR = 1e-4
INITIAL_DEVIATION = 1e-8


def _total(x: jax.Array, axis_name: AxisName) -> jax.Array:
    """(C,) sums over all labels of a batch, of all devices if there is an axis."""
    total = jnp.sum(x, axis=tuple(range(x.ndim - 1)))
    return total if axis_name is None else jax.lax.psum(total, axis_name)


def _correct(
    p: jax.Array, rows: Any, given: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns (corrected probabilities q, U, V), each (B, ..., C)."""
    U = jnp.clip(rows["u"] ** 2, 0, 1) * given
    V = jnp.clip(rows["v"] ** 2, 0, 1) * (1 - given)
    q = jnp.maximum(p + U - jax.lax.stop_gradient(V), FLOOR)
    q = q / jnp.sum(q, axis=-1, keepdims=True)
    return jnp.clip(q, FLOOR, 1.0), U, V


def _imbalance(mean_q: jax.Array) -> jax.Array:
    """Cross-entropy of the uniform distribution and a batch's mean prediction."""
    return -jnp.mean(jnp.log(jnp.clip(mean_q, FLOOR, 1.0)))


def sop(
    lr_u: float = 10.0,
    lr_v: float = 10.0,
    *,
    balance: float = 0.0,
    key: jax.Array | None = None,
) -> LossTransform:
    """Sparse over-parameterisation: learns each example's label noise with it.

    Liu et al., "Robust Training under Label Noise by Over-parameterization" (2022).
    Every example owns trainable u (rows "u", (N_padded, ..., 1)) and v (rows "v",
    (N_padded, ..., C)), float32. With Y the label as a distribution, one-hot if it is
    a class index, `U = clip(u^2, 0, 1) Y` and `V = clip(v^2, 0, 1) (1 - Y)` the value
    is

        -<Y, log q> + || onehot(argmax z) + U - V - Y ||^2,
        q = normalise(max(softmax(z) + U - stop_gradient(V), 1e-4)) in [1e-4, 1].

    The second term has no gradient for the network and is the only one that moves
    v. `update` itself takes a plain SGD step on the batch's rows, with the gradient
    that a joint differentiation of the reduced loss would give them; so weights must
    be set before this head, and weights that a later transform selects do not reach
    the rows. Where the batch is split under `pmap` or `shard_map`, pass `update` the
    mapped axis as `axis_name=` for the mean to be that of the global batch. Where k
    batches make one step of the optimiser (gradients averaged over k microbatches),
    pass `microbatches=k` for their rows to move as those of one batch would.

    The learning rates stay constant and are published for batches of 128: the
    gradient carries 1/B, so multiply them by B / 128 for batches of B. Published
    (lr_u, lr_v): CIFAR-10 symmetric (10, 10), asymmetric (10, 100), CIFAR-100
    (1, 10) and (1, 100); the released code takes 0.1 for the last u. SOP+ is
    `balance=0.1` with `consistency(0.9)` after it.

    Needs `logits`, (B, C), or (B, ..., C) with the positions of the `ExampleSpec`.
    Labels that a transform before it rewrote, or that come as distributions, are Y.

    Args:
      lr_u: learning rate of u, >= 0.
      lr_v: learning rate of v, >= 0.
      balance: weight >= 0 of `-(1/C) sum_k log clip(mean_batch q_k, 1e-4, 1)`, a
        penalty with a mean of its own. The paper describes it on the network's
        prediction; the corrected q is what the authors run.
      key: PRNG key of the initial rows, Normal(0, 1e-8^2); `jax.random.key(0)` by
        default. Repeats under `vmap` that share the transform start with equal
        rows, which is immaterial at this size; to vary them, build the transform
        inside the mapped function from a mapped key.

    Raises:
      ValueError: a number outside its range; in `update`, logits of another shape than
        the rows', or fewer than one microbatch.

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> tx = rj.sop(lr_u=10.0, lr_v=10.0)
      >>> state = tx.init(rj.ExampleSpec(num_examples=4, num_classes=2))
      >>> logits, labels = jnp.array([[5.0, 0.0]]), jnp.array([1])
      >>> first, state = rj.value(tx, state, logits, labels, jnp.array([3]))
      >>> for _ in range(20):
      ...     later, state = rj.value(tx, state, logits, labels, jnp.array([3]))
      >>> bool(later < first)  # u and v explain the label; the network need not.
      True
    """
    name = "sop"
    checks.in_range("lr_u", lr_u, 0)
    checks.in_range("lr_v", lr_v, 0)
    checks.in_range("balance", balance, 0)
    balances = checks.is_traced(balance) or balance > 0

    def init_rows(spec: ExampleSpec) -> Any:
        start = jax.random.key(0) if key is None else key
        key_u, key_v = jax.random.split(start)
        shape = (spec.padded_examples, *spec.positions)

        def draw(key: jax.Array, numbers: int) -> jax.Array:
            normal = jax.random.normal(key, (*shape, numbers), jnp.float32)
            return INITIAL_DEVIATION * normal

        return {"u": draw(key_u, 1), "v": draw(key_v, spec.num_classes)}

    def update_rows(
        terms: Terms, rows: Any, shared: Any, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, Any]:
        del shared, batch
        logits = need_shape(name, extra, "logits", rows["v"].shape)
        logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
        axis_name = extra.get("axis_name")
        microbatches = extra.get("microbatches", 1)
        checks.in_range("microbatches", microbatches, 1)
        num_classes = logits.shape[-1]
        labels = as_distributions(terms.labels, num_classes)
        if labels.shape != logits.shape:
            raise ValueError(
                f"labels: got shape {labels.shape} as distributions, expected "
                f"{logits.shape} for sop"
            )
        # A label out of range is NaN, and would spoil the gradient.
        inside = jnp.all(jnp.isfinite(labels), axis=-1)
        given = jnp.where(inside[..., None], labels, 0.0).astype(logits.dtype)
        predicted = jax.nn.one_hot(
            jnp.argmax(logits, axis=-1), num_classes, dtype=logits.dtype
        )
        p = jax.nn.softmax(logits)
        counts = terms.mask if terms.positions is None else terms.positions

        def evaluate(p: jax.Array, rows: Any) -> tuple[jax.Array, jax.Array]:
            q, U, V = _correct(p, rows, given)
            fit = -jnp.sum(given * jnp.log(q), axis=-1)
            residual = jnp.sum((predicted + U - V - given) ** 2, axis=-1)
            return jnp.where(inside, fit + residual, jnp.nan), q

        value, q = evaluate(p, rows)
        penalties = terms.penalties
        real = counts[..., None]
        slope = jnp.zeros(num_classes, q.dtype)
        if balances:
            count = _total(real.astype(q.dtype), axis_name)
            any_real = count > 0
            count = jnp.where(any_real, count, 1.0)
            mean_q = _total(jnp.where(real, q, 0.0), axis_name) / count
            term = jnp.where(any_real[0], _imbalance(mean_q), 0.0)
            penalties = (*penalties, Penalty(term[None], balance))
            slope = balance * jax.grad(_imbalance)(jax.lax.stop_gradient(mean_q))
            slope = slope / count
        factors = shares(terms, axis_name)
        if terms.positions is not None:
            factors = factors / jnp.maximum(positions_of(terms), 1)
        factors = jax.lax.stop_gradient(over_examples(factors, counts.ndim))

        def of_rows(rows: Any) -> jax.Array:
            """A local sum whose gradient is that of the reduced loss.

            The sums over devices are constants of it, since differentiating through
            them counts every device's copy of the loss under `pmap`.
            """
            value, q = evaluate(jax.lax.stop_gradient(p), rows)
            total = jnp.sum(jnp.where(counts, factors * value, 0.0))
            if balances:
                slopes = slope.reshape((1,) * (q.ndim - 1) + slope.shape)
                total = total + jnp.sum(jnp.where(real, q * slopes, 0.0))
            return total / microbatches

        gradient = jax.grad(of_rows)(rows)
        moved = {
            "u": rows["u"] - lr_u * gradient["u"],
            "v": rows["v"] - lr_v * gradient["v"],
        }
        value = example_mean(name, terms, value)
        return terms.replace(value=value, penalties=penalties), moved

    return rowwise(init_rows, update_rows, stage=Stage.HEAD, name=name)


def consistency(strength: float = 0.9) -> LossTransform:
    """Adds `strength KL(softmax(weak) || softmax(strong))` to every value.

    The consistency term of SOP+ (Liu et al., 2022): the weakly augmented view
    teaches the strongly augmented one and gets no gradient itself. As every addition
    to the values it takes part in the example's weight.

    Needs `logits` of the weak views and `strong_logits` (B, C) of the strong views.

    Args:
      strength: >= 0.

    Raises:
      ValueError: a negative strength; in `update`, shapes that differ.
    """
    name = "consistency"
    checks.in_range("strength", strength, 0)

    def apply(terms: Terms, batch: Batch, /, **extra: Any) -> Terms:
        del batch
        weak, strong = need(name, extra, "logits"), need(name, extra, "strong_logits")
        if weak.shape != strong.shape:
            raise ValueError(
                f"strong_logits: got shape {strong.shape}, expected {weak.shape}"
            )

        def log_softmax(logits: jax.Array) -> jax.Array:
            wide = jnp.promote_types(logits.dtype, jnp.float32)
            return jax.nn.log_softmax(logits.astype(wide))

        log_teacher = jax.lax.stop_gradient(log_softmax(weak))
        gap = log_teacher - log_softmax(strong)
        divergence = jnp.sum(jnp.exp(log_teacher) * gap, axis=-1)
        divergence = example_mean(name, terms, divergence)
        return terms.replace(value=terms.value + strength * divergence)

    return stateless(apply, stage=Stage.ADDITIVE, name=name)
