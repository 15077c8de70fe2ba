"""Putting transforms together: chains, conditions, injected hyperparameters."""

from __future__ import annotations

import enum
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from robustjax.losses._label_distributions import as_distributions
from robustjax.transforms._base import (
    Batch,
    ExampleSpec,
    LossState,
    LossTransform,
    Reduction,
    Stage,
    Terms,
    over_examples,
    own_constants,
)
from robustjax.transforms._batches import merge_faults


def _check_order(transforms: Sequence[LossTransform]) -> tuple[Stage, ...]:
    """Returns the stages of a chain, or says which transform stands too late."""
    placed = [(stage, tx.name) for tx in transforms for stage in tx.stages]
    order = " < ".join(stage.name.lower() for stage in Stage)
    for (before, first), (after, second) in itertools.pairwise(placed):
        if after < before:
            raise ValueError(
                f"chain: {second} ({after.name.lower()}) stands after {first} "
                f"({before.name.lower()}), expected the order {order}"
            )
    heads = [name for stage, name in placed if stage is Stage.HEAD]
    if len(heads) > 1:
        raise ValueError(
            f"chain: {len(heads)} heads ({', '.join(heads)}), expected at most one; "
            "a second head would overwrite the first"
        )
    return tuple(stage for stage, _ in placed)


def _run(
    transforms: Sequence[tuple[Any, LossTransform]],
    rebuild: Callable[[dict[Any, Any]], Any],
    name: str,
) -> LossTransform:
    """The chain over keyed transforms; `rebuild` makes the state's container."""
    stages = _check_order([tx for _, tx in transforms])

    def gather(states: Mapping[Any, LossState]) -> LossState:
        return LossState(
            rows=rebuild({key: state.rows for key, state in states.items()}),
            shared=rebuild({key: state.shared for key, state in states.items()}),
        )

    def part(state: LossState, key: Any) -> LossState:
        return LossState(rows=state.rows[key], shared=state.shared[key])

    def init(spec: ExampleSpec, /) -> LossState:
        return gather({key: tx.init(spec) for key, tx in transforms})

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        new = {}
        for key, tx in transforms:
            terms, new[key] = tx.update(terms, part(state, key), batch, **extra)
        return terms, gather(new)

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        return gather(
            {key: tx.epoch(part(state, key), **extra) for key, tx in transforms}
        )

    needs = frozenset[str]().union(*(tx.needs for _, tx in transforms))
    return LossTransform(init, update, epoch, stages, name, needs)


def chain(*transforms: LossTransform) -> LossTransform:
    """Applies transforms in order; the state's `rows` and `shared` are tuples.

    Args:
      *transforms: in the order labels, weights, head, additive terms.

    Raises:
      ValueError: a wrong order or two heads, when the chain is built.

    Example:
      >>> import robustjax as rj
      >>> tx = rj.chain(rj.alpha_weights(), rj.ce(), rj.elr())
      >>> state = tx.init(rj.ExampleSpec(num_examples=100, num_classes=3))
      >>> len(state.rows)  # One entry per transform, in their order.
      3
      >>> rj.chain(rj.elr(), rj.ce())
      Traceback (most recent call last):
          ...
      ValueError: chain: ce (head) stands after elr (additive),
      expected the order labels < weights < head < select < additive
    """
    names = ", ".join(tx.name for tx in transforms)
    return _run(
        list(enumerate(transforms)),
        lambda parts: tuple(parts[key] for key in range(len(transforms))),
        f"chain({names})",
    )


def named_chain(**transforms: LossTransform) -> LossTransform:
    """Like `chain`, with the state's `rows` and `shared` as dicts by name."""
    names = ", ".join(transforms)
    return _run(list(transforms.items()), dict, f"named_chain({names})")


def _choose(where: jax.Array, new: Any, old: Any) -> Any:
    """Per-example choice between two pytrees of (B, ...) arrays."""

    def pick(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(where.reshape(where.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)


def only_where(
    tx: LossTransform,
    where: Callable[[Batch], jax.Array],
    otherwise: LossTransform | None = None,
) -> LossTransform:
    """Applies a transform to some examples of the batch, another to the rest.

    Rows of examples for which a transform does not apply stay as they are; values,
    weights and labels are chosen per example. Penalties are not per example and
    always count. Nor is it per example whether values are summed or averaged.

    Args:
      tx: applies where `where(batch)` is True.
      where: `(batch) -> (B,) bool`, traceable.
      otherwise: applies elsewhere; by default the terms pass unchanged.

    Raises:
      ValueError: the two transforms belong to different stages; in `update`, values of
        which some are to be summed and others averaged (`group_dro`, say, for a part
        of the batch alone).

    Example:
      >>> import jax.numpy as jnp
      >>> import robustjax as rj
      >>> trusted = rj.only_where(rj.elr(), lambda batch: batch["trusted"])
      >>> tx = rj.chain(rj.ce(), trusted)
      >>> state = tx.init(rj.ExampleSpec(10, 3))
      >>> batch = {"index": jnp.arange(2), "label": jnp.arange(2)}
      >>> batch["trusted"] = jnp.array([True, False])
      >>> terms, _ = tx.update(rj.start(batch), state, batch, logits=jnp.zeros((2, 3)))
      >>> [round(value, 3) for value in terms.value.tolist()]
      [0.783, 1.099]
    """
    if otherwise is not None and otherwise.stages != tx.stages:
        raise ValueError(
            f"only_where: {tx.name} is {[s.name.lower() for s in tx.stages]} but "
            f"{otherwise.name} is {[s.name.lower() for s in otherwise.stages]}, "
            "expected the same stages"
        )
    parts = [tx] if otherwise is None else [tx, otherwise]

    def init(spec: ExampleSpec, /) -> LossState:
        states = [part.init(spec) for part in parts]
        return LossState(
            rows=tuple(state.rows for state in states),
            shared=tuple(state.shared for state in states),
        )

    def update(
        terms: Terms, state: LossState, batch: Batch, /, **extra: Any
    ) -> tuple[Terms, LossState]:
        chosen = jnp.asarray(where(batch))
        if chosen.shape != terms.mask.shape or chosen.dtype != bool:
            raise ValueError(
                f"only_where: got {chosen.dtype} of shape {chosen.shape} from where, "
                f"expected bool of shape {terms.mask.shape}"
            )
        merged, penalties, reduction = terms, terms.penalties, terms.reduction
        rows, shared, reductions = [], [], []
        for part, part_rows, part_shared, applies in zip(
            parts, state.rows, state.shared, (chosen, ~chosen)
        ):
            # Masking the others out keeps their rows from being written.
            positions = terms.positions
            if positions is not None:
                positions = positions & over_examples(applies, positions.ndim)
            masked = terms.replace(
                mask=terms.mask & applies,
                positions=positions,
                whole=terms.whole or (terms.mask, terms.positions),
            )
            out, new = part.update(
                masked, LossState(part_rows, part_shared), batch, **extra
            )
            penalties += out.penalties[len(terms.penalties) :]
            if out.reduction is not terms.reduction:
                reduction = out.reduction
            if out.labels.ndim > merged.labels.ndim:
                # One transform turned class indices into distributions.
                merged = merged.replace(
                    labels=as_distributions(merged.labels, out.labels.shape[-1])
                )
            elif out.labels.ndim < merged.labels.ndim:
                out = out.replace(
                    labels=as_distributions(out.labels, merged.labels.shape[-1])
                )
            # The fields that a transform left alone need no choice.
            changed = {
                name: _choose(applies, getattr(out, name), getattr(merged, name))
                for name in ("labels", "value", "weight")
                if getattr(out, name) is not getattr(masked, name)
            }
            fault = merge_faults(merged.fault, out.fault)
            merged = merged.replace(fault=fault, **changed)
            rows.append(new.rows)
            shared.append(new.shared)
            reductions.append(out.reduction)
        if otherwise is None:
            reductions.append(terms.reduction)
        summed = [each is Reduction.SUM for each in reductions]
        if any(summed) and not all(summed):
            raise ValueError(
                f"only_where: {tx.name} gives values of which some are to be summed "
                f"and the others averaged ({reductions[0].value}, "
                f"{reductions[1].value}), expected one for all of the batch"
            )
        merged = merged.replace(penalties=penalties, reduction=reduction)
        return merged, LossState(tuple(rows), tuple(shared))

    def epoch(state: LossState, /, **extra: Any) -> LossState:
        new = [
            part.epoch(LossState(rows, shared), **extra)
            for part, rows, shared in zip(parts, state.rows, state.shared)
        ]
        return LossState(tuple(s.rows for s in new), tuple(s.shared for s in new))

    needs = frozenset[str]().union(*(part.needs for part in parts))
    return LossTransform(
        init, update, epoch, tx.stages, f"only_where({tx.name})", needs
    )


def inject_hyperparams(
    factory: Callable[..., LossTransform], *, per: str = "step"
) -> Callable[..., LossTransform]:
    """Moves a factory's numeric hyperparameters into the state.

    Numbers and arrays become traced leaves of `state.shared["hyperparams"]`, so
    that changing them (`set_hyperparams`) or sweeping them under `vmap` compiles
    nothing anew; callables are schedules, evaluated at the number of updates (or
    epochs) so far, whose last values are in `state.shared["scheduled"]` to be read.
    Strings, booleans, enums and None stay static.

    Args:
      factory: makes a `LossTransform` from keyword arguments.
      per: what schedules count, "step" or "epoch".

    Returns:
      A factory with the same keyword arguments.

    Example:
      >>> import jax.numpy as jnp
      >>> import optax
      >>> import robustjax as rj
      >>> ramp = optax.linear_schedule(0.0, 3.0, transition_steps=100)
      >>> ramped = rj.inject_hyperparams(rj.elr)(strength=ramp, decay=0.7)
      >>> tx = rj.chain(rj.ce(), ramped)
      >>> state = tx.init(rj.ExampleSpec(num_examples=10, num_classes=3))
      >>> logits, labels = jnp.zeros((1, 3)), jnp.array([1])
      >>> loss, state = rj.value(tx, state, logits, labels, jnp.array([4]))
      >>> round(float(loss), 3)  # The first step's strength is 0: log(3).
      1.099
    """
    if per not in ("step", "epoch"):
        raise ValueError(f"per: got {per!r}, expected 'step' or 'epoch'")

    def make(**arguments: Any) -> LossTransform:
        signature = inspect.signature(factory)
        bound = signature.bind(**arguments)
        bound.apply_defaults()
        given = dict(bound.arguments)
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name)
        static: dict[str, Any] = {}
        schedules: dict[str, Callable[[jax.Array], jax.Array]] = {}
        numbers: dict[str, Any] = {}
        for name, value in given.items():
            if isinstance(value, bool | str | enum.Enum | LossTransform | None):
                static[name] = value
            elif callable(value):
                # A default that is a function (a loss, say) is not a schedule.
                target = schedules if name in arguments else static
                target[name] = value
            else:
                numbers[name] = value
        evaluate = own_constants(lambda f: f(jnp.int32(0)))
        at_start = {name: evaluate(f) for name, f in schedules.items()}
        # Built once with concrete values: checks them, and gives stage and name.
        template = factory(**static, **numbers, **at_start)

        def build(shared: Mapping[str, Any]) -> tuple[LossTransform, dict[str, Any]]:
            now = {name: f(shared["count"]) for name, f in schedules.items()}
            values = shared["hyperparams"]
            return factory(**static, **values, **now), now

        def init(spec: ExampleSpec, /) -> LossState:
            inner = template.init(spec)
            values = {k: jnp.asarray(v) for k, v in numbers.items()}
            now = {k: jnp.asarray(v) for k, v in at_start.items()}
            return wrap(inner, values, now, jnp.int32(0))

        def wrap(state: LossState, values: Any, now: Any, count: Any) -> LossState:
            shared = {
                "hyperparams": values,
                "count": count,
                "inner": state.shared,
            }
            # To be read; what schedules say cannot be set.
            return LossState(
                state.rows, {**shared, **({"scheduled": now} if now else {})}
            )

        def update(
            terms: Terms, state: LossState, batch: Batch, /, **extra: Any
        ) -> tuple[Terms, LossState]:
            tx, now = build(state.shared)
            inner = LossState(state.rows, state.shared["inner"])
            terms, inner = tx.update(terms, inner, batch, **extra)
            count = state.shared["count"] + (per == "step")
            return terms, wrap(inner, state.shared["hyperparams"], now, count)

        def epoch(state: LossState, /, **extra: Any) -> LossState:
            tx, now = build(state.shared)
            inner = LossState(state.rows, state.shared["inner"])
            count = state.shared["count"] + (per == "epoch")
            values = state.shared["hyperparams"]
            return wrap(tx.epoch(inner, **extra), values, now, count)

        return template._replace(
            init=own_constants(init), update=update, epoch=own_constants(epoch)
        )

    return make
